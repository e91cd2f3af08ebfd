//! A copy of a ledger put in the ledger's place. In: the bytes of the copy. Out: the ledger, and a watermark that
//! refuses what the copy may not know.
//!
//! MUST: the copy is checked before anything changes; what a former ledger recorded cannot run again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use rustix::fs::{CWD, RenameFlags};

use super::Sqlite;
use super::files::{beside, checked_path, failed, sync_folder};
use super::schema::{APPLICATION, FIRST_SCHEMA, FLAGS, SCHEMA};
use crate::config::Trusted;
use crate::ledger::LedgerError;
use crate::limits::Timeouts;
use crate::protocol::Timestamp;

/// A ledger that was put in place.
#[derive(Debug)]
pub struct Restored {
    /// How many requests it holds.
    pub requests: u64,
    /// What was signed up to this moment is refused, unless it is recorded.
    pub watermark: Timestamp,
    /// Where the former ledger is now.
    pub kept: Option<PathBuf>,
}

impl Sqlite {
    /// See [`crate::ledger::restore`].
    pub(in crate::ledger) fn restore(
        path: &Path,
        copy: &mut dyn Read,
        trusted: Trusted,
        now: Timestamp,
        max_future: Duration,
    ) -> Result<Restored, LedgerError> {
        let path = checked_path(path, trusted.clone(), false)?;
        let is_there = path.exists();
        // A delivery that has the former ledger open may still admit what is signed up to then.
        let watermark = if is_there { now.plus(max_future) } else { now };
        let temporary = path.with_extension(format!("restore-{}", std::process::id()));
        let placed = write(&temporary, copy)
            .and_then(|()| prepare(&temporary, watermark))
            .and_then(|(requests, watermark)| Ok((requests, watermark, place(&temporary, &path, now)?)));
        let (requests, watermark, kept) = placed.inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        sync_folder(&path)?;
        Self::open(&path, trusted, Timeouts::DEFAULT.transaction)?;
        Ok(Restored { requests, watermark, kept })
    }
}

fn write(temporary: &Path, copy: &mut dyn Read) -> Result<(), LedgerError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    let written = new.and_then(|mut file| {
        io::copy(copy, &mut file)?;
        file.sync_all()
    });
    written.map_err(|error| failed(temporary, error))
}

/// Checks the copy and raises its watermark; returns the number of its requests, and the watermark.
fn prepare(temporary: &Path, least: Timestamp) -> Result<(u64, Timestamp), LedgerError> {
    let foreign = || LedgerError::Backend("the file is not a copy of a ledger of mailsudo".to_owned());
    let mut connection = Connection::open_with_flags(temporary, FLAGS)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match (number("application_id"), number("user_version")) {
        // One of an older schema is brought up to date when it is opened.
        (Ok(APPLICATION), Ok(FIRST_SCHEMA..=SCHEMA)) => {}
        (Ok(APPLICATION), Ok(newer)) if newer > SCHEMA => return Err(LedgerError::Newer(newer)),
        _ => return Err(foreign()),
    }
    let integrity: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if integrity != "ok" {
        return Err(LedgerError::Backend(format!("the copy is damaged: {integrity}; take an older one")));
    }
    let transaction = connection.transaction()?;
    let former: Option<i64> = transaction.query_row("SELECT signed FROM floor", [], |row| row.get(0)).optional()?;
    let watermark = former.unwrap_or(i64::MIN).max(least.seconds());
    transaction.execute("DELETE FROM floor", [])?;
    transaction.execute("INSERT INTO floor (signed) VALUES (?1)", [watermark])?;
    let requests = transaction.query_row("SELECT count(*) FROM requests", [], |row| row.get(0))?;
    transaction.commit()?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.close().map_err(|(_, error)| LedgerError::from(error))?;
    Ok((requests, Timestamp::from_seconds(watermark)))
}

/// Moves a former ledger aside and the new one into its place; returns where the former one is.
fn place(temporary: &Path, path: &Path, now: Timestamp) -> Result<Option<PathBuf>, LedgerError> {
    let moved = |from: &Path, to: &Path| rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    let mut kept = None;
    if path.exists() {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(format!(".before-restore-{}", now.seconds()));
        let aside = PathBuf::from(name);
        // While this process has the only transaction, no delivery is in the middle of one. The log goes with the
        // ledger; its index is made again from it.
        let former = Connection::open_with_flags(path, FLAGS)?;
        former.busy_timeout(Timeouts::DEFAULT.transaction)?;
        former.execute_batch("BEGIN IMMEDIATE")?;
        moved(path, &aside).map_err(|errno| failed(path, errno))?;
        for end in ["-wal", "-shm"] {
            let side = beside(path, end);
            if side.exists() {
                moved(&side, &beside(&aside, end)).map_err(|errno| failed(&side, errno))?;
            }
        }
        kept = Some(aside);
    }
    let locks = beside(path, "-claims");
    if !locks.exists() {
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&locks);
        made.and_then(|file: File| file.sync_all()).map_err(|error| failed(&locks, error))?;
    }
    moved(temporary, path).map_err(|errno| failed(path, errno))?;
    Ok(kept)
}
