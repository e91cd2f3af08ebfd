//! The sysadmin's queries, in SQL.

use std::path::Path;

use rusqlite::{OptionalExtension, params};

use super::{COLUMNS, Sqlite, chain, record};
use crate::ledger::queries::{BUCKETS, Filter, Health, LedgerQueries, Tally, bounds};
use crate::ledger::{ChainRow, Checkpoint, LedgerError, Lockout, Record, State};
use crate::protocol::{Timestamp, UserName};

impl LedgerQueries for Sqlite {
    fn list(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Record) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        // rowid rises with time, so no sorting is needed, however many there are.
        let order = if filter.oldest_first || filter.unsent { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT {COLUMNS} FROM requests
             WHERE (?1 IS NULL OR user = ?1) AND (?2 IS NULL OR command = ?2) AND (?3 IS NULL OR state = ?3)
               AND (?4 IS NULL OR first_seen >= ?4) AND (?5 IS NULL OR first_seen <= ?5)
               AND (?6 IS NULL OR (name >= ?6 AND name < ?7)) AND (?9 = 0 OR handed_over IS NULL)
             ORDER BY rowid {order} LIMIT ?8"
        );
        let (from, to) = filter.short.as_deref().map(bounds).unzip();
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params![
            filter.user.as_ref().map(UserName::as_str),
            filter.command,
            filter.state.map(State::word),
            filter.since.map(Timestamp::seconds),
            filter.until.map(Timestamp::seconds),
            from,
            to,
            filter.limit.map_or(-1, i64::from),
            filter.unsent,
        ])?;
        while let Some(row) = rows.next()? {
            each(record::read(row)?)?;
        }
        Ok(())
    }

    fn tally(&self, now: Timestamp) -> Result<Tally, LedgerError> {
        let grouped = |sql: &str| -> Result<Vec<(String, u64)>, LedgerError> {
            let mut statement = self.connection.prepare(sql)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let one = |sql: &str, value: i64| self.connection.query_row(sql, [value], |row| row.get::<_, u64>(0));
        let took = "FROM requests WHERE started IS NOT NULL AND finished IS NOT NULL";
        let mut durations = Vec::with_capacity(BUCKETS.len());
        for bound in BUCKETS {
            durations.push(one(&format!("SELECT count(*) {took} AND finished - started <= ?1"), bound.cast_signed())?);
        }
        let ended = self.connection.query_row(
            &format!("SELECT count(*), coalesce(sum(max(finished - started, 0)), 0) {took}"),
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let oldest: Option<i64> =
            self.connection
                .query_row("SELECT min(first_seen) FROM requests WHERE handed_over IS NULL", [], |row| row.get(0))?;
        Ok(Tally {
            states: grouped("SELECT state, count(*) FROM requests GROUP BY state ORDER BY state")?,
            reasons: grouped(
                "SELECT reason, count(*) FROM requests WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason",
            )?,
            durations,
            ended,
            locked_out: one("SELECT count(*) FROM lockouts WHERE until > ?1", now.seconds())?,
            oldest_open: oldest.map(Timestamp::from_seconds),
        })
    }

    fn health(&self) -> Result<Health, LedgerError> {
        let integrity: String = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        // If counting fails because of damage, the damage is reported.
        let damaged = (integrity != "ok").then(|| LedgerError::Backend(format!("it is damaged: {integrity}")));
        self.count(integrity).map_err(|error| damaged.unwrap_or(error))
    }

    fn lockouts(&self) -> Result<Vec<(String, Lockout)>, LedgerError> {
        let mut statement =
            self.connection.prepare("SELECT user, until, told, counted_to FROM lockouts ORDER BY user")?;
        let rows = statement.query_map([], |row| {
            let (until, counted_to) = (Timestamp::from_seconds(row.get(1)?), Timestamp::from_seconds(row.get(3)?));
            Ok((row.get(0)?, Lockout { until, told: row.get(2)?, counted_to }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn freeze(&self) -> Result<(), LedgerError> {
        Ok(self.connection.execute_batch("BEGIN")?)
    }

    fn thaw(&self) -> Result<(), LedgerError> {
        Ok(self.connection.execute_batch("COMMIT")?)
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        chain::checkpoint(&self.connection)
    }

    fn events(&self, after: u64, each: &mut dyn FnMut(ChainRow) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        chain::events(&self.connection, after, each)
    }

    fn vacuum(&mut self) -> Result<(), LedgerError> {
        Ok(self.connection.execute_batch("VACUUM")?)
    }

    fn backup(&self, to: &Path) -> Result<(), LedgerError> {
        let to = to.to_str().ok_or_else(|| LedgerError::Backend("the file's name is not UTF-8".to_owned()))?;
        self.connection.execute("VACUUM INTO ?1", [to])?;
        Ok(())
    }
}

impl Sqlite {
    fn count(&self, integrity: String) -> Result<Health, LedgerError> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let sql = "SELECT min(first_seen), max(first_seen) FROM requests";
        let span: (Option<i64>, Option<i64>) =
            self.connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let watermark = self.connection.query_row("SELECT signed FROM floor", [], |row| row.get(0)).optional()?;
        let page = number("PRAGMA page_size")?;
        Ok(Health {
            requests: number("SELECT count(*) FROM requests")?,
            span: span.0.zip(span.1).map(|(a, b)| (Timestamp::from_seconds(a), Timestamp::from_seconds(b))),
            watermark: watermark.map(Timestamp::from_seconds),
            lost_until: None,
            bytes: (page * number("PRAGMA page_count")?, page * number("PRAGMA freelist_count")?),
            integrity,
        })
    }
}
