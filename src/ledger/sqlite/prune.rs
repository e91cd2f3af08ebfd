//! Removing old requests, in SQL, with the events that are as old.

use rusqlite::params;

use super::{Sqlite, chain, count, replied};
use crate::ledger::{LedgerError, Series};
use crate::protocol::Timestamp;

impl Sqlite {
    /// Removes up to `most` requests that were replied to and signed before `before`, the first replied first, and
    /// raises the watermark to the newest signed time among them.
    pub(super) fn prune_old(&self, before: Timestamp, most: u32, now: Timestamp) -> Result<u32, LedgerError> {
        let old = "FROM requests WHERE handed_over < ?1 AND signed < ?1 ORDER BY handed_over, rowid LIMIT ?2";
        let bounds = params![before.seconds(), most];
        if !replied::has_old(&self.connection, before)? {
            return Ok(0);
        }
        let transaction = self.begin()?;
        let newest = format!("SELECT max(signed) FROM (SELECT signed {old})");
        let newest: Option<i64> = transaction.query_row(&newest, bounds, |row| row.get(0))?;
        let raised = transaction.execute("UPDATE floor SET signed = max(signed, ?1) WHERE ?1 IS NOT NULL", [newest])?;
        if let (0, Some(newest)) = (raised, newest) {
            transaction.execute("INSERT INTO floor (signed) VALUES (?1)", [newest])?;
        }
        for (table, column) in
            [("approvals", "name"), ("payloads", "name"), ("votes", "request"), ("notices", "request")]
        {
            transaction.execute(&format!("DELETE FROM {table} WHERE {column} IN (SELECT name {old})"), bounds)?;
        }
        let gone = transaction.execute(&format!("DELETE FROM requests WHERE rowid IN (SELECT rowid {old})"), bounds)?;
        count::raise(&transaction, Series::Pruned, gone)?;
        chain::prune(&transaction, self.gateway.as_ref(), (before, most), gone, now)?;
        transaction.commit()?;
        Ok(u32::try_from(gone).unwrap_or(u32::MAX))
    }
}
