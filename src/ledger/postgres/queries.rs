//! The sysadmin's queries, in PostgreSQL's SQL.

use std::path::Path;

use super::chain;
use super::record::{self, COLUMNS};
use super::schema::{check_gateway, check_version};
use super::statements::lockout_from;
use super::value::{Row, Value};
use super::{Postgres, count, import, server, statement};
use crate::ledger::count::held;
use crate::ledger::queries::{Database, Examined, Filter, Health, LedgerQueries, Node, Tally, bounds};
use crate::ledger::{ChainRow, Checkpoint, Counter, LedgerError, Lockout, Record, State, Story};
use crate::protocol::Timestamp;

/// How many records are read at once, so that none of the answers is large.
const PAGE: u32 = 200;

impl LedgerQueries for Postgres {
    fn list(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Record) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let is_ascending = filter.oldest_first || filter.unsent;
        let (direction, beyond) = if is_ascending { ("ASC", ">") } else { ("DESC", "<") };
        let (from, to) = filter.short.as_deref().map(bounds).unzip();
        let (mut conditions, mut values) = conditions(filter, from.as_deref(), to.as_deref());
        let page_at = values.len();
        let mut left = filter.limit.unwrap_or(u32::MAX);
        let mut last: Option<(i64, i64)> = None;
        while left > 0 {
            let page = left.min(PAGE);
            conditions.truncate(conditions.len() - usize::from(values.len() > page_at));
            values.truncate(page_at);
            if let Some((seen, seq)) = last {
                values.extend([Value::from(seen), Value::from(seq)]);
                conditions.push(format!("(first_seen, seq) {beyond} (${}, ${})", page_at + 1, page_at + 2));
            }
            // Each index has the order of recording, so nothing is sorted, however many there are.
            let sql = format!(
                "SELECT {COLUMNS}, seq FROM mailsudo.requests WHERE {}
                 ORDER BY first_seen {direction}, seq {direction} LIMIT {page}",
                conditions.join(" AND ")
            );
            let answer = self.one(&sql, &values)?;
            let found = u32::try_from(answer.rows.len()).unwrap_or(page);
            for mut row in answer.rows {
                let record = record::read(&mut row)?;
                last = Some((record.first_seen.seconds(), row.int("order of recording")?));
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
        let locked_out = "SELECT count(*) FROM mailsudo.lockouts WHERE until > $1";
        let open = "SELECT min(first_seen) FROM mailsudo.requests WHERE replied IS NULL";
        let first = |sql: &str, values: &[_]| self.one(sql, values)?.row().ok_or(LedgerError::Corrupt("answer"));
        let counters = count::read(self.one(count::READ, &[])?.rows)?;
        Ok(Tally {
            requests: held(&counters),
            counters,
            locked_out: first(locked_out, &[now.into()])?.count("count")?,
            oldest_open: first(open, &[])?.maybe_time("time of first sight")?,
        })
    }

    fn check_usable(&self) -> Result<(), LedgerError> {
        let sql = "SELECT version, readable_from, gateway, pg_is_in_recovery() FROM mailsudo.ledger";
        let mut row = self.one(sql, &[])?.row().ok_or(LedgerError::Corrupt("lack of a row in mailsudo.ledger"))?;
        check_version(row.int("schema")?, row.int("schema")?)?;
        check_gateway(&row.text("gateway")?, &self.terms.gateway)?;
        // With one host in the URL, connecting does not ask.
        if row.flag("state")? { Err(LedgerError::Unreachable("it is a standby".to_owned())) } else { Ok(()) }
    }

    fn health(&self) -> Result<Health, LedgerError> {
        let size = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mailsudo' AND c.relkind = 'r'";
        let answers = self.repeat(&[
            statement(count::READ, &[]),
            statement("SELECT min(first_seen), max(first_seen) FROM mailsudo.requests", &[]),
            statement("SELECT watermark, lost_until FROM mailsudo.ledger", &[]),
            statement(size, &[]),
        ])?;
        let mut answers = answers.into_iter();
        let counters = count::read(answers.next().ok_or(LedgerError::Corrupt("answer"))?.rows)?;
        let mut rows = answers.map(|answer| answer.row().ok_or(LedgerError::Corrupt("lack of a row")));
        let mut next = || -> Result<Row, LedgerError> { rows.next().unwrap_or(Err(LedgerError::Corrupt("answer"))) };
        let mut requests = next()?;
        let span = requests.maybe_time("time")?.zip(requests.maybe_time("time")?);
        let mut marks = next()?;
        Ok(Health {
            requests: held(&counters),
            span,
            watermark: marks.maybe_time("watermark")?,
            lost_until: marks.maybe_time("time of loss")?,
            bytes: (next()?.count("size")?, 0),
        })
    }

    /// The server checks its pages as they are read, where it was made with data checksums (`check` asks).
    fn examine(&self, each: &mut dyn FnMut(u64)) -> Result<Examined, LedgerError> {
        let mut examined = Examined { requests: 0, damage: None };
        let listed = self.list(&Filter { oldest_first: true, ..Filter::default() }, &mut |_| {
            examined.requests += 1;
            each(examined.requests);
            Ok(())
        });
        match listed {
            Ok(()) => Ok(examined),
            Err(error @ (LedgerError::Corrupt(_) | LedgerError::Backend(_))) => {
                Ok(Examined { damage: Some(error.to_string()), ..examined })
            }
            Err(error) => Err(error),
        }
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

    fn import(&mut self, records: &[Record], unchained: Option<Timestamp>) -> Result<u64, LedgerError> {
        import::records(self, records, unchained)
    }

    fn import_chain(&mut self, source: &dyn LedgerQueries) -> Result<Option<u64>, LedgerError> {
        import::chain(self, source)
    }

    fn import_stories(&mut self, stories: &[(Record, Story)]) -> Result<(), LedgerError> {
        import::stories(self, stories)
    }

    fn import_marks(
        &mut self,
        watermark: Option<Timestamp>,
        lockouts: &[(String, Lockout)],
    ) -> Result<(), LedgerError> {
        import::marks(self, watermark, lockouts)
    }

    fn import_counters(&mut self, counters: &[Counter]) -> Result<(), LedgerError> {
        import::counters(self, counters)
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

/// The conditions of `filter`, and their values.
fn conditions<'f>(filter: &'f Filter, from: Option<&'f [u8]>, to: Option<&'f [u8]>) -> (Vec<String>, Vec<Value<'f>>) {
    let mut conditions = vec!["true".to_owned()];
    let mut values: Vec<Value<'f>> = Vec::new();
    let mut matches = |condition: &str, value: Value<'f>| {
        values.push(value);
        conditions.push(format!("{condition} ${}", values.len()));
    };
    if let Some(user) = &filter.user {
        matches("user_name =", user.as_str().into());
    }
    if let Some(command) = &filter.command {
        matches("command =", command.as_str().into());
    }
    if let Some(since) = filter.since {
        matches("first_seen >=", since.into());
    }
    if let Some(until) = filter.until {
        matches("first_seen <=", until.into());
    }
    if let Some((from, to)) = from.zip(to) {
        matches("id >=", from.into());
        matches("id <", to.into());
    }
    // The planner proves a partial index from these words. What was started has no reply yet.
    match filter.state {
        Some(State::Started) => conditions.push("state = 'started' AND replied IS NULL".to_owned()),
        Some(other) => conditions.push(format!("state = '{}'", other.word())),
        None => {}
    }
    if filter.unsent {
        conditions.push("replied IS NULL".to_owned());
    }
    (conditions, values)
}
