//! The sysadmin's queries, in SQL.

use std::path::Path;

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::{COLUMNS, Sqlite, chain, count, record};
use crate::ledger::count::held;
use crate::ledger::queries::{Examined, Filter, Health, LedgerQueries, Tally, bounds};
use crate::ledger::{ChainRow, Checkpoint, LedgerError, Lockout, Record, State};
use crate::protocol::Timestamp;

impl LedgerQueries for Sqlite {
    fn list(
        &self,
        filter: &Filter,
        each: &mut dyn FnMut(Record) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let (sql, values) = list_sql(filter, self.rarest(filter)?);
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            each(record::read(row)?)?;
        }
        Ok(())
    }

    fn tally(&self, now: Timestamp) -> Result<Tally, LedgerError> {
        let open = "SELECT min(first_seen) FROM requests WHERE handed_over IS NULL";
        let oldest: Option<i64> = self.connection.query_row(open, [], |row| row.get(0))?;
        let locked_out = "SELECT count(*) FROM lockouts WHERE until > ?1";
        let counters = count::read(&self.connection)?;
        Ok(Tally {
            requests: held(&counters),
            counters,
            locked_out: self.connection.query_row(locked_out, [now.seconds()], |row| row.get(0))?,
            oldest_open: oldest.map(Timestamp::from_seconds),
        })
    }

    fn health(&self) -> Result<Health, LedgerError> {
        let number = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, u64>(0));
        let time = |sql: &str| self.connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        // Two queries, each of which reads one end of the index.
        let oldest = time("SELECT min(first_seen) FROM requests")?;
        let newest = time("SELECT max(first_seen) FROM requests")?;
        let watermark = time("SELECT max(signed) FROM floor")?;
        let page = number("PRAGMA page_size")?;
        Ok(Health {
            requests: held(&count::read(&self.connection)?),
            span: oldest.zip(newest).map(|(a, b)| (Timestamp::from_seconds(a), Timestamp::from_seconds(b))),
            watermark: watermark.map(Timestamp::from_seconds),
            lost_until: None,
            bytes: (page * number("PRAGMA page_count")?, page * number("PRAGMA freelist_count")?),
        })
    }

    fn examine(&self, _each: &mut dyn FnMut(u64)) -> Result<Examined, LedgerError> {
        let integrity: String = self.connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if integrity != "ok" {
            return Ok(Examined { requests: 0, damage: Some(integrity) });
        }
        let requests = self.connection.query_row("SELECT count(*) FROM requests", [], |row| row.get(0))?;
        Ok(Examined { requests, damage: None })
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

/// How many entries of an index are counted to find out which has the fewest: a few milliseconds.
const COUNTED: u32 = 20_000;

impl Sqlite {
    /// The index to read for `filter`: where several could be read, the one with the fewest entries that match.
    fn rarest(&self, filter: &Filter) -> Result<Option<&'static str>, LedgerError> {
        let candidates = candidates(filter);
        if let [] | [_] = candidates.as_slice() {
            return Ok(candidates.first().map(|(index, _)| *index));
        }
        let mut found = Vec::new();
        for (index, alone) in &candidates {
            let (conditions, values) = conditions(alone);
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM requests INDEXED BY {index} WHERE {conditions} LIMIT {COUNTED})"
            );
            let count: u32 = self.connection.query_row(&sql, params_from_iter(values), |row| row.get(0))?;
            found.push((count, *index));
        }
        Ok(found.into_iter().min_by_key(|(count, _)| *count).map(|(_, index)| index))
    }
}

/// The indices that `filter` can be found by, each with what is looked for in it, the one first that usually has the
/// fewest entries. Of a time alone, or of an id, SQLite itself finds the only one. Nearly all requests have finished:
/// that alone is found in no index.
fn candidates(filter: &Filter) -> Vec<(&'static str, Filter)> {
    let within = || Filter { since: filter.since, until: filter.until, ..Filter::default() };
    let mut found = Vec::new();
    if filter.short.is_some() {
        return found;
    }
    if filter.unsent || filter.state == Some(State::Started) {
        found.push(("requests_open", Filter { unsent: true, ..within() }));
    }
    if let Some(state) = filter.state.filter(|state| ![State::Started, State::Finished].contains(state)) {
        found.push(("requests_state", Filter { state: Some(state), ..within() }));
    }
    if filter.user.is_some() {
        found.push(("requests_user", Filter { user: filter.user.clone(), ..within() }));
    }
    if filter.command.is_some() {
        found.push(("requests_command", Filter { command: filter.command.clone(), ..within() }));
    }
    found
}

/// The statement that lists what `filter` matches, by `index`, and its values.
fn list_sql(filter: &Filter, index: Option<&'static str>) -> (String, Vec<Value>) {
    let (conditions, values) = conditions(filter);
    let direction = if filter.oldest_first || filter.unsent { "ASC" } else { "DESC" };
    // Each index has the order of recording, so nothing is sorted. A list of all, or of all that have finished, has no
    // use for an index.
    let is_indexed = index.is_some() || filter.since.is_some() || filter.until.is_some();
    let by =
        if is_indexed { format!("first_seen {direction}, rowid {direction}") } else { format!("rowid {direction}") };
    let from = index.map_or_else(|| "requests".to_owned(), |index| format!("requests INDEXED BY {index}"));
    let limit = filter.limit.map_or(-1, i64::from);
    let sql = format!("SELECT {COLUMNS} FROM {from} WHERE {conditions} ORDER BY {by} LIMIT {limit}");
    (sql, values)
}

/// The conditions of `filter`, in words that the planner finds the indices by, and their values.
fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let mut conditions = vec!["1".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    let mut matches = |condition: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{condition} ?{}", values.len()));
    };
    if let Some(user) = &filter.user {
        matches("user =", user.as_str().to_owned().into());
    }
    if let Some(command) = &filter.command {
        matches("command =", command.clone().into());
    }
    if let Some(since) = filter.since {
        matches("first_seen >=", since.seconds().into());
    }
    if let Some(until) = filter.until {
        matches("first_seen <=", until.seconds().into());
    }
    if let Some((from, to)) = filter.short.as_deref().map(bounds) {
        matches("name >=", from.into());
        matches("name <", to.into());
    }
    // A partial index is used where its own condition stands in the query. What was started has no reply yet.
    match filter.state {
        Some(State::Started) => conditions.push("state = 'started' AND handed_over IS NULL".to_owned()),
        Some(State::Finished) => conditions.push("state = 'finished'".to_owned()),
        Some(other) => {
            conditions.push(format!("state = '{}' AND state NOT IN ('started', 'finished')", other.word()));
        }
        None => {}
    }
    if filter.unsent {
        conditions.push("handed_over IS NULL".to_owned());
    }
    (conditions.join(" AND "), values)
}

#[cfg(test)]
mod tests {
    use super::super::transaction::HOLDS;
    use super::*;
    use crate::config::Trusted;
    use crate::limits::Timeouts;

    /// What SQLite would do for `sql`.
    fn plan(ledger: &Sqlite, (sql, values): (String, Vec<Value>)) -> String {
        let mut statement = ledger.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a statement");
        let steps = statement.query_map(params_from_iter(values), |row| row.get::<_, String>("detail"));
        steps.expect("a plan").collect::<Result<Vec<_>, _>>().expect("its steps").join("; ")
    }

    #[test]
    fn what_sysadmins_ask_reads_one_end_of_an_index_and_sorts_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        Sqlite::init(&path, Trusted::caller(), None).expect("a ledger");
        let ledger = Sqlite::open(&path, Trusted::caller(), Timeouts::DEFAULT.transaction).expect("the ledger");
        let user = crate::protocol::UserName::try_from("alice").ok();
        let (at, command) = (Some(Timestamp::from_seconds(5)), Some("restart".to_owned()));
        let any = Filter::default;
        for (filter, index) in [
            (Filter { user: user.clone(), ..any() }, "requests_user"),
            (Filter { user: user.clone(), since: at, state: Some(State::Finished), ..any() }, "requests_user"),
            (Filter { since: at, ..any() }, "requests_seen"),
            (Filter { until: at, ..any() }, "requests_seen"),
            (Filter { command: command.clone(), limit: Some(9), ..any() }, "requests_command"),
            (Filter { command: command.clone(), since: at, ..any() }, "requests_command"),
            (Filter { command: command.clone(), state: Some(State::Finished), ..any() }, "requests_command"),
            (Filter { state: Some(State::Refused), ..any() }, "requests_state"),
            (Filter { state: Some(State::Pending), since: at, ..any() }, "requests_state"),
            (Filter { state: Some(State::Started), ..any() }, "requests_open"),
            (Filter { state: Some(State::Started), since: at, ..any() }, "requests_open"),
            (Filter { unsent: true, limit: Some(9), ..any() }, "requests_open"),
        ] {
            let plan = plan(&ledger, list_sql(&filter, ledger.rarest(&filter).expect("an index")));
            assert!(plan.contains(&format!("USING INDEX {index}")), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
        let short = Filter { short: Some(vec![7]), limit: Some(1), ..any() };
        assert!(plan(&ledger, list_sql(&short, None)).contains("USING INDEX sqlite_autoindex_requests_1"));
        // Nearly all have finished: they are read from the newest on.
        let finished = Filter { state: Some(State::Finished), limit: Some(9), ..any() };
        let finished = plan(&ledger, list_sql(&finished, ledger.rarest(&finished).expect("no index")));
        assert!(!finished.contains("TEMP B-TREE"), "{finished}");
        // Any of these indices can be read for a list that names all of them.
        let all = Filter { user, command, unsent: true, state: Some(State::Refused), since: at, until: at, ..any() };
        for (index, _) in candidates(&all) {
            let plan = plan(&ledger, list_sql(&all, Some(index)));
            let found = plan.contains(&format!("USING INDEX {index}")) && !plan.contains("TEMP B-TREE");
            assert!(found && !plan.contains("SCAN"), "{index}: {plan}");
        }
        for sql in [
            "SELECT min(first_seen) FROM requests WHERE handed_over IS NULL",
            "SELECT max(first_seen) FROM requests",
            "SELECT name FROM requests WHERE user = 'alice' AND step IS NULL AND first_seen > 1 AND first_seen <= 9",
            "SELECT name FROM requests WHERE user = 'alice' AND name <> x'00' ORDER BY first_seen DESC, rowid DESC LIMIT 1",
        ] {
            let plan = plan(&ledger, (sql.to_owned(), Vec::new()));
            assert!(plan.starts_with("SEARCH") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
        let mut holds = ledger.connection.prepare(&format!("EXPLAIN QUERY PLAN {HOLDS}")).expect("a statement");
        let holds: String = holds.query_row(["restart", ""], |row| row.get("detail")).expect("a plan");
        assert!(holds.contains("USING INDEX requests_open"), "{holds}");
    }

    /// Whichever is rarer, the user's requests or the command's: only these are read.
    #[test]
    fn a_list_by_user_and_command_reads_the_index_that_has_fewer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        Sqlite::init(&path, Trusted::caller(), None).expect("a ledger");
        let ledger = Sqlite::open(&path, Trusted::caller(), Timeouts::DEFAULT.transaction).expect("the ledger");
        let sql = "INSERT INTO requests (name, user, command, arguments, signed, first_seen, state, audit_lost)
             VALUES (randomblob(32), ?1, ?2, '', 1, 1, 'finished', 0)";
        for (user, command) in [("alice", "status"), ("alice", "status"), ("alice", "restart"), ("bob", "status")] {
            ledger.connection.execute(sql, [user, command]).expect("a row");
        }
        for (user, command, index) in [("alice", "restart", "requests_command"), ("bob", "status", "requests_user")] {
            let user = crate::protocol::UserName::try_from(user).ok();
            let filter = Filter { user, command: Some(command.to_owned()), ..Filter::default() };
            assert_eq!(ledger.rarest(&filter).expect("an index"), Some(index));
        }
    }
}
