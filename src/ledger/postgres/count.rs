//! The counters, in PostgreSQL's SQL. In: what a transaction has counted. Out: the counters as they are.

use super::value::{Row, Value};
use crate::ledger::LedgerError;
use crate::ledger::count::{Counter, Counts};
use crate::protocol::Timestamp;

/// Reads all counters.
pub(super) const READ: &str = "SELECT series, value, since FROM mailsudo.counters ORDER BY series";

/// Marks a reply as sent, and counts it if it was not marked before: parts of a statement that may do more with what
/// was `marked`.
pub(super) const REPLIED: &str = "marked AS (
         UPDATE mailsudo.requests SET replied = $2, audit_lost = greatest(audit_lost, $3)
         WHERE id = $1 AND replied IS NULL AND state NOT IN ('waiting', 'started') RETURNING id
     ), counted AS (
         UPDATE mailsudo.counters SET value = value + 1 WHERE series = 'replied' AND EXISTS (SELECT FROM marked)
     )";

/// Takes over a counter of another ledger.
pub(super) const IMPORT: &str = "INSERT INTO mailsudo.counters AS known (series, value, since) VALUES ($1, $2, $3)
     ON CONFLICT (series) DO UPDATE SET value = greatest(known.value, excluded.value),
         since = least(known.since, excluded.since)";

/// The statement that adds `counts`, for the values of [`values`]. All writers have the series in the same order, so
/// that two which write at once do not wait for each other.
pub(super) fn add_sql(counts: &Counts) -> String {
    let rows: Vec<_> = (0..counts.each().len()).map(|at| format!("(${}, ${}, $1)", 2 * at + 2, 2 * at + 3)).collect();
    format!(
        "INSERT INTO mailsudo.counters AS known (series, value, since) VALUES {}
         ON CONFLICT (series) DO UPDATE SET value = known.value + excluded.value",
        rows.join(", ")
    )
}

/// The values of [`add_sql`].
pub(super) fn values(counts: &Counts, now: Timestamp) -> Vec<Value<'_>> {
    let mut values: Vec<Value<'_>> = vec![now.into()];
    for (series, by) in counts.each() {
        values.extend([Value::from(series), Value::from(by)]);
    }
    values
}

/// The counters of the rows of [`READ`].
pub(super) fn read(rows: Vec<Row>) -> Result<Vec<Counter>, LedgerError> {
    let counter = |mut row: Row| Counter::new(&row.text("series")?, row.int("counter")?, row.int("time")?);
    rows.into_iter().map(counter).collect()
}
