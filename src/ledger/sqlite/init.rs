//! A new ledger, and one of an older schema: each is made whole or not at all.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags};

use super::files::{beside, checked_path, failed, sync_folder};
use super::schema::{APPLICATION, FIRST_SCHEMA, FLAGS, SCHEMA, WITH_COUNTERS, migration};
use super::{Sqlite, count};
use crate::config::Trusted;
use crate::ledger::LedgerError;
use crate::limits::Timeouts;
use crate::protocol::Timestamp;

impl Sqlite {
    /// Brings a ledger of an older schema to this one, whole or not at all. Another process may have done it first, so
    /// it is checked inside the transaction.
    pub(super) fn migrate(&self) -> Result<(), LedgerError> {
        let transaction = self.begin()?;
        let migrated = self.migrate_in(transaction);
        // The indices of millions of requests are in the log now, and every delivery would read it, also where the disk
        // was full. Where another process uses the ledger, its next commit moves the log back.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        migrated
    }

    fn migrate_in(&self, transaction: rusqlite::Transaction<'_>) -> Result<(), LedgerError> {
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if (FIRST_SCHEMA..SCHEMA).contains(&found) {
            self.check_schema(found)?;
            transaction.execute_batch(&migration(found))?;
            if found < WITH_COUNTERS {
                count::begin(&transaction)?;
            }
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        Ok(transaction.commit()?)
    }

    /// Makes an empty ledger; see [`crate::ledger::init`]. It is finished under another name and then appears whole, so
    /// a delivery at the same time, or after a crash, finds all of it or nothing.
    pub(in crate::ledger) fn init(
        path: &Path,
        trusted: Trusted,
        watermark: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let path = checked_path(path, trusted.clone(), false)?;
        let new = |file: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map(drop);
        let locks = beside(&path, "-claims");
        match new(&locks) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&locks, error)),
            _ => {}
        }
        if !path.exists() {
            let temporary = path.with_extension(format!("new-{}", std::process::id()));
            new(&temporary).map_err(|error| failed(&temporary, error))?;
            // A ledger without its lock file would not be made again, so the name of that file must be durable before
            // the ledger's.
            let made = create_tables(&temporary, watermark).and_then(|()| sync_folder(&path)).and_then(|()| {
                let moved = rustix::fs::renameat_with(CWD, &temporary, CWD, &path, RenameFlags::NOREPLACE);
                moved.map_err(|errno| failed(&path, errno))
            });
            if let Err(error) = made {
                let _ = std::fs::remove_file(&temporary);
                // Another process may have made one first; then that ledger stays.
                if !path.exists() {
                    return Err(error);
                }
            }
        }
        sync_folder(&path)?;
        Self::open(&path, trusted, Timeouts::DEFAULT.transaction).map(drop)
    }
}

/// Fills the empty file `temporary` with the tables, and leaves no file beside it. The write-ahead log comes last:
/// closing moves its content into the file, and SQLite does not report if that fails.
fn create_tables(temporary: &Path, watermark: Option<Timestamp>) -> Result<(), LedgerError> {
    let mut connection = Connection::open_with_flags(temporary, FLAGS)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(&migration(0))?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    if let Some(watermark) = watermark {
        transaction.execute("INSERT INTO floor (signed) VALUES (?1)", [watermark.seconds()])?;
    }
    count::begin(&transaction)?;
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| error.into())
}
