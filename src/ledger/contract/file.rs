//! What only a ledger in a file can break.

use std::path::Path;
use std::time::Duration;

use super::backend::{Backend, SqliteBackend};
use super::{alice, at, id, read, record, write};
use crate::config::Trusted;
use crate::ledger::{AuditEvent, ChainRow, EventKey, EventKind, LedgerError, Record, Sqlite};
use crate::limits::Timeouts;

/// Statements that make a ledger of an older schema of one that is up to date: schema 5; 4, after those; 3; 2; 1.
const FIFTH: &str = "DROP INDEX requests_command; DROP INDEX requests_open; DROP INDEX requests_seen;
    CREATE INDEX requests_slot ON requests (command) WHERE holds_until IS NOT NULL;
    CREATE INDEX requests_open ON requests (first_seen) WHERE handed_over IS NULL;
    CREATE INDEX requests_seen ON requests (first_seen, command); PRAGMA user_version = 5;";
const FOURTH: &str =
    "DROP INDEX requests_seen; CREATE INDEX requests_seen ON requests (first_seen); PRAGMA user_version = 4;";
const THIRD: &str = "DROP TABLE events; DROP TABLE checkpoint; PRAGMA user_version = 3;";
const SECOND: &str =
    "DROP TABLE counters; DROP INDEX requests_user; DROP INDEX requests_seen; DROP INDEX requests_open;
    DROP INDEX requests_state;
    CREATE INDEX requests_no_step ON requests (user, first_seen) WHERE step IS NULL; PRAGMA user_version = 2;";
const FIRST: &str =
    "DROP TABLE approvals; DROP TABLE payloads; DROP TABLE votes; DROP TABLE notices; PRAGMA user_version = 1;";

fn opened(folder: &Path) -> Result<Sqlite, LedgerError> {
    Sqlite::open(&folder.join("ledger.db"), Trusted::caller(), Timeouts::DEFAULT.transaction)
}

/// A hold of SQLite is by the node's clock, which may have been wrong.
#[test]
fn a_hold_that_a_wrong_clock_began_ends() {
    let backend = SqliteBackend::new();
    let mut ledger = backend.open();
    write(ledger.as_mut(), &Record { holds_until: Some(at(500)), ..record(1, 100) }).expect("committed");
    let transaction = ledger.transaction(&id(3), &alice()).expect("a transaction");
    let hold = transaction.exclusive_holds("restart", at(-200)).expect("read")[0];
    assert!(!hold.is_busy(at(-200), Duration::from_mins(10)), "no run lasts that long");
}

/// Item 8.
#[test]
fn opening_makes_nothing_and_touches_nothing_foreign() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    assert!(matches!(opened(folder.path()), Err(LedgerError::Missing(_))));
    assert!(!path.exists());
    let foreign = rusqlite::Connection::open(&path).expect("a database");
    foreign.execute_batch("CREATE TABLE x (y)").expect("a table");
    assert!(matches!(opened(folder.path()), Err(LedgerError::Foreign(_))));
    assert!(matches!(Sqlite::init(&path, Trusted::caller(), None), Err(LedgerError::Foreign(_))));
    let SqliteBackend(folder) = SqliteBackend::new();
    Sqlite::init(&folder.path().join("ledger.db"), Trusted::caller(), None).expect("making it again changes nothing");
    let newer = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("the database");
    newer.pragma_update(None, "user_version", 99).expect("set");
    assert!(matches!(opened(folder.path()), Err(LedgerError::Newer(99))));
}

/// Item 8: what mailsudo did not make is not used.
#[test]
fn a_planted_trigger_is_an_error() {
    for planted in [
        "CREATE TRIGGER t AFTER INSERT ON requests BEGIN UPDATE requests SET user = 'eve'; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP INDEX requests_step",
    ] {
        let SqliteBackend(folder) = SqliteBackend::new();
        let database = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("the database");
        database.execute_batch(planted).expect("planted");
        drop(database);
        assert!(matches!(opened(folder.path()), Err(LedgerError::Corrupt(_))), "{planted}");
    }
}

/// Item 8: an older ledger is brought up to date by opening it, whole, and keeps what it holds.
#[test]
fn a_ledger_of_an_older_schema_is_migrated_when_it_is_opened() {
    let steps = [FIFTH, FOURTH, THIRD, SECOND, FIRST];
    for (number, older) in (1..=5).rev().enumerate() {
        let back: String = steps[..=number].concat();
        let backend = SqliteBackend::new();
        let path = backend.0.path().join("ledger.db");
        let mut ledger = opened(backend.0.path()).expect("the ledger");
        write(&mut ledger, &record(1, 1000)).expect("committed");
        let held = Record { holds_until: Some(at(5000)), replied: Some(at(1001)), ..record(2, 1001) };
        write(&mut ledger, &held).expect("committed");
        drop(ledger);
        let database = rusqlite::Connection::open(&path).expect("the database");
        database.execute_batch(&back).expect("the older schema");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| opened(backend.0.path()).expect("the ledger, migrated once"));
            }
        });
        let mut ledger = backend.open();
        assert_eq!(read(ledger.as_mut(), 1), Some(record(1, 1000)), "of schema {older}");
        assert_eq!(ledger.pending(10).expect("a list"), []);
        let holds = ledger.transaction(&id(3), &alice()).expect("a transaction").exclusive_holds("restart", at(2000));
        let holders: Vec<_> = holds.expect("read").into_iter().map(|hold| hold.holder).collect();
        assert_eq!(holders, [Some(id(2))], "of schema {older}: it holds its command, and was replied to");
        let found: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
        assert_eq!(found, 6);
        let tally = ledger.tally(at(0)).expect("counters");
        assert_eq!((tally.requests, tally.oldest_open), (2, Some(at(1000))), "of schema {older}");
        // What mailsudo did not make is not migrated.
        database.execute_batch(&format!("{back} CREATE VIEW v AS SELECT 1")).expect("planted");
        assert!(matches!(opened(backend.0.path()), Err(LedgerError::Corrupt(_))));
    }
}

/// Requests that are older than the chain have no event, and the chain says how many there are.
#[test]
fn a_chain_that_begins_later_says_how_many_requests_are_older() {
    let backend = SqliteBackend::new();
    let mut ledger = backend.open();
    for n in 1..=3 {
        write(ledger.as_mut(), &record(n, 1000)).expect("committed");
    }
    ledger.mark_replied(&id(1), at(2000), 0, Duration::from_secs(10)).expect("marked");
    let mut said = Vec::new();
    let mut each = |row: ChainRow| {
        let event = AuditEvent::parse(&row.event).expect("an event");
        said.push((event.kind(), event.get(EventKey::Requests).map(str::to_owned)));
        Ok(())
    };
    ledger.events(0, &mut each).expect("the events");
    assert_eq!(said, [(Some(EventKind::Migrated), Some("2".to_owned())), (Some(EventKind::Replied), None)]);
}
