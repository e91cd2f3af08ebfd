//! What only a ledger in a file can break.

use std::path::Path;
use std::time::Duration;

use super::stand::{SqliteStand, Stand};
use super::{alice, at, id, record, write};
use crate::config::Trusted;
use crate::ledger::{LedgerError, Record, Sqlite};
use crate::limits::Timeouts;

fn opened(folder: &Path) -> Result<Sqlite, LedgerError> {
    Sqlite::open(&folder.join("ledger.db"), Trusted::caller(), Timeouts::DEFAULT.transaction)
}

/// A hold of SQLite is by the node's clock, which may have been wrong.
#[test]
fn a_hold_that_a_wrong_clock_began_ends() {
    let stand = SqliteStand::new();
    let mut ledger = stand.open();
    write(ledger.as_mut(), &Record { holds_until: Some(at(500)), ..record(1, 100) }).expect("committed");
    let transaction = ledger.transaction(&id(3), &alice()).expect("a transaction");
    let hold = transaction.exclusive_holds("restart", at(-200)).expect("read")[0];
    assert!(!hold.is_busy(at(-200), Duration::from_mins(10)), "no run lasts that long");
}

/// Item 6.
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
    let SqliteStand(folder) = SqliteStand::new();
    Sqlite::init(&folder.path().join("ledger.db"), Trusted::caller(), None).expect("making it again changes nothing");
    let newer = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("the database");
    newer.pragma_update(None, "user_version", 99).expect("set");
    assert!(matches!(opened(folder.path()), Err(LedgerError::Newer(99))));
}

/// Item 6: what mailsudo did not make is not used.
#[test]
fn a_planted_trigger_is_an_error() {
    for planted in [
        "CREATE TRIGGER t AFTER INSERT ON requests BEGIN UPDATE requests SET user = 'eve'; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP INDEX requests_step",
    ] {
        let SqliteStand(folder) = SqliteStand::new();
        let database = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("the database");
        database.execute_batch(planted).expect("planted");
        drop(database);
        assert!(matches!(opened(folder.path()), Err(LedgerError::Corrupt(_))), "{planted}");
    }
}
