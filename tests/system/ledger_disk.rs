//! The ledger on a small disk of its own that fails in the ways in which disks fail: with the real rights of the
//! service user, and with a real end of the space.

use std::fs::{self, File};
use std::io::Write;

use crate::commands::{GATE, PASSED};
use crate::process::{self, run};
use crate::resumed::retry_until_answered;
use crate::system_env::{self, PROGRAM, SERVICE};
use crate::user::{User, in_block};
use crate::{poll, postfix};

const FOLDER: &str = "/var/lib/mailsudo";
const FILLER: &str = "/var/lib/mailsudo/filler";

/// A tmpfs over the ledger's folder, with an empty ledger; the main ledger is visible again when this is dropped.
struct Disk(());

impl Disk {
    fn mount() -> Self {
        run("mount", &["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", FOLDER]);
        let disk = Self(());
        own(SERVICE);
        system_env::init_ledger(PROGRAM);
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        process::remove(GATE);
        // Lazily: a delivery that a failed test left behind may still have it open.
        run("umount", &["--lazy", FOLDER]);
    }
}

fn own(user: &str) {
    run("chown", &["-R", &format!("{user}:{user}"), FOLDER]);
}

fn fill() {
    let mut filler = File::create(FILLER).expect("a file");
    while filler.write_all(&[0; 512]).is_ok() {}
}

fn remount(how: &str) {
    run("mount", &["-o", &format!("remount,{how}"), FOLDER]);
}

type Deed = fn();

#[test]
fn a_disk_that_cannot_be_written_defers_and_loses_nothing() {
    system_env::enter();
    let _disk = Disk::mount();
    process::remove(PASSED);
    let cases: [(&str, Deed, Deed); 3] = [
        ("full", fill, || process::remove(FILLER)),
        ("read-only", || remount("ro"), || remount("rw")),
        ("no longer the service user's", || own("root"), || own(SERVICE)),
    ];
    for (n, (what, hurt, repair)) in cases.into_iter().enumerate() {
        let user = User::enrol(&format!("disk{n}"));
        hurt();
        let id = user.send(&user.request(&["alone", &format!("number={}", n + 1)]));
        postfix::wait_until_deferred(&id, 1);
        assert_eq!(process::text(PASSED).lines().count(), n, "{what}: it ran without being recorded");
        repair();
        let reply = retry_until_answered(&user.mailbox());
        user.assert_genuine(&reply);
        assert_eq!(in_block(&reply, "result"), "exit-0", "{what}");
        postfix::wait_until_gone(&id);
    }
}

#[test]
fn a_disk_that_is_full_when_the_run_is_over_makes_its_outcome_unknown() {
    system_env::enter();
    let _disk = Disk::mount();
    process::remove(PASSED);
    fs::write(GATE, "").expect("/srv is writable in the sandbox");
    let user = User::enrol("diskfull");
    let id = user.send(&user.request(&["alone", "number=9"]));
    poll::until_true("the run", || process::text(PASSED) == "9\n");
    fill();
    process::remove(GATE);
    postfix::wait_until_deferred(&id, 1);
    process::remove(FILLER);
    let reply = retry_until_answered(&user.mailbox());
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "unknown");
    postfix::wait_until_gone(&id);
    assert_eq!(process::text(PASSED), "9\n", "the command ran again");
}
