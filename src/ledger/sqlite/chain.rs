//! The audit chain, in SQL. In: an event, inside the write transaction whose changes it is about. Out: the head after
//! it.
//!
//! MUST: the newest event is read in the same transaction that writes the next one, so that there is one head.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ledger::{AuditEvent, ChainPoint, ChainRow, Checkpoint, EventKey, EventKind, LedgerError};
use crate::limits::PRUNE_EVENTS;
use crate::protocol::{ChainHead, GatewayName, Timestamp};

/// Adds an event. The first one begins the chain; it is preceded by one that says how many requests are older than the
/// chain.
pub(super) fn append(
    connection: &Connection,
    gateway: Option<&GatewayName>,
    event: &AuditEvent,
) -> Result<ChainPoint, LedgerError> {
    let newest = match end(connection)? {
        Some(newest) => newest,
        None => begin(connection, gateway, event)?,
    };
    insert(connection, newest, event)
}

/// The newest event's place; `None` where there was never one.
fn end(connection: &Connection) -> Result<Option<ChainPoint>, LedgerError> {
    let read = |row: &Row<'_>| Ok(ChainPoint { number: row.get(0)?, head: ChainHead::from_bytes(row.get(1)?) });
    // Kept prepared, as the statement that writes the event: an executed request needs both in three transactions.
    let mut newest = connection.prepare_cached("SELECT number, head FROM events ORDER BY number DESC LIMIT 1")?;
    let newest = newest.query_row([], read).optional()?;
    match newest {
        Some(newest) => Ok(Some(newest)),
        None => Ok(connection.query_row("SELECT number, head FROM checkpoint", [], read).optional()?),
    }
}

/// Begins the chain with the gateway's first head. Where requests are older than the chain, its first event says how
/// many.
fn begin(
    connection: &Connection,
    gateway: Option<&GatewayName>,
    event: &AuditEvent,
) -> Result<ChainPoint, LedgerError> {
    let unknown = || LedgerError::Backend("the ledger was opened without the gateway's name".to_owned());
    let gateway = gateway.ok_or_else(unknown)?;
    let head = ChainHead::first(gateway);
    connection.execute(
        "INSERT INTO checkpoint (gateway, number, head) VALUES (?1, 0, ?2)",
        params![gateway.as_str(), head.as_bytes()],
    )?;
    let own = event.id(EventKey::Request).map(|id| *id.as_bytes());
    let sql = "SELECT count(*) FROM requests WHERE ?1 IS NULL OR name <> ?1";
    let older: i64 = connection.query_row(sql, [own], |row| row.get(0))?;
    let beginning = ChainPoint { number: 0, head };
    if older == 0 {
        return Ok(beginning);
    }
    let at = event.at().ok_or(LedgerError::Corrupt("event"))?;
    let migrated = AuditEvent::new(EventKind::Migrated, at).with(EventKey::Requests, older);
    insert(connection, beginning, &migrated)
}

fn insert(connection: &Connection, newest: ChainPoint, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
    let text = event.canonical();
    let at = event.at().ok_or(LedgerError::Corrupt("event"))?;
    let point = newest.after(&text);
    let mut statement =
        connection.prepare_cached("INSERT INTO events (number, at, event, head) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![point.number.cast_signed(), at.seconds(), text, point.head.as_bytes()])?;
    Ok(point)
}

/// Removes the oldest events that are older than `before`, those of about `most` requests, and records that, with the
/// number of `requests` that were removed.
pub(super) fn prune(
    connection: &Connection,
    gateway: Option<&GatewayName>,
    (before, most): (Timestamp, u32),
    requests: usize,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if end(connection)?.is_none() {
        return Ok(());
    }
    let old = "SELECT number, at, head FROM events ORDER BY number LIMIT ?1";
    let mut statement = connection.prepare(old)?;
    let mut rows = statement.query([most.saturating_mul(PRUNE_EVENTS)])?;
    let mut last: Option<(i64, [u8; 32])> = None;
    let mut until = i64::MIN;
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(1)?;
        if at >= before.seconds() {
            break;
        }
        until = until.max(at);
        last = Some((row.get(0)?, row.get(2)?));
    }
    if let Some((number, head)) = last {
        connection.execute("DELETE FROM events WHERE number <= ?1", [number])?;
        let sql = "UPDATE checkpoint SET number = ?1, head = ?2, until = max(coalesce(until, ?3), ?3)";
        connection.execute(sql, params![number, head, until])?;
    }
    let (number, head): (i64, [u8; 32]) =
        connection.query_row("SELECT number, head FROM checkpoint", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let event = AuditEvent::new(EventKind::Pruned, now)
        .with(EventKey::Requests, requests)
        .with(EventKey::Before, before)
        .with(EventKey::Through, number)
        .with(EventKey::Head, ChainHead::from_bytes(head));
    append(connection, gateway, &event).map(drop)
}

/// Where the chain begins.
pub(super) fn checkpoint(connection: &Connection) -> Result<Option<Checkpoint>, LedgerError> {
    let read = |row: &Row<'_>| {
        let until: Option<i64> = row.get(3)?;
        Ok(Checkpoint {
            gateway: row.get(0)?,
            number: row.get(1)?,
            head: ChainHead::from_bytes(row.get(2)?),
            until: until.map(Timestamp::from_seconds),
        })
    };
    Ok(connection.query_row("SELECT gateway, number, head, until FROM checkpoint", [], read).optional()?)
}

/// Calls `each` with the events after the number `after`.
pub(super) fn events(
    connection: &Connection,
    after: u64,
    each: &mut dyn FnMut(ChainRow) -> Result<(), LedgerError>,
) -> Result<(), LedgerError> {
    let sql = "SELECT number, at, event, head FROM events WHERE number > ?1 ORDER BY number";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        each(ChainRow {
            number: row.get(0)?,
            at: Timestamp::from_seconds(row.get(1)?),
            event: row.get(2)?,
            head: ChainHead::from_bytes(row.get(3)?),
        })?;
    }
    Ok(())
}
