//! That a reply was sent, in SQL. In: the request, inside a write transaction. Out: its record with the time, the event and
//! the count; whether a reply was sent so long ago that its request may be pruned.

use rusqlite::{Connection, OptionalExtension, params};

use super::{chain, count};
use crate::ledger::{AuditEvent, LedgerError, Series};
use crate::protocol::{GatewayName, RequestId, Timestamp};

/// Records that the reply to a request was sent, once.
pub(super) fn mark(
    connection: &Connection,
    gateway: Option<&GatewayName>,
    id: &RequestId,
    now: Timestamp,
    audit_lost: u32,
) -> Result<(), LedgerError> {
    let sql = "UPDATE requests SET handed_over = ?2, audit_lost = max(audit_lost, ?3)
         WHERE name = ?1 AND handed_over IS NULL";
    if connection.execute(sql, params![id.as_bytes(), now.seconds(), audit_lost])? > 0 {
        count::raise(connection, Series::Replied, 1)?;
        chain::append(connection, gateway, &AuditEvent::replied(id, now))?;
    }
    Ok(())
}

/// Whether a request was replied to before `before`. Most deliveries find none, and nothing to prune.
pub(super) fn has_old(connection: &Connection, before: Timestamp) -> Result<bool, LedgerError> {
    let sql = "SELECT 1 FROM requests WHERE handed_over < ?1";
    Ok(connection.query_row(sql, [before.seconds()], |_| Ok(())).optional()?.is_some())
}
