//! `make install` installs the program that `make build` built last, for whatever architecture, and nothing where there
//! is none.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::import_order::checkout;

/// `make` with these words, in a folder that has the Makefile only and what `built` says was built.
fn make(built: Option<&str>, words: &[&str]) -> Output {
    let folder = TempDir::new().expect("a folder");
    fs::copy(checkout("Makefile"), folder.path().join("Makefile")).expect("copied");
    fs::create_dir(folder.path().join("target")).expect("a folder");
    if let Some(program) = built {
        fs::write(folder.path().join("target/built"), format!("{program}\n")).expect("written");
    }
    // As a user calls it, not as another make does.
    let mut make = Command::new("make");
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").args(words).current_dir(folder.path());
    make.output().expect("make: apt-get install make")
}

#[test]
fn what_was_built_last_is_installed() {
    let program = "target/aarch64-unknown-linux-gnu/release/mailsudo";
    let planned = make(Some(program), &["--dry-run", "install", "DESTDIR=/nowhere"]);
    let steps = String::from_utf8(planned.stdout).expect("UTF-8");
    let installed: Vec<_> = steps.lines().filter(|step| step.ends_with("/bin/mailsudo")).collect();
    assert_eq!(installed, [format!("install -D -m 0755 {program} /nowhere/usr/local/bin/mailsudo")], "{steps}");
}

#[test]
fn without_a_build_nothing_is_installed() {
    let refused = make(None, &["install", "DESTDIR=/nowhere"]);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    let said = String::from_utf8(refused.stderr).expect("UTF-8");
    assert!(said.contains("run `make build` first, not as root."), "{said}");
}
