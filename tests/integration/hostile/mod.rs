//! Hostile mail, through the built binary: every shape is refused with exit status 0 and a log line, on a small stack,
//! in memory that is a stated multiple of `limits.message`, and within a limit of processor time.

mod shapes;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use self::shapes::{OTHERS, WORST};
use tempfile::TempDir;

/// How much address space a delivery may take: for each byte that `limits.message` allows, and for the program itself.
const FOR_EACH_BYTE: usize = 12;
const FOR_THE_PROGRAM: usize = 48 << 20;

/// The stack, in KiB: an eighth of what Linux gives.
const STACK: usize = 1024;

/// Seconds of processor time after which the kernel ends a delivery: far more than any shape needs, even unoptimised.
const WATCHDOG: usize = 60;

/// berlin without users, with that limit.
fn gateway(limit: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for name in ["users.d", "commands.d", "secrets.d"] {
        fs::create_dir(home.path().join(name)).expect("a folder");
    }
    let path = home.path().join("mailsudo.toml");
    let ledger = home.path().join("ledger.db");
    let settings = format!(
        "gateway = \"berlin\"\naddress = \"ops@example.com\"\n[limits]\nmessage = \"{limit}\"\n[execution]\nrun_via = \"direct\"\n\
         [ledger]\nurl = \"sqlite:{}\"\n[syslog]\nto = \"stderr\"\n",
        ledger.display()
    );
    fs::write(&path, settings).expect("the settings");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    home
}

fn refused(home: &TempDir, size: usize, what: &str, reason: &str, mail: &[u8]) {
    assert!(mail.len() <= size, "{what}: {} bytes", mail.len());
    let path = home.path().join(what.replace(' ', "-"));
    fs::write(&path, mail).expect("a mail");
    let memory = (FOR_EACH_BYTE * size + FOR_THE_PROGRAM) >> 10;
    let limits = format!("ulimit -c 0 -s {STACK} -v {memory} -t {WATCHDOG} && exec \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &limits, "bash", env!("CARGO_BIN_EXE_mailsudo"), "deliver", "--config"])
        .arg(home.path())
        .stdin(Stdio::from(fs::File::open(&path).expect("a mail")))
        .output()
        .expect("the program");
    fs::remove_file(path).expect("removed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}, {size} bytes: {}: {log}", output.status);
    assert!(output.stdout.is_empty(), "{what}, {size} bytes: it prints nothing");
    assert!(log.contains(&format!("event=refused reason={reason} ")), "{what}, {size} bytes: {log}");
    assert_eq!(log.lines().count(), 2, "{what}, {size} bytes: {log}");
}

#[test]
fn every_shape_is_refused_at_the_default_limit() {
    let home = gateway("256KiB");
    for (what, reason, make) in WORST.iter().chain(OTHERS) {
        refused(&home, 256 << 10, what, reason, &make(256 << 10));
    }
    assert!(!home.path().join("ledger.db").exists(), "no unauthenticated mail opens the ledger");
}

#[test]
fn the_worst_shapes_are_refused_at_the_highest_limit() {
    let home = gateway("16MiB");
    for (what, reason, make) in WORST {
        refused(&home, 16 << 20, what, reason, &make(16 << 20));
    }
}

#[test]
#[ignore = "takes a minute of processor time: make soak"]
fn the_other_shapes_are_refused_at_the_highest_limit() {
    let home = gateway("16MiB");
    for (what, reason, make) in OTHERS {
        refused(&home, 16 << 20, what, reason, &make(16 << 20));
    }
}
