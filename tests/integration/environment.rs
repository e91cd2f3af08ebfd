//! What surrounds a delivery and that others may set: variables, access control lists, names that change while files
//! are read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{XattrFlags, setxattr};

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

/// Linux's form of an access control list (include/uapi/linux/posix_acl_xattr.h): owner rw, the account `user` rw,
/// group r, mask rw, others r.
fn acl(user: u32) -> Vec<u8> {
    let entry =
        |tag: u16, right: u16, id: u32| [&tag.to_le_bytes()[..], &right.to_le_bytes(), &id.to_le_bytes()].concat();
    let any = u32::MAX;
    let entries = [entry(1, 6, any), entry(2, 6, user), entry(4, 4, any), entry(0x10, 6, any), entry(0x20, 4, any)];
    [&2_u32.to_le_bytes()[..], &entries.concat()].concat()
}

#[test]
fn a_file_that_an_access_control_list_lets_another_account_write_to_is_not_trusted() {
    let mut test_gateway = TestGateway::new();
    let file = test_gateway.path("users.d/alice.toml");
    setxattr(&file, "system.posix_acl_access", &acl(65_534), XattrFlags::empty())
        .expect("a file system with such lists");
    assert_eq!(
        fs::metadata(&file).expect("a file").permissions().mode() & 0o777,
        0o664,
        "the mask is the group's part"
    );
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!(ended.deferred, Some("configuration"), "{ended:?}");
    assert!(test_gateway.runs().is_empty());
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
