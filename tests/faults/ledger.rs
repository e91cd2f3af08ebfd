//! The ledger's disk: what cannot be recorded is deferred, and what may have run does not run again.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mailsudo::config::Trusted;
use mailsudo::ledger;
use mailsudo::protocol::Timestamp;

use crate::chain::verify;
use crate::common::{KEY, TestGateway, block, mail};
use crate::gateway::{SHORT, deliver, during_the_run, new, via_sudo};

/// A gateway that soon gives up waiting for a ledger that another process has locked. Where none has, nothing is waited
/// for.
fn impatient(mut test_gateway: TestGateway) -> TestGateway {
    (test_gateway.timeouts.transaction, test_gateway.timeouts.outcome) = (SHORT, SHORT);
    test_gateway
}

#[test]
fn a_ledger_that_another_process_locks_for_long_defers() {
    let mut test_gateway = impatient(new());
    deliver(&mut test_gateway);
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    let other = test_gateway.ledger();
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let ended = test_gateway.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"), "{ended:?}");
    assert!(ended.log.join("\n").contains("locked"), "{ended:?}");
    other.execute_batch("COMMIT").expect("let go");
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    // SQLite's exclusive mode blocks readers too: then the opening itself times out.
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    drop(other);
    let hermit = test_gateway.ledger();
    hermit.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").expect("locked");
    assert_eq!(test_gateway.deliver(&request).deferred, Some("ledger"));
    drop(hermit);
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    assert_eq!(test_gateway.runs().len(), 3);
}

/// The run is over and cannot be recorded: the next delivery must not run it again, and says what it can.
fn in_the_middle<T: Send>(
    test_gateway: &mut TestGateway,
    event: impl FnOnce(&Path) -> T + Send,
    repair: impl FnOnce(&Path, T),
) {
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    let ledger = test_gateway.path("ledger");
    let runs = test_gateway.runs().len();
    let (ended, what) = during_the_run(test_gateway, &request, || event(&ledger));
    assert_eq!((ended.deferred, ended.replies.len()), (Some("ledger"), 0), "{ended:?}");
    repair(&ledger, what);
    let ended = test_gateway.deliver(&request);
    assert!(ended.reply().contains("outcome unknown: count"), "{ended:?}");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), runs + 1);
}

#[test]
fn a_ledger_that_another_process_locks_in_the_middle_defers_and_nothing_runs_again() {
    let lock = |folder: &Path| {
        let other = rusqlite::Connection::open(folder.join("ledger.db")).expect("the ledger");
        other.execute_batch("BEGIN IMMEDIATE").expect("locked");
        other
    };
    in_the_middle(&mut impatient(new()), lock, |_, other| drop(other));
}

/// It is locked for several times as long as a transaction waits, and free before the time for the outcome is over.
#[test]
fn an_outcome_is_recorded_when_the_ledger_is_free_again() {
    let mut test_gateway = new();
    test_gateway.timeouts.transaction = SHORT;
    let request = test_gateway.request("count", &[]);
    let path = test_gateway.path("ledger/ledger.db");
    let waits = test_gateway.timeouts.transaction * 4;
    let (ended, holder) = during_the_run(&mut test_gateway, &request, move || {
        let other = rusqlite::Connection::open(path).expect("the ledger");
        other.execute_batch("BEGIN IMMEDIATE").expect("locked");
        std::thread::spawn(move || {
            std::thread::sleep(waits);
            drop(other);
        })
    });
    holder.join().expect("the holder");
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
}

#[test]
fn a_folder_that_vanishes_defers_and_nothing_is_made_in_its_place() {
    let mut test_gateway = impatient(via_sudo("exec \"$@\""));
    let (folder, away) = (test_gateway.path("ledger"), test_gateway.path("away"));
    let request = test_gateway.request("count", &[]);
    fs::rename(&folder, &away).expect("moved");
    assert_eq!(test_gateway.deliver(&request).deferred, Some("ledger"));
    assert!(!folder.exists());
    fs::create_dir(&folder).expect("a folder, as of an unmounted disk");
    let ended = test_gateway.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("mount the missing file system"), "{ended:?}");
    fs::remove_dir(&folder).expect("nothing was made in it");
    fs::rename(&away, &folder).expect("moved back");
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    in_the_middle(
        &mut test_gateway,
        |folder| fs::rename(folder, &away).expect("moved"),
        |folder, ()| fs::rename(&away, folder).expect("moved back"),
    );
}

#[test]
fn a_corrupt_ledger_defers_and_is_not_touched() {
    let mut test_gateway = new();
    deliver(&mut test_gateway);
    test_gateway.ledger().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("moved");
    let path = test_gateway.path("ledger/ledger.db");
    let sound = fs::read(&path).expect("the ledger");
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    let transaction = 4096;
    // From where, and whether the rest is filled with this or missing.
    for (what, from, to, filling) in [
        ("empty", 0, sound.len(), None),
        ("cut", transaction + transaction / 2, sound.len(), None),
        ("no header", 0, 100, Some(0)),
        ("another program's", 68, 72, Some(0)),
        ("no tables", 100, transaction, Some(0xff)),
        ("no pages", transaction, sound.len(), Some(0xff)),
    ] {
        let mut bytes = sound.clone();
        match filling {
            Some(byte) => bytes[from..to].fill(byte),
            None => bytes.truncate(from),
        }
        fs::write(&path, &bytes).expect("written");
        let ended = test_gateway.deliver(&request);
        assert_eq!((ended.deferred, ended.replies.len()), (Some("ledger"), 0), "{what}: {ended:?}");
        assert!(fs::read(&path).expect("the ledger") == bytes, "{what}: for whoever wants to save what can be saved");
    }
    for sql in [
        "UPDATE requests SET state = 'nonsense'",
        "UPDATE requests SET state = 'started', handed_over = NULL, result = 'exit-x'",
        "DROP TABLE lockouts",
        "DROP TABLE floor",
    ] {
        fs::write(&path, &sound).expect("written");
        test_gateway.ledger().execute_batch(sql).expect("done");
        test_gateway.clock.forward(-60);
        let earlier = test_gateway.request("count", &[]);
        test_gateway.clock.forward(60);
        let mail = if sql.starts_with("UPDATE") { &earlier } else { &request };
        let ended = test_gateway.deliver(mail);
        assert_eq!(ended.deferred, Some("ledger"), "{sql}: {ended:?}");
    }
    assert_eq!(test_gateway.runs().len(), 1);
}

/// Every file size at which the disk can end, by RLIMIT_FSIZE: whatever could not be written, a delivery on a repaired
/// disk finishes, and the command has run at most once.
#[test]
fn a_full_disk_at_every_size_defers_and_loses_nothing() {
    let mut deferred = 0;
    for blocks in (0..240).step_by(8) {
        let test_gateway = TestGateway::new();
        let first = deliver_with_files_up_to(&test_gateway, &blocks.to_string());
        let status = first.status.code().expect("no signal");
        assert!(status == 0 || status == 75, "{blocks}: {first:?}");
        deferred += usize::from(status == 75);
        let second = deliver_with_files_up_to(&test_gateway, "unlimited");
        assert_eq!(second.status.code(), Some(0), "{blocks}: {second:?}");
        let replies: Vec<_> = fs::read_dir(test_gateway.path("replies"))
            .expect("replies")
            .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a reply"))
            .collect();
        // Where the disk was full only when the reply had left, a second one is the same.
        assert!(replies.len() == 1 || status == 0 && replies.len() == 2, "{blocks}: {first:?} {second:?}");
        let reply = &replies[0];
        assert!(replies.iter().all(|other| other == reply), "{blocks}: {replies:?}");
        let runs = test_gateway.runs().len();
        let told = if runs == 1 { ["ok: count", "outcome unknown: count"] } else { ["outcome unknown: count"; 2] };
        assert!(runs <= 1 && told.iter().any(|words| reply.contains(words)), "{blocks}: {runs} {reply}");
        let integrity: String =
            test_gateway.ledger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
        assert_eq!(integrity, "ok", "{blocks}");
        let chain = verify(&test_gateway);
        assert!(chain.status.success(), "{blocks}: {chain:?}");
    }
    assert!((8..30).contains(&deferred), "the sizes tried are those that matter: {deferred}");
}

/// What makes a ledger of the newest schema one of schema 4.
const SCHEMA_4: &str = "DROP INDEX requests_command; DROP INDEX requests_open;
    CREATE INDEX requests_slot ON requests (command) WHERE holds_until IS NOT NULL;
    CREATE INDEX requests_open ON requests (first_seen) WHERE handed_over IS NULL; PRAGMA user_version = 4;";

/// Each delivery reads the log, so what a migration on a full disk has written there is removed.
#[test]
fn a_migration_on_a_full_disk_leaves_no_log_behind_and_is_done_later() {
    let test_gateway = TestGateway::new();
    ledger::init(&test_gateway.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    let ledger = test_gateway.ledger();
    ledger
        .execute_batch(&format!(
            "INSERT INTO requests (name, user, command, arguments, signed, first_seen, state, audit_lost, handed_over)
                 WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 300)
                 SELECT randomblob(32), 'bob', printf('%0700d', n), '', 1, 1, 'finished', 0, 1 FROM numbers;
             {SCHEMA_4} PRAGMA wal_checkpoint(TRUNCATE);"
        ))
        .expect("an older ledger with requests");
    let schema = || -> i64 { ledger.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number") };
    // 64 KiB: less than the index by command.
    let full = deliver_with_files_up_to(&test_gateway, "128");
    assert_eq!((full.status.code(), schema()), (Some(75), 4), "{full:?}");
    let log = fs::metadata(test_gateway.path("ledger/ledger.db-wal")).expect("the log");
    assert_eq!(log.len(), 0, "{full:?}");
    let repaired = deliver_with_files_up_to(&test_gateway, "unlimited");
    assert_eq!((repaired.status.code(), schema()), (Some(0), 6), "{repaired:?}");
    assert_eq!(test_gateway.runs().len(), 1);
}

/// Delivers one and the same mail by the built binary, which can make no file longer than so many blocks of 512 bytes.
fn deliver_with_files_up_to(test_gateway: &TestGateway, blocks: &str) -> Output {
    let home = test_gateway.folder.path().display().to_string();
    if !test_gateway.path("mail").exists() {
        let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
        test_gateway.write("mailsudo.toml", 0o644, &toml.replace(&format!("\"{home}/log\""), "\"stderr\""));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).expect("a time"));
        let mail = mail("alice@example.com", &block("alice", KEY, now, "count", &[], None));
        test_gateway.write("mail", 0o644, &mail);
    }
    // pipe(8) ignores SIGXFSZ as well (docs/operations.md).
    let line =
        format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" deliver --config {home} --reply-via {home}/sendmail");
    let input = fs::File::open(test_gateway.path("mail")).expect("a mail");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_mailsudo")]).stdin(input).stderr(Stdio::piped());
    shell.output().expect("a shell")
}
