//! One request's page: SQLite's write transaction, begun IMMEDIATE so that pages take turns from their first read on.

use std::fs::File;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{byte_of, record};
use crate::ledger::{LedgerError, Lockout, Page, Record, Slot};
use crate::protocol::{RequestName, Timestamp};

/// An open page.
pub(super) struct SqlitePage<'l> {
    pub(super) transaction: Transaction<'l>,
    pub(super) claims: File,
    pub(super) name: RequestName,
    pub(super) user: String,
    pub(super) record: Option<Record>,
}

impl SqlitePage<'_> {
    fn is_claimed(&self, holder: &RequestName) -> Result<bool, LedgerError> {
        let mut lock = byte_of(holder);
        fcntl(&self.claims, FcntlArg::F_OFD_GETLK(&mut lock))
            .map_err(|errno| LedgerError::Backend(format!("the claims file: {errno}")))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

impl Page for SqlitePage<'_> {
    fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    fn floor(&self) -> Result<Option<Timestamp>, LedgerError> {
        let floor = self.transaction.query_row("SELECT signed FROM floor", [], |row| row.get(0));
        Ok(floor.optional()?.map(Timestamp::from_seconds))
    }

    fn lockout(&self) -> Result<Option<Lockout>, LedgerError> {
        lockout_of(&self.transaction, &self.user)
    }

    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError> {
        let sql =
            "SELECT count(*) FROM requests WHERE user = ?1 AND first_seen > ?2 AND first_seen <= ?3 AND reason = ?4";
        let reason = crate::error::Reason::BadCode.code();
        let key = params![self.user, since.seconds(), now.seconds(), reason];
        Ok(self.transaction.query_row(sql, key, |row| row.get(0))?)
    }

    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError> {
        let sql = "SELECT 1 FROM requests WHERE user = ?1 AND step = ?2";
        let found = self.transaction.query_row(sql, params![self.user, step.cast_signed()], |_| Ok(()));
        Ok(found.optional()?.is_some())
    }

    fn slot(&self, command: &str) -> Result<Option<Slot>, LedgerError> {
        let sql = "SELECT holder, until FROM slots WHERE command = ?1";
        let row = self.transaction.query_row(sql, [command], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((holder, until)) = row else {
            return Ok(None);
        };
        let holder = RequestName::from_bytes(holder);
        let is_claimed = self.is_claimed(&holder)?;
        Ok(Some(Slot { holder, until: Timestamp::from_seconds(until), is_claimed }))
    }

    fn write(&mut self, record: &Record) -> Result<(), LedgerError> {
        record::write(&self.transaction, record)
    }

    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError> {
        set_lockout(&self.transaction, &self.user, lockout)
    }

    fn take_slot(&mut self, command: &str, until: Timestamp) -> Result<(), LedgerError> {
        self.transaction.execute(
            "INSERT OR REPLACE INTO slots (command, holder, until) VALUES (?1, ?2, ?3)",
            params![command, self.name.as_bytes(), until.seconds()],
        )?;
        Ok(())
    }

    fn free_slot(&mut self, command: &str) -> Result<(), LedgerError> {
        let sql = "DELETE FROM slots WHERE command = ?1 AND holder = ?2";
        self.transaction.execute(sql, params![command, self.name.as_bytes()])?;
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
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
