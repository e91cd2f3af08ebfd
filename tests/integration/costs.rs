//! What the audit chain and encryption add to a delivery, counted: one event, and so one hash, for each commit, and no
//! commit more.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use mailsudo::authenticate::Factor;
use mailsudo::protocol::{Key, Timestamp, UnsignedRequest};
use mailsudo::system::clock::{Clock, SystemClock};
use rusqlite::config::DbConfig;

use crate::cli::CliGateway;
use crate::encryption::tool;

/// How often a delivery of `mail` waits for the disk.
fn syncs(gateway: &CliGateway, mail: &str) -> usize {
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", "trace"])
        .args([env!("CARGO_BIN_EXE_mailsudo"), "deliver", "--config", "."])
        .current_dir(gateway.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace: apt-get install strace");
    child.stdin.take().expect("a pipe").write_all(mail.as_bytes()).expect("written");
    let status = child.wait().expect("its end");
    assert!(status.success(), "{status}");
    let trace = fs::read_to_string(gateway.path("trace")).expect("a trace");
    trace.lines().filter(|line| line.contains("sync(") || line.contains("sync_file_range(")).count()
}

fn events(gateway: &CliGateway) -> u64 {
    let ledger = rusqlite::Connection::open(gateway.path("ledger/ledger.db")).expect("the ledger");
    // Who closes it last moves the write-ahead log into it, and the next delivery makes a new one.
    ledger.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("a setting");
    ledger.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("a count")
}

/// A request for `command` that is signed in a step of its own.
fn mail(gateway: &CliGateway, nth: &mut i64, command: &str) -> String {
    *nth += 1;
    let key = fs::read_to_string(gateway.path("alice.key")).expect("a key");
    let key = key.lines().find_map(|line| line.strip_prefix("hmac_key = \"")).expect("a key").trim_end_matches('"');
    let url = fs::read_to_string(gateway.path("phone")).expect("a factor");
    let factor = Factor::from_url(url.trim()).expect("a factor");
    let now = SystemClock.now();
    let time = Timestamp::from_seconds(now.seconds() - 60 * *nth);
    let unsigned = UnsignedRequest {
        gateway: "berlin".to_owned().try_into().expect("a name"),
        user: "alice".to_owned().try_into().expect("a name"),
        time,
        code: factor.code_at(time).expect("a code"),
        command: command.to_owned().try_into().expect("a name"),
        arguments: Vec::new(),
        payload: None,
    };
    let block = unsigned.sign(&Key::from_hex(key).expect("a key")).expect("a block");
    format!("From: alice@example.com\nSubject: x\n\n{block}")
}

#[test]
fn the_chain_costs_one_event_for_each_commit_and_no_fsync() {
    let gateway = CliGateway::new();
    let mut nth = 0;
    // The first delivery makes the ledger.
    syncs(&gateway, &mail(&gateway, &mut nth, "say"));
    for (encrypted, command, expected, added) in [
        // Admission and outcome are durable, each with its event; that the reply was sent is an event without a wait.
        (false, "say", 2, 3),
        (false, "none", 1, 2),
        // What the program made of the reply is durable before it is sent; that is no event.
        (true, "say", 3, 3),
        (true, "none", 2, 2),
    ] {
        if encrypted && !gateway.path("certs.d").exists() {
            let folder = gateway.folder.path();
            gateway.write("private", &tool(folder, &["sqop", "generate-key", "alice"], ""));
            fs::create_dir(gateway.path("certs.d")).expect("a folder");
            gateway.write("certs.d/alice.asc", &tool(folder, &["sh", "-c", "sqop extract-cert < private"], ""));
            let user = fs::read_to_string(gateway.path("users.d/alice.toml")).expect("a user");
            gateway.write("users.d/alice.toml", &format!("encrypt = \"openpgp\"\n{user}"));
        }
        // Now and then a commit moves the write-ahead log into the ledger, which waits for the disk too: not each time.
        let found = (0..4).map(|_| {
            let before = events(&gateway);
            let found = syncs(&gateway, &mail(&gateway, &mut nth, command));
            assert_eq!(events(&gateway) - before, added, "{command}, encrypted: {encrypted}");
            found
        });
        assert_eq!(found.min(), Some(expected), "{command}, encrypted: {encrypted}");
    }
}
