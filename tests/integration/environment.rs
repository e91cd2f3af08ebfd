//! What surrounds a delivery and that others may set: variables, access control lists, names that change while files
//! are read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, XattrFlags, removexattr, renameat_with, setxattr};

use crate::cli::{CliGateway, said};
use crate::common::TestGateway;

/// Variables that a dynamic linker, SQLite, the C library or Rust's own library would read.
const VARIABLES: [(&str, &str); 9] = [
    ("LD_PRELOAD", "/nonexistent/evil.so"),
    ("LD_LIBRARY_PATH", "/nonexistent"),
    ("LD_AUDIT", "/nonexistent/evil.so"),
    ("TMPDIR", "/nonexistent"),
    ("SQLITE_TMPDIR", "/nonexistent"),
    ("MALLOC_CHECK_", "3"),
    ("GCONV_PATH", "/nonexistent"),
    ("RUST_BACKTRACE", "full"),
    ("TZDIR", "/nonexistent"),
];

#[test]
fn the_callers_variables_change_nothing_and_reach_no_command() {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/show.toml",
        "summary = \"Show\"\nrun_as = \"nobody\"\nargv = [\"/usr/bin/env\"]\n[allow.web]\n",
    );
    let request = test_gateway.eml(&["show"]);
    fs::write(test_gateway.path("request.eml"), request).expect("a request");
    let mut command = test_gateway.command(&["deliver", "--config", "."]);
    command.envs(VARIABLES).stdin(Stdio::from(fs::File::open(test_gateway.path("request.eml")).expect("a request")));
    let delivered = said(command.output().expect("the program"));
    assert_eq!(delivered.status, 0, "{}", delivered.err);
    assert!(delivered.out.contains("PATH="), "{}", delivered.out);
    for (name, _) in VARIABLES {
        assert!(!delivered.out.contains(name), "{name}: {}", delivered.out);
    }
}

/// An account that is neither root nor the service user.
const OTHER: u32 = 65_534;

/// Gives a file Linux's form of an access control list (include/uapi/linux/posix_acl_xattr.h): owner rw, another
/// account and the mask `right` (r is 4, w is 2), the group nothing, others `others`.
fn set_acl(path: &Path, right: u16, others: u16) {
    let entry =
        |tag: u16, right: u16, id: u32| [&tag.to_le_bytes()[..], &right.to_le_bytes(), &id.to_le_bytes()].concat();
    let any = u32::MAX;
    let owner = if path.is_dir() { 7 } else { 6 };
    let entries = [
        entry(1, owner, any),
        entry(2, right, OTHER),
        entry(4, 0, any),
        entry(0x10, right, any),
        entry(0x20, others, any),
    ];
    let list = [&2_u32.to_le_bytes()[..], &entries.concat()].concat();
    setxattr(path, "system.posix_acl_access", &list, XattrFlags::empty()).expect("a file system with such lists");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn a_file_or_folder_that_an_access_control_list_lets_another_account_write_to_is_not_trusted() {
    for (name, before) in [
        ("users.d/alice.toml", 0o644),
        ("commands.d/count.toml", 0o644),
        ("secrets.d/alice.toml", 0o600),
        ("users.d", 0o755),
        ("commands.d", 0o755),
        ("secrets.d", 0o755),
    ] {
        let mut test_gateway = TestGateway::new();
        let path = test_gateway.path(name);
        set_acl(&path, 7, 0);
        assert_eq!(mode(&path) & 0o077, 0o070, "{name}: the mask is the group's part");
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert_eq!(ended.deferred, Some("configuration"), "{name}: {ended:?}");
        assert!(test_gateway.runs().is_empty(), "{name}");

        removexattr(&path, "system.posix_acl_access").expect("a list");
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).expect("a mode");
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert_eq!(ended.replies.len(), 1, "{name}: {ended:?}");
    }
}

#[test]
fn a_secret_that_an_access_control_list_lets_another_account_read_is_not_used() {
    let mut test_gateway = TestGateway::new();
    let path = test_gateway.path("secrets.d/alice.toml");
    set_acl(&path, 4, 0);
    assert_eq!(mode(&path), 0o640, "it looks like a secret that only the service user's group can read");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!(ended.deferred, Some("configuration"), "{ended:?}");
    let told = ended.log.join("\n");
    // What root does not own has to have mode 0600 in any case.
    let why = if rustix::process::geteuid().is_root() { "setfacl --remove-all" } else { "mode 0640" };
    assert!(told.contains(why), "{told}");

    // A list whose mask gives nothing is of no use to anybody.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!(ended.replies.len(), 1, "{ended:?}");
}

#[test]
fn a_name_that_changes_while_it_is_read_never_lets_in_what_others_can_write_to() {
    let mut test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().to_owned();
    let good = fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a user");
    // It would let alice run `secret`, and others can write to it.
    test_gateway.write("hostile.toml", 0o666, &good.replace("\"web\"", "\"oncall\""));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let (next, name) = (home.join("users.d/.next"), home.join("users.d/alice.toml"));
                let _ = symlink(home.join("hostile.toml"), &next);
                let _ = fs::rename(&next, &name);
                fs::write(&next, &good).expect("written");
                fs::set_permissions(&next, fs::Permissions::from_mode(0o644)).expect("a mode");
                fs::rename(&next, &name).expect("renamed");
            }
        });
        for _ in 0..100 {
            let ended = test_gateway.deliver(&test_gateway.request("secret", &[]));
            test_gateway.clock.forward(30);
            let is_safe = ended.deferred == Some("configuration") || ended.refused("not-permitted");
            if !is_safe {
                is_over.store(true, Ordering::Relaxed);
            }
            assert!(is_safe, "{ended:?}");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(test_gateway.runs().is_empty());
}

#[test]
fn a_file_or_folder_that_is_exchanged_while_it_is_read_never_lets_in_what_others_can_write_to() {
    let mut test_gateway = TestGateway::new();
    let secret = fs::read_to_string(test_gateway.path("commands.d/secret.toml")).expect("a command");
    // It would let alice run `secret`, and others can write to it.
    let hostile = secret.replace("[allow.oncall]", "[allow.web]");
    test_gateway.write("hostile.toml", 0o666, &hostile);
    fs::create_dir(test_gateway.path("hostile.d")).expect("a folder");
    test_gateway.write("hostile.d/secret.toml", 0o644, &hostile);
    fs::set_permissions(test_gateway.path("hostile.d"), fs::Permissions::from_mode(0o777)).expect("a mode");

    for (good, bad) in [("commands.d/secret.toml", "hostile.toml"), ("commands.d", "hostile.d")] {
        let (good, bad) = (test_gateway.path(good), test_gateway.path(bad));
        let is_over = AtomicBool::new(false);
        let (safe, swaps) = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| {
                let mut swaps = 0_u64;
                while !is_over.load(Ordering::Relaxed) || swaps % 2 == 1 {
                    renameat_with(CWD, &good, CWD, &bad, RenameFlags::EXCHANGE).expect("exchanged");
                    swaps += 1;
                }
                swaps
            });
            let mut safe = Vec::new();
            for _ in 0..100 {
                let ended = test_gateway.deliver(&test_gateway.request("secret", &[]));
                test_gateway.clock.forward(30);
                safe.push(ended.deferred == Some("configuration") || ended.refused("not-permitted"));
            }
            is_over.store(true, Ordering::Relaxed);
            (safe, swapping.join().expect("no panic"))
        });
        assert!(swaps > 1, "nothing was exchanged");
        assert!(safe.iter().all(|is_safe| *is_safe), "{}: {safe:?}", good.display());
        assert!(test_gateway.runs().is_empty());
    }
}
