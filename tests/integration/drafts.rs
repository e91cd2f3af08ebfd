//! A reply that is still to be encrypted: the program that encrypts it holds up nobody, what is stored meanwhile can be
//! read by nobody who has the ledger alone, and a delivery that dies then loses nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mailsudo::intake::readable;
use mailsudo::pipeline::Resumed;
use mailsudo::protocol::{Key, Verdict, verify_reply};
use mailsudo::system::clock::Clock;

use crate::common::{Ended, KEY, OTHER_KEY, TestGateway, block, mail};
use crate::encryption::{armored, genuine, openpgp, tool};
use crate::nodes::resumed;

/// sqop, which first waits until the test lets it go on.
const HELD: &str = "#!/bin/sh\ncase $1 in encrypt) touch HOME/held; while [ ! -e HOME/go ]; do sleep 0.01; done;; esac\nexec /usr/bin/sqop \"$@\"\n";

/// alice's mail is encrypted by a program that waits.
fn held() -> TestGateway {
    let gateway = openpgp("");
    hold(&gateway);
    gateway
}

fn hold(gateway: &TestGateway) {
    let home = gateway.folder.path().display().to_string();
    gateway.set(&format!("[encryption]\nsop = \"{home}/tool\"\n"));
    gateway.write("tool", 0o755, &HELD.replace("HOME", &home));
}

/// Delivers `mail`, and calls `meanwhile` while the program waits.
fn deliver(gateway: &mut TestGateway, mail: &str, meanwhile: impl FnOnce(&Path) + Send) -> Ended {
    let folder = gateway.folder.path().to_owned();
    for name in ["held", "go"] {
        let _ = fs::remove_file(folder.join(name));
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let deadline = Instant::now() + Duration::from_mins(1);
            while !folder.join("held").exists() {
                assert!(Instant::now() < deadline, "nothing is encrypted");
                std::thread::sleep(Duration::from_millis(2));
            }
            // Whatever it finds, the delivery goes on.
            let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&folder)));
            fs::write(folder.join("go"), "").expect("a file");
            found.unwrap_or_else(|fault| std::panic::resume_unwind(fault));
        });
        gateway.deliver(mail)
    })
}

/// Another delivery could record now, and nothing of `words` is in a file of the ledger.
fn free_and_unreadable(folder: &Path, words: &[&str]) {
    let ledger = rusqlite::Connection::open(folder.join("ledger/ledger.db")).expect("the ledger");
    ledger.busy_timeout(Duration::ZERO).expect("no wait");
    ledger.execute_batch("BEGIN IMMEDIATE; ROLLBACK").expect("no transaction is open");
    for file in fs::read_dir(folder.join("ledger")).expect("a folder") {
        let bytes = fs::read(file.expect("a file").path()).unwrap_or_default();
        for word in words {
            let is_there = bytes.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!is_there, "{word} is in the ledger");
        }
    }
}

/// What a delivery that dies now would leave.
fn keep(folder: &Path) {
    fs::create_dir(folder.join("kept")).expect("a folder");
    for file in fs::read_dir(folder.join("ledger")).expect("a folder").flatten().filter(|file| file.path().is_file()) {
        fs::copy(file.path(), folder.join("kept").join(file.file_name())).expect("a copy");
    }
}

/// Everything is as it was when it was kept: no reply was sent.
fn die(gateway: &TestGateway) {
    for file in fs::read_dir(gateway.path("ledger")).expect("a folder").flatten().filter(|file| file.path().is_file()) {
        fs::remove_file(file.path()).expect("removed");
    }
    for file in fs::read_dir(gateway.path("kept")).expect("a folder").flatten() {
        fs::copy(file.path(), gateway.path("ledger").join(file.file_name())).expect("a copy");
    }
    gateway.write("tool", 0o755, "#!/bin/sh\nexec /usr/bin/sqop \"$@\"\n");
}

fn decrypted(gateway: &TestGateway, reply: &str) -> String {
    tool(gateway.folder.path(), &["sqop", "decrypt", "alice.key"], &armored(reply))
}

/// A run, a refusal, a built-in command.
#[test]
fn a_program_that_encrypts_holds_up_no_other_delivery() {
    let mut gateway = held();
    for (command, service) in [("restart", Some("nginx")), ("restart", Some("mysql")), ("help", None)] {
        gateway.clock.forward(30);
        let arguments: Vec<_> = service.iter().map(|service| ("service", *service)).collect();
        let mail = gateway.request(command, &arguments);
        let words = ["ran with", "mysql is", "not permitted", "mailsudo-reply: 1\r\n", "Commands"];
        let ended = deliver(&mut gateway, &mail, |folder| free_and_unreadable(folder, &words));
        let inside = decrypted(&gateway, ended.reply());
        assert!(inside.contains("mailsudo-reply: 1"), "{command}: {inside}");
    }
    assert_eq!(gateway.runs().len(), 1);
}

/// A request that waits for approval, and the vote that runs it: both users' replies.
#[test]
fn approvals_are_encrypted_outside_the_transaction_too() {
    let mut gateway = held();
    let home = gateway.folder.path().display().to_string();
    let command = format!(
        "summary = \"Risky\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\n[approval]\nby = [\"bob\"]\nshow_output = false\n[allow.web]\n"
    );
    gateway.write("commands.d/risky.toml", 0o644, &command);
    let mail_of_alice = gateway.request("risky", &[]);
    let ended = deliver(&mut gateway, &mail_of_alice, |folder| free_and_unreadable(folder, &["It waits"]));
    let pending = ended.replies.iter().find(|reply| reply.contains("\nTo: <alice@example.com>\n")).expect("a reply");
    assert!(decrypted(&gateway, pending).contains("result: pending"));

    let notice = ended.replies.iter().find(|reply| reply.contains("\nTo: <bob@example.com>\n")).expect("a notice");
    let notice = &readable(notice.as_bytes())[0];
    let field = |key: &str| notice.lines().rev().find_map(|line| line.strip_prefix(key)).expect("a line").to_owned();
    let (id, digest) = (field("request: "), field("digest: "));
    gateway.clock.forward(30);
    let arguments = [("id", id.as_str()), ("digest", digest.as_str())];
    let vote = mail("bob@example.com", &block("bob", OTHER_KEY, gateway.clock.now(), "approve", &arguments, None));
    let ended = deliver(&mut gateway, &vote, |folder| {
        free_and_unreadable(folder, &["ran with"]);
        keep(folder);
    });
    let of_alice = |ended: &Ended| {
        let reply = ended.replies.iter().find(|reply| reply.contains("\nTo: <alice@example.com>\n"));
        reply.expect("the requester's reply").clone()
    };
    assert!(decrypted(&gateway, &of_alice(&ended)).contains("ran with"));

    // The delivery of the vote dies there: the next one sends the requester's reply.
    die(&gateway);
    let again = gateway.deliver(&vote);
    assert!(decrypted(&gateway, &of_alice(&again)).contains("ran with"));
    assert_eq!((again.replies.len(), gateway.runs().len()), (2, 1));
}

#[test]
fn a_delivery_that_dies_while_its_reply_is_encrypted_loses_nothing() {
    for by_another_node in [false, true] {
        let mut gateway = held();
        let mail = gateway.request("restart", &[("service", "nginx")]);
        deliver(&mut gateway, &mail, keep);
        die(&gateway);
        let (reply, log) = if by_another_node {
            let (done, replies) = resumed(&gateway);
            assert_eq!(done, Resumed { sent: 1, ..Resumed::default() });
            (replies[0].clone(), gateway.log())
        } else {
            let ended = gateway.deliver(&mail);
            (ended.reply().to_owned(), ended.log)
        };
        genuine(gateway.folder.path(), &decrypted(&gateway, &reply));
        assert_eq!(gateway.runs().len(), 1, "nothing runs again");
        let sql = "SELECT reply FROM requests";
        let stored: Vec<u8> = gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a stored reply");
        assert_eq!(String::from_utf8_lossy(&stored), reply, "it is stored as it is sent");
        let line = log.iter().find(|line| line.contains("event=replied")).expect("a line");
        assert!(line.contains(" head="), "{line}");
        assert!(gateway.deliver(&mail).refused("duplicate"));
    }
}

/// A key that is being replaced: the old one has sealed it.
#[test]
fn a_rotation_with_an_overlap_loses_no_draft() {
    let mut gateway = held();
    let mail = gateway.request("restart", &[("service", "nginx")]);
    deliver(&mut gateway, &mail, keep);
    die(&gateway);
    let secrets = fs::read_to_string(gateway.path("secrets.d/alice.toml")).expect("secrets");
    let rotated = format!(
        "{}\n[previous]\nhmac_key = \"{KEY}\"\nuntil = 2030-01-01T00:00:00Z\n",
        secrets.replace(KEY, &"9".repeat(64))
    );
    gateway.write("secrets.d/alice.toml", 0o600, &rotated);
    let reply = gateway.deliver(&mail).reply().to_owned();
    genuine(gateway.folder.path(), &decrypted(&gateway, &reply));
}

type Change = &'static dyn Fn(&TestGateway);

/// What cannot be opened, or not be encrypted any more, is not sent in clear.
#[test]
fn a_draft_that_cannot_be_encrypted_later_says_the_outcome_only() {
    let changes: [(Change, &str); 5] = [
        (
            &|gateway| {
                let secrets = fs::read_to_string(gateway.path("secrets.d/alice.toml")).expect("secrets");
                gateway.write("secrets.d/alice.toml", 0o600, &secrets.replace(KEY, &"9".repeat(64)));
            },
            "no key of the user opens what was stored",
        ),
        (&|gateway| fs::remove_file(gateway.path("secrets.d/alice.toml")).expect("removed"), "the user has no files"),
        (&|gateway| fs::remove_file(gateway.path("certs.d/alice.asc")).expect("removed"), "alice.asc does not exist"),
        (
            // Without `encrypt` now: it was composed to be encrypted.
            &|gateway| {
                let user = "address = \"alice@example.com\"\nroles = [\"web\"]\n";
                gateway.write("users.d/alice.toml", 0o644, user);
                fs::remove_file(gateway.path("certs.d/alice.asc")).expect("removed");
            },
            "alice.asc does not exist",
        ),
        (
            // Who can write to the ledger has it sent to another address, or by another tool.
            &|gateway| {
                let sql = "UPDATE requests SET reply_to = 'eve@example.com'";
                gateway.ledger().execute(sql, []).expect("changed");
            },
            "no key of the user opens what was stored",
        ),
    ];
    for (change, why) in changes {
        let mut gateway = held();
        let mail = gateway.request("restart", &[("service", "nginx")]);
        deliver(&mut gateway, &mail, keep);
        die(&gateway);
        change(&gateway);
        let before = fs::read_dir(gateway.path("replies")).expect("replies").count();
        let (done, replies) = resumed(&gateway);
        assert_eq!(done.sent, 1, "{why}");
        let reply = &replies[0];
        assert!(reply.contains("withheld") && !reply.contains("ran with") && !reply.contains("nginx"), "{reply}");
        let text = &readable(reply.as_bytes())[0];
        let verdict = verify_reply(text, &Key::from_hex(KEY).expect("a key"));
        assert!(matches!(verdict, Verdict::Genuine(_)), "{why}: {verdict:?}");
        let log = gateway.log().join("\n");
        assert!(log.contains("event=withheld") && log.contains(why), "{why}: {log}");
        assert!(before > 0);
    }
}

/// What waits to be encrypted is shown to nobody.
#[test]
fn a_draft_is_not_shown() {
    let mut gateway = held();
    let mail = gateway.request("restart", &[("service", "nginx")]);
    deliver(&mut gateway, &mail, keep);
    die(&gateway);
    // Meanwhile alice asks for the status of it: this program does not wait.
    gateway.clock.forward(30);
    let status = gateway.request("status", &[]);
    let reply = gateway.deliver(&status).reply().to_owned();
    let inside = decrypted(&gateway, &reply);
    assert!(inside.contains("exit-0") || inside.contains("ok"), "{inside}");
    assert!(!inside.contains("ran with") && !inside.contains("could not be encrypted"), "{inside}");
}
