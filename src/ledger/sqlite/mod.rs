//! The ledger in an SQLite file with a write-ahead log, for one mail server. A commit whose loss could do harm ends
//! with an fsync(2).

mod approval;
mod chain;
mod count;
mod files;
mod init;
mod locks;
mod prune;
mod queries;
mod record;
mod replied;
mod restore;
mod schema;
mod transaction;
mod turn;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::{
    AuditEvent, ChainPoint, Counts, Ledger, LedgerError, Lockout, Record, RequestLock, StoredReply, Transaction,
};
use crate::config::Trusted;
use crate::limits::{HEAP_KEPT, LEDGER_POLL, WAL_PAGES};
use crate::protocol::{GatewayName, RequestId, Timestamp, UserName};

use files::{beside, checked_path, failed, sync_folder};
use record::COLUMNS;
pub use restore::Restored;
use schema::{APPLICATION, FIRST_SCHEMA, FLAGS, SCHEMA, statements};
use transaction::SqliteTransaction;
use turn::Turn;

/// An open SQLite ledger.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    /// The file whose bytes are locked (`locks.rs`).
    locks: PathBuf,
    synchronous: Synchronous,
    timeout: Duration,
    /// The gateway whose audit chain an event may begin.
    gateway: Option<GatewayName>,
}

/// When a commit of the write-ahead log is on stable storage (`PRAGMA synchronous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Synchronous {
    /// When the commit returns.
    Full,
    /// When the next [`Full`](Self::Full) commit returns. Until then, a power failure may undo it.
    Normal,
}

impl Synchronous {
    fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

impl Sqlite {
    /// Opens the ledger at `path` after checking its folder and files.
    pub(super) fn open(path: &Path, trusted: Trusted, timeout: Duration) -> Result<Self, LedgerError> {
        let path = checked_path(path, trusted, true)?;
        // glibc gives the end of the heap back whenever 128 KiB of it are free, and SQLite takes it again. It ceases to once
        // a mapping was freed (M_MMAP_THRESHOLD of mallopt(3)).
        drop(std::hint::black_box(Vec::<u8>::with_capacity(HEAP_KEPT)));
        let connection = Connection::open_with_flags(&path, FLAGS)?;
        connection.busy_timeout(timeout)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // No query plan here depends on the values. A check for that would prepare statements twice.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
        let synchronous = Synchronous::Full;
        connection.pragma_update(None, "synchronous", synchronous.word())?;
        let ledger = Self { connection, locks: beside(&path, "-claims"), synchronous, timeout, gateway: None };
        match ledger.schema()? {
            (APPLICATION, SCHEMA) => {
                ledger.check_schema(SCHEMA)?;
                ledger.keep_log_name(&path)?;
                Ok(ledger)
            }
            (APPLICATION, FIRST_SCHEMA..SCHEMA) => {
                ledger.keep_log_name(&path)?;
                ledger.migrate()?;
                ledger.check_schema(SCHEMA)?;
                Ok(ledger)
            }
            (APPLICATION, newer) if newer > SCHEMA => Err(LedgerError::Newer(newer)),
            _ => Err(LedgerError::Foreign(path)),
        }
    }

    /// The same ledger, as that of `gateway`: only then can an event begin its chain.
    pub(super) fn of(mut self, gateway: &GatewayName) -> Self {
        self.gateway = Some(gateway.clone());
        self
    }

    fn set(&mut self, synchronous: Synchronous) -> Result<(), LedgerError> {
        if self.synchronous != synchronous {
            self.connection.pragma_update(None, "synchronous", synchronous.word())?;
            self.synchronous = synchronous;
        }
        Ok(())
    }

    /// Begins a write transaction when no other is open.
    fn begin(&self) -> Result<rusqlite::Transaction<'_>, LedgerError> {
        self.begin_within(self.timeout)
    }

    fn begin_within(&self, timeout: Duration) -> Result<rusqlite::Transaction<'_>, LedgerError> {
        self.wait_while_busy(timeout, || {
            rusqlite::Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)
        })
    }

    /// Tries `work` twice, and again in its turn, until no other transaction is open or `timeout` is over. SQLite itself
    /// would sleep between its attempts for up to a tenth of a second, many times as long as a transaction is open, and
    /// would keep no order.
    fn wait_while_busy<T>(
        &self,
        timeout: Duration,
        mut work: impl FnMut() -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let deadline = Instant::now() + timeout;
        let is_over = |done: &rusqlite::Result<T>| !done.as_ref().is_err_and(is_busy) || Instant::now() >= deadline;
        self.connection.busy_timeout(Duration::ZERO)?;
        let mut done = work();
        if !is_over(&done) {
            // Many transactions are over by then, and waiting for the turn takes a thread (docs/decisions/0065).
            std::thread::sleep(LEDGER_POLL);
            done = work();
        }
        if !is_over(&done) {
            let _turn = Turn::wait(&self.locks, deadline);
            done = work();
            while !is_over(&done) {
                std::thread::sleep(LEDGER_POLL);
                done = work();
            }
        }
        self.connection.busy_timeout(self.timeout)?;
        Ok(done?)
    }

    /// Makes sure that the write-ahead log, which reading has opened, still has its name after a power failure.
    ///
    /// MUST: no process writes into a log that could be lost with its content. A log with content was written by a
    /// process that has passed this point. No log is deleted while a ledger is open.
    fn keep_log_name(&self, path: &Path) -> Result<(), LedgerError> {
        let log = beside(path, "-wal");
        let is_empty = match log.metadata() {
            Ok(about) => about.len() == 0,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.create_log(path)?;
                true
            }
            Err(error) => return Err(failed(&log, error)),
        };
        if is_empty {
            sync_folder(path)?;
        }
        Ok(())
    }

    /// Makes a write-ahead log for a ledger that has none, such as a restored backup.
    fn create_log(&self, path: &Path) -> Result<(), LedgerError> {
        let mode: String = self.connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(failed(path, "it has no write-ahead log, and SQLite does not begin one"));
        }
        // The first reader makes the file.
        self.schema().map(drop)
    }

    /// Refuses a ledger with other tables than mailsudo makes: a trigger in it could change what is recorded.
    fn check_schema(&self, schema: i64) -> Result<(), LedgerError> {
        let mut statement = self.connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        let mut rows = statement.query([])?;
        // A backup has them in another order.
        let mut missing: Vec<&str> = statements(schema).collect();
        while let Some(row) = rows.next()? {
            let found = row.get_ref(0)?.as_str().unwrap_or_default();
            let at = missing.iter().position(|statement| *statement == found);
            missing.swap_remove(at.ok_or(LedgerError::Corrupt("table, index or trigger"))?);
        }
        if missing.is_empty() { Ok(()) } else { Err(LedgerError::Corrupt("lack of a table or index")) }
    }

    fn schema(&self) -> Result<(i64, i64), LedgerError> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        Ok((pragma("application_id")?, pragma("user_version")?))
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

impl Ledger for Sqlite {
    fn lock(&self, id: &RequestId) -> Result<Option<RequestLock>, LedgerError> {
        locks::lock(&self.locks, id)
    }

    fn is_locked(&self, id: &RequestId) -> Result<bool, LedgerError> {
        locks::is_locked(&self.locks, id)
    }

    fn transaction(&mut self, id: &RequestId, user: &UserName) -> Result<Box<dyn Transaction + '_>, LedgerError> {
        // SQLite continues to write into files that were moved or deleted, and those writes would be lost.
        rustix::fs::stat(&self.locks).map_err(|errno| failed(&self.locks, errno))?;
        self.set(Synchronous::Full)?;
        let transaction = self.begin()?;
        Ok(Box::new(SqliteTransaction {
            transaction,
            locks: &self.locks,
            gateway: self.gateway.as_ref(),
            id: *id,
            user: user.to_string(),
            counts: Counts::default(),
            counted_at: Timestamp::from_seconds(0),
        }))
    }

    fn mark_replied(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        self.set(Synchronous::Normal)?;
        let transaction = self.begin_within(timeout)?;
        replied::mark(&transaction, self.gateway.as_ref(), id, now, audit_lost)?;
        Ok(transaction.commit()?)
    }

    /// Whether anything is old is asked in the transaction that marks the reply.
    fn end_delivery(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        (before, most): (Timestamp, u32),
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        self.set(Synchronous::Normal)?;
        let transaction = self.begin_within(timeout)?;
        replied::mark(&transaction, self.gateway.as_ref(), id, now, audit_lost)?;
        let has_old = replied::has_old(&transaction, before);
        transaction.commit()?;
        if has_old? { self.prune(before, most, now).map(drop) } else { Ok(()) }
    }

    fn replace_reply(
        &mut self,
        id: &RequestId,
        from: &StoredReply,
        to: &StoredReply,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        self.set(Synchronous::Full)?;
        let sql = "UPDATE requests SET reply = ?3 WHERE name = ?1 AND reply = ?2 AND handed_over IS NULL";
        let values = params![id.as_bytes(), from.stored(), to.stored()];
        match self.wait_while_busy(timeout, || self.connection.execute(sql, values))? {
            0 => Err(LedgerError::Taken),
            _ => Ok(()),
        }
    }

    fn count(&mut self, counts: &Counts, now: Timestamp, timeout: Duration) -> Result<(), LedgerError> {
        self.set(Synchronous::Normal)?;
        let transaction = self.begin_within(timeout)?;
        count::add(&transaction, counts, now)?;
        Ok(transaction.commit()?)
    }

    fn prune(&mut self, before: Timestamp, most: u32, now: Timestamp) -> Result<u32, LedgerError> {
        // If a power failure undoes it, the watermark is undone with it.
        self.set(Synchronous::Normal)?;
        self.prune_old(before, most, now)
    }

    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
        self.set(Synchronous::Full)?;
        let transaction = self.begin()?;
        let point = chain::append(&transaction, self.gateway.as_ref(), event)?;
        transaction.commit()?;
        Ok(point)
    }

    fn lockout(&self, user: &UserName) -> Result<Option<Lockout>, LedgerError> {
        transaction::lockout_of(&self.connection, user.as_str())
    }

    fn unlock(&mut self, user: &UserName, now: Timestamp) -> Result<bool, LedgerError> {
        self.set(Synchronous::Full)?;
        let transaction = self.begin()?;
        let before = transaction::lockout_of(&transaction, user.as_str())?;
        transaction::set_lockout(&transaction, user.as_str(), &Lockout { until: now, told: true, counted_to: now })?;
        transaction.commit()?;
        Ok(before.is_some_and(|lockout| now < lockout.until))
    }

    fn look_up(
        &self,
        user: &UserName,
        except: &RequestId,
        short: Option<&[u8]>,
    ) -> Result<Option<Record>, LedgerError> {
        let record = if let Some(short) = short {
            let sql = format!("SELECT {COLUMNS} FROM requests WHERE name >= ?2 AND name < ?3 AND user = ?1 LIMIT 1");
            let (from, to) = super::queries::bounds(short);
            let key = params![user.as_str(), from, to];
            self.connection.query_row(&sql, key, |row| Ok(record::read(row))).optional()?
        } else {
            // By the order of recording: after a change of a user's TOTP period, steps do not show which request is
            // newer.
            let sql = format!(
                "SELECT {COLUMNS} FROM requests WHERE user = ?1 AND name <> ?2 ORDER BY first_seen DESC, rowid DESC LIMIT 1"
            );
            let key = params![user.as_str(), except.as_bytes()];
            self.connection.query_row(&sql, key, |row| Ok(record::read(row))).optional()?
        };
        record.transpose()
    }
}
