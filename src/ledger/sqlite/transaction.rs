//! One request's transaction: SQLite's write transaction. It begins with IMMEDIATE, so transactions exclude each other
//! from the first read on.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::{chain, count, locks, record};
use crate::ledger::{AuditEvent, ChainPoint, Counts, ExclusiveHold, LedgerError, Lockout, Record, Series, Transaction};
use crate::protocol::{GatewayName, RequestId, Timestamp};

/// The runs other than ?2 that hold the command ?1. Few requests are open or hold a command; many were ever recorded.
pub(super) const HOLDS: &str = "SELECT name, holds_until FROM requests INDEXED BY requests_open
     WHERE command = ?1 AND holds_until IS NOT NULL AND name <> ?2";

/// An open transaction.
pub(super) struct SqliteTransaction<'l> {
    pub(super) transaction: rusqlite::Transaction<'l>,
    pub(super) locks: &'l Path,
    pub(super) gateway: Option<&'l GatewayName>,
    pub(super) id: RequestId,
    pub(super) user: String,
    /// What is counted when it is committed.
    pub(super) counts: Counts,
    pub(super) counted_at: Timestamp,
}

impl Transaction for SqliteTransaction<'_> {
    fn record(&self) -> Result<Option<Record>, LedgerError> {
        record::find(&self.transaction, &self.id)
    }

    fn watermark(&self) -> Result<Option<Timestamp>, LedgerError> {
        let watermark = self.transaction.query_row("SELECT signed FROM floor", [], |row| row.get(0));
        Ok(watermark.optional()?.map(Timestamp::from_seconds))
    }

    fn lockout(&self) -> Result<Option<Lockout>, LedgerError> {
        lockout_of(&self.transaction, &self.user)
    }

    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError> {
        // A wrong code has no step.
        let sql = "SELECT count(*) FROM requests
             WHERE user = ?1 AND step IS NULL AND first_seen > ?2 AND first_seen <= ?3 AND reason = ?4";
        let reason = crate::error::Reason::BadCode.code();
        let key = params![self.user, since.seconds(), now.seconds(), reason];
        Ok(self.transaction.query_row(sql, key, |row| row.get(0))?)
    }

    fn newest(&self, since: Timestamp, now: Timestamp, most: u32) -> Result<Vec<Option<String>>, LedgerError> {
        let sql = "SELECT reason FROM requests WHERE user = ?1 AND first_seen > ?2 AND first_seen <= ?3
             ORDER BY first_seen DESC, rowid DESC LIMIT ?4";
        let mut statement = self.transaction.prepare(sql)?;
        let rows = statement.query_map(params![self.user, since.seconds(), now.seconds(), most], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError> {
        let sql = "SELECT 1 FROM requests WHERE user = ?1 AND step = ?2";
        let found = self.transaction.query_row(sql, params![self.user, step.cast_signed()], |_| Ok(()));
        Ok(found.optional()?.is_some())
    }

    fn exclusive_holds(&self, command: &str, _now: Timestamp) -> Result<Vec<ExclusiveHold>, LedgerError> {
        let mut statement = self.transaction.prepare(HOLDS)?;
        let mut rows = statement.query(params![command, self.id.as_bytes()])?;
        let mut exclusive_holds = Vec::new();
        while let Some(row) = rows.next()? {
            let holder = RequestId::from_bytes(row.get(0)?);
            let is_certain = locks::is_locked(self.locks, &holder)?;
            let until = Timestamp::from_seconds(row.get(1)?);
            exclusive_holds.push(ExclusiveHold { holder: Some(holder), until, is_certain });
        }
        Ok(exclusive_holds)
    }

    fn insert(&mut self, record: &Record) -> Result<(), LedgerError> {
        record::insert(&self.transaction, record)?;
        self.counts.one(Series::Recorded);
        Ok(())
    }

    fn update(&mut self, record: &Record) -> Result<(), LedgerError> {
        record::update(&self.transaction, record, None).map(drop)
    }

    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
        chain::append(&self.transaction, self.gateway, event)
    }

    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError> {
        set_lockout(&self.transaction, &self.user, lockout)
    }

    fn count(&mut self, counts: Counts, now: Timestamp) {
        self.counts.merge(counts);
        self.counted_at = now;
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        count::add(&self.transaction, &self.counts, self.counted_at)?;
        Ok(self.transaction.commit()?)
    }
}

/// A user's lockout.
pub(super) fn lockout_of(connection: &Connection, user: &str) -> Result<Option<Lockout>, LedgerError> {
    let sql = "SELECT until, told, counted_to FROM lockouts WHERE user = ?1";
    let lockout = connection.query_row(sql, [user], |row| {
        Ok(Lockout {
            until: Timestamp::from_seconds(row.get(0)?),
            told: row.get(1)?,
            counted_to: Timestamp::from_seconds(row.get(2)?),
        })
    });
    Ok(lockout.optional()?)
}

/// Sets a user's lockout.
pub(super) fn set_lockout(connection: &Connection, user: &str, lockout: &Lockout) -> Result<(), LedgerError> {
    connection.execute(
        "INSERT OR REPLACE INTO lockouts (user, until, told, counted_to) VALUES (?1, ?2, ?3, ?4)",
        params![user, lockout.until.seconds(), lockout.told, lockout.counted_to.seconds()],
    )?;
    Ok(())
}
