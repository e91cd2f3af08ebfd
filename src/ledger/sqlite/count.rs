//! The counters, in SQL. In: what a transaction has counted. Out: the counters as they are.

use rusqlite::{Connection, params};

use crate::ledger::LedgerError;
use crate::ledger::count::{Counter, Counts, Series};
use crate::protocol::Timestamp;

/// Begins the counters of a ledger that has none, after its watermark is written. What it holds was recorded. They
/// count since the newest moment that the ledger knows.
pub(super) fn begin(connection: &Connection) -> Result<(), LedgerError> {
    for series in Series::FIRST {
        let sql = "INSERT INTO counters (series, value, since)
             SELECT ?1, 0, max(coalesce((SELECT max(first_seen) FROM requests), 0), coalesce((SELECT max(signed) FROM floor), 0))";
        connection.execute(sql, [series.to_string()])?;
    }
    let sql = "UPDATE counters SET value = (SELECT count(*) FROM requests) WHERE series = ?1";
    connection.execute(sql, [Series::Recorded.to_string()])?;
    Ok(())
}

/// Adds `counts`. Most series are there, and one short statement, which is prepared once for all of a delivery's
/// transactions, raises each: a statement for all of them together takes more than twice as long.
pub(super) fn add(connection: &Connection, counts: &Counts, now: Timestamp) -> Result<(), LedgerError> {
    for (series, by) in counts.each() {
        if !raised(connection, series, by)? {
            let sql = "INSERT INTO counters (series, value, since) VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![series, by, now.seconds()])?;
        }
    }
    Ok(())
}

/// Adds to a series of [`Series::FIRST`], which is there.
pub(super) fn raise(connection: &Connection, series: Series<'_>, by: usize) -> Result<(), LedgerError> {
    raised(connection, &series.to_string(), i64::try_from(by).unwrap_or(i64::MAX)).map(drop)
}

/// Adds to a series, if it is there.
fn raised(connection: &Connection, series: &str, by: i64) -> Result<bool, LedgerError> {
    let mut statement = connection.prepare_cached("UPDATE counters SET value = value + ?2 WHERE series = ?1")?;
    Ok(statement.execute(params![series, by])? > 0)
}

/// All counters, by series.
pub(super) fn read(connection: &Connection) -> Result<Vec<Counter>, LedgerError> {
    let mut statement = connection.prepare("SELECT series, value, since FROM counters ORDER BY series")?;
    let mut rows = statement.query([])?;
    let mut counters = Vec::new();
    while let Some(row) = rows.next()? {
        let series: String = row.get(0)?;
        counters.push(Counter::new(&series, row.get(1)?, row.get(2)?)?);
    }
    Ok(counters)
}
