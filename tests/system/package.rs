//! The Debian package on a host without mailsudo: the README's walk to a first reply, a second user and a third
//! command, and what removing and purging leave.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::process::{self, run};
use crate::system_env::{self, CONFIG, PROGRAM, SERVICE};
use crate::user::{User, in_block};
use crate::{poll, sudo_rules, syslog};

const PACKAGED: &str = "/usr/bin/mailsudo";
const FRAGMENTS: &str = "/usr/share/mailsudo/postfix/master.cf";
const EXAMPLE: &str = "/usr/share/doc/mailsudo/examples/commands.d/disk.toml";
const STATE: &str = "/var/lib/mailsudo";
const FRAGMENT: &str = "/etc/sudoers.d/mailsudo";
const SECOND_FRAGMENT: &str = "/etc/sudoers.d/mailsudo-second";
/// docs/decisions/0038-a-ledger-in-postgresql.md
const LARGEST_PROGRAM: u64 = 8 << 20;
const AWAY: &str = "/srv/moved-away";

/// A host on which mailsudo was never installed; the test machine is as before when this is dropped.
struct Bare(());

impl Bare {
    fn make() -> Self {
        system_env::enter();
        run(PROGRAM, &["postfix", "remove", "--yes"]);
        run("mkdir", &["-p", &format!("{AWAY}/etc"), &format!("{AWAY}/var")]);
        run("mv", &[CONFIG, &format!("{AWAY}/etc/")]);
        run("mv", &[STATE, &format!("{AWAY}/var/")]);
        let bare = Self(());
        system_env::make_install("uninstall");
        run("sh", &["-c", "rm /etc/sudoers.d/mailsudo*"]);
        run("userdel", &[SERVICE]);
        assert!(!Path::new(PROGRAM).exists(), "`make uninstall` leaves {PROGRAM}");
        bare
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // As far as a failed test has come.
        let _ = Command::new("dpkg").args(["--purge", "mailsudo"]).output();
        system_env::make_install("install");
        process::remove(CONFIG);
        process::remove(STATE);
        run("mv", &[&format!("{AWAY}/etc/mailsudo"), CONFIG]);
        run("mv", &[&format!("{AWAY}/var/mailsudo"), STATE]);
        // The account may have come back under another number.
        run("chown", &["-R", "mailsudo:mailsudo", STATE]);
        run("chgrp", &["-R", SERVICE, &format!("{CONFIG}/secrets.d")]);
        sudo_rules::raise_sudo();
        run(PROGRAM, &["postfix", "install", "--yes"]);
    }
}

fn command(name: &str, run_as: &str, program: &str) {
    let toml = format!("summary = \"{name}\"\nrun_as = \"{run_as}\"\nargv = [\"{program}\"]\n[allow.web]\n");
    process::write(format!("{CONFIG}/commands.d/{name}.toml"), 0o644, &toml);
}

/// Owner, group and mode of a path.
fn rights(path: &str) -> String {
    run("stat", &["-c", "%U:%G %a", path]).trim().to_owned()
}

/// Sends a request and waits for its reply, which has to be genuine and of a command that exited 0.
fn answered(user: &User, command: &str) -> String {
    let before = user.mailbox().messages().len();
    assert_eq!(before, 0, "a user of this test asks once");
    user.sign_and_send(&[command]);
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0", "{reply}");
    let id = format!("id={} ", &in_block(&reply, "request")[..12]);
    poll::until_true("the case's end", || {
        syslog::authpriv().lines().any(|line| line.contains("event=replied") && line.contains(&id))
    });
    poll::until_true("an empty queue", || run("postqueue", &["-j"]).trim().is_empty());
    reply
}

fn check() -> (Option<i32>, String) {
    let output = Command::new(PACKAGED).args(["check", "--quiet"]).output().expect("the package brings the program");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Another gateway of this host, which leaves with the package too, but for its files.
fn second_gateway() {
    const FOLDER: &str = "/srv/second";
    const SETTINGS: &str = "gateway = \"second\"\naddress = \"second@example.com\"\n";
    process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, SETTINGS);
    run("install", &["-d", &format!("{FOLDER}/commands.d")]);
    run(PACKAGED, &["sudoers", "--install", "--yes", "--config", FOLDER]);
    run(PACKAGED, &["postfix", "install", "--yes", "--config", FOLDER, "--transport", "mailsudo-second"]);
    assert!(Path::new(SECOND_FRAGMENT).exists() && run("postconf", &["-M"]).contains("mailsudo-second"));
}

#[test]
fn from_the_package_to_replies_and_back_to_nothing() {
    let _bare = Bare::make();
    let package = system_env::in_checkout("target/mailsudo.deb");
    run("env", &["DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-remove", &package]);
    let size = std::fs::metadata(PACKAGED).expect("the package brings the program").len();
    assert!(size <= LARGEST_PROGRAM, "{size} bytes");
    assert_eq!(rights(&format!("{CONFIG}/secrets.d")), "root:mailsudo 750");
    assert_eq!(rights(STATE), "mailsudo:mailsudo 700");
    // The list that scanners read (docs/releasing.md).
    let named = run(&system_env::in_checkout("packaging/dependencies"), &[PACKAGED]);
    assert!(named.ends_with(" crates, each in Cargo.lock\n"), "{named}");

    // The README's walk; sudoedit's part is the gateway's name.
    run("sed", &["-i", "s/\"berlin\"/\"harbour\"/", &format!("{CONFIG}/mailsudo.toml")]);
    run("cp", &[EXAMPLE, &format!("{CONFIG}/commands.d/")]);
    command("whoami", "worker", "/usr/bin/id");
    system_env::init_ledger(PACKAGED);
    let alice = User::enrol_by(PACKAGED, "alice", "web");
    run(PACKAGED, &["sudoers", "--install", "--yes"]);
    run(PACKAGED, &["postfix", "install", "--yes"]);
    let (status, said) = check();
    assert_eq!(status, Some(1), "the clock, and a role that nobody holds, are warnings:\n{said}");
    assert!(answered(&alice, "disk").contains("Filesystem"));

    // A second user and a third command.
    let bob = User::enrol_by(PACKAGED, "bob", "web");
    command("groups", "nobody", "/usr/bin/groups");
    let (status, said) = check();
    assert!(status == Some(2) && said.contains("sudoers --install"), "{status:?} {said}");
    run(PACKAGED, &["sudoers", "--install", "--yes"]);
    assert_eq!(check().0, Some(1));
    assert!(answered(&bob, "groups").contains("nogroup"));
    assert!(run(PACKAGED, &["command", "list"]).lines().count() == 4);

    second_gateway();

    let secrets = format!("{CONFIG}/secrets.d/alice.toml");
    let ledger = format!("{STATE}/ledger.db");
    run("dpkg", &["--remove", "mailsudo"]);
    for kept in [&secrets, &ledger, &format!("{CONFIG}/mailsudo.toml"), &format!("{CONFIG}/users.d/bob.toml")] {
        assert!(Path::new(kept).exists(), "{kept} is gone after removing");
    }
    for gone in [PACKAGED, FRAGMENTS, FRAGMENT, SECOND_FRAGMENT, "/etc/postfix/mailsudo_transport"] {
        assert!(!Path::new(gone).exists(), "{gone} is left after removing");
    }
    assert!(!run("postconf", &["-M"]).contains("mailsudo"), "the transport is left after removing");
    assert!(!run("postconf", &["-n"]).contains("mailsudo"), "settings are left after removing");

    run("dpkg", &["--install", &package]);
    assert!(run(PACKAGED, &["log"]).contains("groups"), "the ledger is not taken up again");
    let about = std::fs::metadata(&secrets).expect("the secrets were kept");
    assert_eq!((about.uid(), about.permissions().mode() & 0o777), (0, 0o640));

    run("dpkg", &["--purge", "mailsudo"]);
    for gone in [STATE, CONFIG, PACKAGED, FRAGMENT] {
        assert!(!Path::new(gone).exists(), "{gone} is left after purging:\n{}", run("find", &[gone]));
    }
}
