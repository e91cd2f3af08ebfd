//! The audit chain, in PostgreSQL's SQL. In: an event, under the lock of the one row of mailsudo.ledger. Out: the head
//! after it.
//!
//! In a transaction the newest event is read with the lock, the hash is made here, and the event is sent together with
//! COMMIT: it costs no further round trip while the lock is held. Where there is no transaction, the server makes the
//! hash (here, and in mailsudo.mark_replied).
//!
//! MUST: the newest event is read by a statement of its own after the lock is held, so that it sees all that was
//! committed before.

use super::value::{Row, Value};
use super::wire::{Statement, statement};
use crate::ledger::{AuditEvent, ChainPoint, ChainRow, Checkpoint, LedgerError};
use crate::protocol::{ChainHead, Timestamp};

/// The number of the newest event, and the head after it.
pub(super) const END: &str = "SELECT number, head FROM
     (SELECT number, head FROM mailsudo.events UNION ALL SELECT number, head FROM mailsudo.checkpoint) AS chain
     ORDER BY number DESC LIMIT 1";

/// Writes an event that was made in a transaction. The number is the table's key: no two writers can have the same one.
pub(super) const INSERT: &str = "INSERT INTO mailsudo.events (number, at, event, head) VALUES ($1, $2, $3, $4)";

/// How many events are read at once.
pub(super) const PAGE: i64 = 1000;

/// What [`END`] has found.
pub(super) fn end(answer: Option<Row>) -> Result<ChainPoint, LedgerError> {
    let mut row = answer.ok_or(LedgerError::Corrupt("lack of a row in mailsudo.checkpoint"))?;
    Ok(ChainPoint { number: row.count("number of an event")?, head: head(&mut row)? })
}

fn head(row: &mut Row) -> Result<ChainHead, LedgerError> {
    let bytes = row.bytes("head")?;
    bytes.as_ref().try_into().map(ChainHead::from_bytes).map_err(|_| LedgerError::Corrupt("head"))
}

/// An event that is to be written with the commit.
pub(super) struct NewEvent {
    at: Timestamp,
    text: String,
    point: ChainPoint,
}

impl NewEvent {
    /// `event` after the newest one.
    pub(super) fn new(newest: ChainPoint, event: &AuditEvent) -> Result<Self, LedgerError> {
        let text = event.canonical();
        let at = event.at().ok_or(LedgerError::Corrupt("event"))?;
        Ok(Self { at, point: newest.after(&text), text })
    }

    /// Its number as PostgreSQL has it.
    pub(super) fn number(&self) -> i64 {
        self.point.number.cast_signed()
    }

    pub(super) fn point(&self) -> ChainPoint {
        self.point
    }

    /// The values for [`INSERT`].
    pub(super) fn values(&self) -> [Value<'_>; 4] {
        [self.number().into(), self.at.into(), self.text.as_str().into(), self.point.head.as_bytes().as_slice().into()]
    }
}

/// Takes the lock that makes transactions exclude each other.
pub(super) fn lock<'s>() -> Statement<'s> {
    statement("SELECT FROM mailsudo.ledger FOR UPDATE", &[])
}

/// Adds the event `$2` of the moment `$1`. It may run twice: then the newest event is the same one. The lock must be
/// held.
pub(super) fn append_sql() -> String {
    format!(
        "WITH chain AS ({END})
         INSERT INTO mailsudo.events (number, at, event, head)
         SELECT chain.number + 1, $1, $2, sha256(chain.head || convert_to($2, 'UTF8')) FROM chain
         WHERE NOT EXISTS (SELECT FROM mailsudo.events e WHERE e.number = chain.number AND e.event = $2)"
    )
}

/// The beginning of the chain, for [`checkpoint`].
pub(super) const CHECKPOINT: &str = "SELECT gateway, number, head, until FROM mailsudo.checkpoint";

/// Reads the answer to [`CHECKPOINT`].
pub(super) fn checkpoint(mut row: Row) -> Result<Checkpoint, LedgerError> {
    Ok(Checkpoint {
        gateway: row.text("gateway")?,
        number: row.count("number of an event")?,
        head: head(&mut row)?,
        until: row.maybe_time("time of an event")?,
    })
}

/// `$2` events after the number `$1`, for [`event`].
pub(super) const EVENTS: &str =
    "SELECT number, at, event, head FROM mailsudo.events WHERE number > $1 ORDER BY number LIMIT $2";

/// Reads a row of [`EVENTS`].
pub(super) fn event(mut row: Row) -> Result<ChainRow, LedgerError> {
    Ok(ChainRow {
        number: row.count("number of an event")?,
        at: row.time("time of an event")?,
        event: row.text("event")?,
        head: head(&mut row)?,
    })
}
