//! The sysadmin's queries, in PostgreSQL's SQL.

use std::path::Path;

use super::chain;
use super::record::{self, COLUMNS, Written};
use super::transaction::{lockout_from, lockout_values};
use super::value::Row;
use super::{Answer, Postgres, server, statement};
use crate::ledger::queries::{BUCKETS, Database, Filter, Health, LedgerQueries, Node, Tally, bounds};
use crate::ledger::{ChainRow, Checkpoint, LedgerError, Lockout, Record, State};
use crate::protocol::{Timestamp, UserName};

/// How many records are read at once, so that none of the answers is large.
const PAGE: u32 = 200;

impl LedgerQueries for Postgres {
    fn list(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Record) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        // seq rises with time, so no sorting is needed, however many there are. What is unsent has an index of its own.
        let (only, order, beyond) = if filter.unsent {
            ("AND replied IS NULL", "first_seen, seq", ">")
        } else if filter.oldest_first {
            ("", "seq", ">")
        } else {
            ("", "seq DESC", "<")
        };
        let sql = format!(
            "SELECT {COLUMNS}, seq FROM mailsudo.requests
             WHERE ($1 IS NULL OR user_name = $1) AND ($2 IS NULL OR command = $2) AND ($3 IS NULL OR state = $3)
               AND ($4 IS NULL OR first_seen >= $4) AND ($5 IS NULL OR first_seen <= $5)
               AND ($6 IS NULL OR (id >= $6 AND id < $7)) AND ($8 IS NULL OR seq {beyond} $8) {only}
             ORDER BY {order} LIMIT $9"
        );
        let (from, to) = filter.short.as_deref().map(bounds).unzip();
        let mut left = filter.limit.unwrap_or(u32::MAX);
        let mut last: Option<i64> = None;
        while left > 0 {
            let page = left.min(PAGE);
            let answer = self.one(
                &sql,
                &[
                    filter.user.as_ref().map(UserName::as_str).into(),
                    filter.command.as_deref().into(),
                    filter.state.map(State::word).into(),
                    filter.since.into(),
                    filter.until.into(),
                    from.as_deref().into(),
                    to.as_deref().into(),
                    last.into(),
                    i64::from(page).into(),
                ],
            )?;
            let found = u32::try_from(answer.rows.len()).unwrap_or(page);
            for mut row in answer.rows {
                let record = record::read(&mut row)?;
                last = Some(row.int("order of recording")?);
                each(record)?;
            }
            left -= found.min(left);
            if found < page {
                break;
            }
        }
        Ok(())
    }

    fn tally(&self, now: Timestamp) -> Result<Tally, LedgerError> {
        let grouped = |sql: &str| -> Result<Vec<(String, u64)>, LedgerError> {
            let rows = self.one(sql, &[])?.rows;
            rows.into_iter().map(|mut row| Ok((row.text("word")?, row.count("count")?))).collect()
        };
        let first = |sql: &str, values: &[_]| self.one(sql, values)?.row().ok_or(LedgerError::Corrupt("answer"));
        let took = "FROM mailsudo.requests WHERE started IS NOT NULL AND finished IS NOT NULL";
        let bounds: Vec<_> =
            BUCKETS.iter().map(|bound| format!("count(*) FILTER (WHERE finished - started <= {bound})")).collect();
        let sql = format!(
            "SELECT count(*), coalesce(sum(greatest(finished - started, 0)), 0)::bigint, {} {took}",
            bounds.join(", ")
        );
        let mut row = first(&sql, &[])?;
        let ended = (row.count("count")?, row.count("sum")?);
        let durations = BUCKETS.iter().map(|_| row.count("count")).collect::<Result<_, _>>()?;
        let oldest = "SELECT min(first_seen) FROM mailsudo.requests WHERE replied IS NULL";
        Ok(Tally {
            states: grouped("SELECT state, count(*) FROM mailsudo.requests GROUP BY state ORDER BY state")?,
            reasons: grouped(
                "SELECT reason, count(*) FROM mailsudo.requests WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason",
            )?,
            durations,
            ended,
            locked_out: first("SELECT count(*) FROM mailsudo.lockouts WHERE until > $1", &[now.into()])?
                .count("count")?,
            oldest_open: first(oldest, &[])?.maybe_time("time of first sight")?,
        })
    }

    fn health(&self) -> Result<Health, LedgerError> {
        let size = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mailsudo' AND c.relkind = 'r'";
        let answers = self.repeat(&[
            statement("SELECT count(*), min(first_seen), max(first_seen) FROM mailsudo.requests", &[]),
            statement("SELECT watermark, lost_until FROM mailsudo.ledger", &[]),
            statement(size, &[]),
        ])?;
        let mut rows = answers.into_iter().map(|answer| answer.row().ok_or(LedgerError::Corrupt("lack of a row")));
        let mut next = || -> Result<Row, LedgerError> { rows.next().unwrap_or(Err(LedgerError::Corrupt("answer"))) };
        let mut requests = next()?;
        let count = requests.count("count")?;
        let span = requests.maybe_time("time")?.zip(requests.maybe_time("time")?);
        let mut marks = next()?;
        Ok(Health {
            requests: count,
            span,
            watermark: marks.maybe_time("watermark")?,
            lost_until: marks.maybe_time("time of loss")?,
            bytes: (next()?.count("size")?, 0),
            // The server checks its pages itself, where it was made with data checksums (`check` asks).
            integrity: "ok".to_owned(),
        })
    }

    fn lockouts(&self) -> Result<Vec<(String, Lockout)>, LedgerError> {
        let sql = "SELECT user_name, until, told, counted_to FROM mailsudo.lockouts ORDER BY user_name";
        let rows = self.one(sql, &[])?.rows;
        rows.into_iter().map(|mut row| Ok((row.text("user")?, lockout_from(&mut row)?))).collect()
    }

    fn freeze(&self) -> Result<(), LedgerError> {
        self.one("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &[]).map(drop)
    }

    fn thaw(&self) -> Result<(), LedgerError> {
        // A new connection, where the old one broke, has no transaction.
        let row = self.one("SELECT current_setting('transaction_isolation') = 'repeatable read'", &[])?.row();
        let is_whole = row.ok_or(LedgerError::Corrupt("answer"))?.flag("answer")?;
        self.one("ROLLBACK", &[])?;
        is_whole.then_some(()).ok_or_else(|| LedgerError::Lost("while it was read; try again".to_owned()))
    }

    fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError> {
        self.one(chain::CHECKPOINT, &[])?.row().map(chain::checkpoint).transpose()
    }

    fn events(&self, after: u64, each: &mut dyn FnMut(ChainRow) -> Result<(), LedgerError>) -> Result<(), LedgerError> {
        let mut last = i64::try_from(after).unwrap_or(i64::MAX);
        loop {
            let rows = self.one(chain::EVENTS, &[last.into(), chain::PAGE.into()])?.rows;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let event = chain::event(row)?;
                last = i64::try_from(event.number).unwrap_or(i64::MAX);
                each(event)?;
            }
        }
    }

    fn import(&mut self, records: &[Record]) -> Result<u64, LedgerError> {
        let rows: Vec<_> = records.iter().map(Written::new).collect();
        let sql = record::insert_sql();
        let values: Vec<_> = rows.iter().map(|row| row.first(&self.terms.node, &self.terms.token, 1)).collect();
        let statements: Vec<_> = values.iter().map(|values| statement(&sql, values)).collect();
        Ok(self.repeat(&statements)?.iter().map(Answer::changed).sum())
    }

    fn import_marks(
        &mut self,
        watermark: Option<Timestamp>,
        lockouts: &[(String, Lockout)],
    ) -> Result<(), LedgerError> {
        self.one("UPDATE mailsudo.ledger SET watermark = greatest(watermark, $1)", &[watermark.into()])?;
        for (user, lockout) in lockouts {
            let sql = "INSERT INTO mailsudo.lockouts (user_name, until, told, counted_to) VALUES ($1, $2, $3 = 1, $4)
                 ON CONFLICT DO NOTHING";
            self.one(sql, &lockout_values(user, lockout))?;
        }
        Ok(())
    }

    fn nodes(&self) -> Result<Vec<Node>, LedgerError> {
        let sql = "SELECT name, version, digest, clock - extract(epoch FROM last_seen)::bigint,
                 extract(epoch FROM clock_timestamp() - last_seen)::bigint FROM mailsudo.nodes ORDER BY name";
        let node = |mut row: Row| {
            Ok(Node {
                name: row.text("node")?,
                version: row.text("version")?,
                digest: row.maybe_text("digest")?,
                ahead: row.int("clock")?,
                seen: row.int("time")?,
            })
        };
        self.one(sql, &[])?.rows.into_iter().map(node).collect()
    }

    fn see_node(&mut self, digest: &str, now: Timestamp) -> Result<(), LedgerError> {
        let sql = "INSERT INTO mailsudo.nodes (name, version, digest, clock, last_seen) VALUES ($1, $2, $3, $4, clock_timestamp())
             ON CONFLICT (name) DO UPDATE SET version = $2, digest = $3, clock = $4, last_seen = clock_timestamp()";
        let version = env!("CARGO_PKG_VERSION");
        self.one(sql, &[self.terms.node.as_str().into(), version.into(), digest.into(), now.into()]).map(drop)
    }

    fn database(&self) -> Result<Option<Database>, LedgerError> {
        server::state(self).map(Some)
    }

    fn vacuum(&mut self) -> Result<(), LedgerError> {
        Err(LedgerError::Elsewhere("PostgreSQL returns free space by itself (autovacuum)"))
    }

    fn backup(&self, _to: &Path) -> Result<(), LedgerError> {
        Err(LedgerError::Elsewhere("a backup of this ledger is made with pg_dump: docs/operations.md"))
    }
}
