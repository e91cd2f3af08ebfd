//! The counters, in PostgreSQL's SQL. In: what a transaction has counted. Out: the counters as they are.

use super::value::{Row, Value};
use crate::ledger::LedgerError;
use crate::ledger::count::{Counter, Counts};
use crate::protocol::Timestamp;

/// Reads all counters.
pub(super) const READ: &str = "SELECT series, value, since FROM mailsudo.counters ORDER BY series";

/// Takes over a counter of another ledger.
pub(super) const IMPORT: &str = "INSERT INTO mailsudo.counters AS known (series, value, since) VALUES ($1, $2, $3)
     ON CONFLICT (series) DO UPDATE SET value = greatest(known.value, excluded.value),
         since = least(known.since, excluded.since)";

/// Adds to counters: the values of [`Added`].
pub(super) const ADD: &str = "SELECT mailsudo.count($1, $2, $3)";

/// What is added to counters, as mailsudo.count takes it.
pub(super) struct Added {
    series: String,
    rises: String,
    at: Timestamp,
}

impl Added {
    /// `counts` of the moment `at`. No series has a line break in its name.
    pub(super) fn new(counts: &Counts, at: Timestamp) -> Self {
        let (series, rises): (Vec<_>, Vec<_>) = counts.each().map(|(series, by)| (series, by.to_string())).unzip();
        Self { series: series.join("\n"), rises: rises.join("\n"), at }
    }

    /// The values for [`ADD`].
    pub(super) fn values(&self) -> [Value<'_>; 3] {
        [self.series.as_str().into(), self.rises.as_str().into(), self.at.into()]
    }
}

/// The counters of the rows of [`READ`].
pub(super) fn read(rows: Vec<Row>) -> Result<Vec<Counter>, LedgerError> {
    let counter = |mut row: Row| Counter::new(&row.text("series")?, row.int("counter")?, row.int("time")?);
    rows.into_iter().map(counter).collect()
}
