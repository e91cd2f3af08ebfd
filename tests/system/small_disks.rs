//! Disks that are full where it is not the ledger's (tests/system/ledger_disk.rs): Postfix's spool, and /tmp.

use std::fs::{self, File};
use std::io::Write;

use crate::commands::{GATE, PASSED};
use crate::process::{self, run};
use crate::resumed::retry_until_answered;
use crate::system_env::{self, GATEWAY};
use crate::user::{User, in_block};
use crate::{poll, postfix, smtp, syslog};

const SPOOL: &str = "/var/spool/postfix";

/// A tmpfs of its own over each folder; the folders are visible again when this is dropped.
struct Disks(&'static [&'static str]);

impl Disks {
    fn mount(folders: &'static [&'static str], options: &str) -> Self {
        for folder in folders {
            run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", folder]);
        }
        Self(folders)
    }

    /// Writes until there is no room.
    fn fill(&self) {
        for folder in self.0 {
            let mut filler = File::create(format!("{folder}/filler")).expect("a file");
            for size in [65_536, 512, 1] {
                while filler.write_all(&vec![0; size]).is_ok() {}
            }
        }
    }

    fn empty(&self) {
        self.0.iter().for_each(|folder| process::remove(&format!("{folder}/filler")));
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.0.iter().for_each(|folder| drop(run("umount", &["--lazy", folder])));
    }
}

/// Postfix with an empty spool on a small disk, and with its own again when this is dropped.
struct SmallSpool(Option<Disks>);

impl SmallSpool {
    fn begin() -> Self {
        run("postfix", &["stop"]);
        let disk = Disks::mount(&[SPOOL], "size=24m,mode=0755");
        run("postfix", &["start"]);
        Self(Some(disk))
    }

    fn disk(&self) -> &Disks {
        self.0.as_ref().expect("it is mounted until this is dropped")
    }
}

impl Drop for SmallSpool {
    fn drop(&mut self) {
        process::remove(GATE);
        run("postfix", &["stop"]);
        self.0.take();
        run("postfix", &["start"]);
    }
}

#[test]
fn a_spool_without_room_takes_no_request_and_keeps_a_reply_for_later() {
    system_env::enter();
    process::remove(PASSED);
    fs::write(GATE, "").expect("/srv is writable in the sandbox");
    let spool = SmallSpool::begin();
    let user = User::enrol("nospool");
    let id = user.send(&user.request(&["alone", "number=41"]));
    poll::until_true("the run", || process::text(PASSED) == "41\n");

    spool.disk().fill();
    let late = User::enrol("nospool2");
    let mail = late.mail(&late.request(&["alone", "number=42"]));
    let refusal = smtp::send(&late.address, GATEWAY, &mail).expect_err("Postfix has no room for it");
    assert!(refusal.starts_with("452 "), "the sender keeps it: {refusal}");

    process::remove(GATE);
    // sendmail(1) cannot take the reply: it stays in the ledger, and the request in the queue.
    poll::until_true("the deferral", || {
        syslog::audit(&id).iter().any(|line| line.contains("event=deferred") && line.contains("part=sendmail "))
    });
    assert!(user.mailbox().messages().is_empty());

    spool.disk().empty();
    let reply = retry_until_answered(&user.mailbox());
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    postfix::wait_until_gone(&id);
    assert_eq!(process::text(PASSED), "41\n", "each ran as often as it was taken");
    assert_eq!(user.mailbox().messages().len(), 1);

    // The refused mail, sent again.
    late.send(&mail[mail.find("\n\n").expect("a body") + 2..].replace("Hello,\n\n", ""));
    let reply = late.mailbox().single();
    late.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");
}

#[test]
fn folders_for_temporary_files_without_room_change_nothing() {
    system_env::enter();
    process::remove(PASSED);
    let disks = Disks::mount(&["/tmp", "/var/tmp", "/dev/shm"], "size=16k,mode=1777");
    disks.fill();
    let user = User::enrol("notmp");
    let id = user.send(&user.request(&["alone", "number=43"]));
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    postfix::wait_until_gone(&id);
    assert_eq!(process::text(PASSED), "43\n");
}
