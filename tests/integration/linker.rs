//! `.cargo/linker` gives LLVM's linker the functions of `.cargo/functions`, under the names that they have in this
//! build, and leaves every other call of cc(1) as it is.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::common::write_program;
use crate::import_order::checkout;

/// What cc(1) is called with, where the linker is called with `words` in `folder`.
fn called(folder: &Path, words: &[&str]) -> String {
    let cc = folder.join("bin/cc");
    fs::create_dir_all(folder.join("bin")).expect("a folder");
    write_program(&cc, 0o755, "#!/bin/sh\necho \"$*\"\n");
    let path = format!("{}:/usr/bin:/bin", folder.join("bin").display());
    let called = Command::new(checkout(".cargo/linker")).args(words).current_dir(folder).env("PATH", path).output();
    let output = called.expect("the script");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}

/// An object file that defines `names`, in the form that rustc gives to the linker.
fn object(folder: &Path, names: &[&str]) {
    let source: Vec<_> = names.iter().map(|name| format!("void {name}(void) {{}}\n")).collect();
    fs::write(folder.join("one.c"), source.concat()).expect("written");
    let compiled = Command::new("cc").args(["-c", "one.c", "-o", "one.rcgu.o"]).current_dir(folder).status();
    assert!(compiled.expect("cc: apt-get install gcc").success());
}

#[test]
fn the_release_program_has_its_functions_in_order() {
    let folder = TempDir::new().expect("a folder");
    fs::create_dir_all(folder.path().join("release/deps")).expect("a folder");
    let listed = fs::read_to_string(checkout(".cargo/functions")).expect("the list");
    let ours = listed.lines().find(|name| name.starts_with("_ZN8mailsudo")).expect("a function of mailsudo");
    let (one, two) = (format!("{ours}17h0123456789abcdefE"), format!("{ours}17hfedcba9876543210E"));
    object(folder.path(), &[&one, "unlisted", &two]);

    let words = ["-fuse-ld=lld", "one.rcgu.o", "-o", "x/release/deps/mailsudo-1"];
    fs::create_dir_all(folder.path().join("x/release/deps")).expect("a folder");
    let order = "x/release/deps/mailsudo-1.order";
    let flag = format!("-Xlinker --symbol-ordering-file={order} -Wl,--no-warn-symbol-ordering");
    assert_eq!(called(folder.path(), &words), format!("{} {flag}", words.join(" ")));

    let order = fs::read_to_string(folder.path().join(order)).expect("the order");
    let names: Vec<_> = order.lines().collect();
    let at = listed.lines().position(|name| name == ours).expect("its place");
    assert_eq!(
        names.get(at..at + 2),
        Some([one.as_str(), &two].as_slice()),
        "each function of that name, at its place"
    );
    assert!(!names.contains(&"unlisted"));
    assert_eq!(names.len(), listed.lines().count() + 1, "the others as they stand in the list");
}

#[test]
fn any_other_program_is_linked_as_cc_links_it() {
    let folder = TempDir::new().expect("a folder");
    for words in [
        &["-fuse-ld=lld", "one.rcgu.o", "-o", "x/debug/deps/mailsudo-1"],
        &["-fuse-ld=lld", "one.rcgu.o", "-o", "x/release/deps/integration-1"],
        &["-fuse-ld=bfd", "one.rcgu.o", "-o", "x/release/deps/mailsudo-1"],
        &["-fuse-ld=lld", "-fuse-ld=bfd", "one.rcgu.o", "-o", "x/release/deps/mailsudo-1"],
    ] as [&[&str]; 4]
    {
        assert_eq!(called(folder.path(), words), words.join(" "));
    }
}
