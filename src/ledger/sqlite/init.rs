//! A new ledger: its schema, and how it is made whole or not at all.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags};

use super::files::{beside, checked_path, failed, sync_folder};
use super::{FLAGS, Sqlite};
use crate::config::Trusted;
use crate::ledger::LedgerError;
use crate::limits::Timeouts;
use crate::protocol::Timestamp;

/// "mail" in ASCII: marks a ledger, unlike other SQLite files (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x6d61_696c;

/// The schema that this binary reads and writes (`PRAGMA user_version`).
pub(super) const SCHEMA: i64 = 2;

/// The first schema: without approvals.
pub(super) const FIRST_SCHEMA: i64 = 1;

/// States that an executed request passes through are not in the indices: each index costs one SQLite page in two commits.
const TABLES: &str = "
    CREATE TABLE requests (
        name BLOB NOT NULL UNIQUE,
        user TEXT NOT NULL,
        command TEXT NOT NULL,
        arguments TEXT NOT NULL,
        signed INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        step INTEGER,
        run_as TEXT,
        argv TEXT,
        started INTEGER,
        finished INTEGER,
        result TEXT,
        reply_to TEXT,
        reply BLOB,
        handed_over INTEGER,
        queue_id TEXT,
        audit_lost INTEGER NOT NULL,
        holds_until INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX requests_step ON requests (user, step);
    CREATE INDEX requests_no_step ON requests (user, first_seen) WHERE step IS NULL;
    CREATE INDEX requests_handed_over ON requests (handed_over) WHERE handed_over IS NOT NULL;
    CREATE INDEX requests_slot ON requests (command) WHERE holds_until IS NOT NULL;
    CREATE TABLE lockouts (
        user TEXT PRIMARY KEY, until INTEGER NOT NULL, told INTEGER NOT NULL, counted_to INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE floor (signed INTEGER NOT NULL) STRICT;
";

/// What schema 2 adds: requests that need approval, payloads, votes about requests, and notices to approvers.
const APPROVALS: &str = "
    CREATE TABLE approvals (
        name BLOB PRIMARY KEY,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        needed INTEGER NOT NULL,
        host TEXT NOT NULL,
        reason TEXT,
        exception TEXT,
        is_open INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX approvals_open ON approvals (until) WHERE is_open = 1;
    CREATE TABLE payloads (name BLOB PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, content BLOB) STRICT;
    CREATE TABLE votes (
        vote BLOB NOT NULL UNIQUE, request BLOB NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL,
        words TEXT
    ) STRICT;
    CREATE INDEX votes_request ON votes (request);
    CREATE TABLE notices (
        request BLOB NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, sent INTEGER, PRIMARY KEY (request, kind, user)
    ) STRICT;
";

/// The statements of a schema, as SQLite keeps them: without the text around them.
pub(super) fn statements(schema: i64) -> impl Iterator<Item = &'static str> {
    let later = if schema > FIRST_SCHEMA { APPROVALS } else { "" };
    let all = TABLES.split(';').chain(later.split(';'));
    all.map(str::trim).filter(|statement| !statement.is_empty())
}

impl Sqlite {
    /// Brings a ledger of the first schema to this one, whole or not at all. Another process may have done it first, so it is
    /// checked inside the transaction.
    pub(super) fn migrate(&self) -> Result<(), LedgerError> {
        let transaction = self.begin()?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == FIRST_SCHEMA {
            self.check_schema(found)?;
            transaction.execute_batch(APPROVALS)?;
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
            // A ledger without its lock file would not be made again, so the name of that file must be durable before the ledger's.
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

/// Fills the empty file `temporary` with the tables, and leaves no file beside it. The write-ahead log comes last: closing
/// moves its content into the file, and SQLite does not report if that fails.
fn create_tables(temporary: &Path, watermark: Option<Timestamp>) -> Result<(), LedgerError> {
    let mut connection = Connection::open_with_flags(temporary, FLAGS)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(APPROVALS)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    if let Some(watermark) = watermark {
        transaction.execute("INSERT INTO floor (signed) VALUES (?1)", [watermark.seconds()])?;
    }
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| error.into())
}
