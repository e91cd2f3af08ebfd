//! The record of a request that is not decided yet. In: the request, or its record. Out: [`PendingRecord`], which each
//! decision completes and writes.

use crate::authenticate::Identified;
use crate::ledger::{AuditEvent, ChainPoint, EventKind, LedgerError, Record, State, Transaction};
use crate::protocol::Timestamp;

/// The record of a request that is not decided yet: a new one, or that of a request that has waited.
#[derive(Debug)]
pub struct PendingRecord {
    pub(super) record: Record,
    pub(super) is_new: bool,
}

impl PendingRecord {
    /// The record of `identified`, whose arguments may be `shown` like this: `waiting` if it has waited, else a new
    /// one, first seen at `now`.
    pub fn of(
        waiting: Option<Record>,
        identified: &Identified,
        shown: String,
        queue_id: Option<String>,
        now: Timestamp,
    ) -> Self {
        let is_new = waiting.is_none();
        let record = waiting.unwrap_or_else(|| Record { queue_id, ..blank(identified, shown, now) });
        Self { record, is_new }
    }

    /// The record of a request that waits, and whose mail is not at hand.
    pub fn recorded(record: Record) -> Self {
        Self { record, is_new: false }
    }

    /// The record of a request that has waited.
    pub fn waiting(&self) -> Option<&Record> {
        (!self.is_new).then_some(&self.record)
    }

    /// Writes the record, and the event that has made it so. Returns the event's place.
    pub(super) fn write(
        &self,
        transaction: &mut dyn Transaction,
        kind: EventKind,
        now: Timestamp,
    ) -> Result<ChainPoint, LedgerError> {
        self.write_with(transaction, &AuditEvent::of(kind, &self.record, now))
    }

    pub(super) fn write_with(
        &self,
        transaction: &mut dyn Transaction,
        event: &AuditEvent,
    ) -> Result<ChainPoint, LedgerError> {
        let point = transaction.append(event)?;
        self.store(transaction)?;
        Ok(point)
    }

    /// Writes the record, whose event is written already.
    pub(super) fn store(&self, transaction: &mut dyn Transaction) -> Result<(), LedgerError> {
        if self.is_new { transaction.insert(&self.record) } else { transaction.update(&self.record) }
    }
}

/// A record of a request about which nothing is decided yet.
fn blank(identified: &Identified, arguments: String, now: Timestamp) -> Record {
    let request = identified.request();
    Record {
        id: identified.id(),
        user: identified.user().to_string(),
        command: request.command().to_string(),
        arguments,
        signed: request.time(),
        first_seen: now,
        state: State::Refused,
        reason: None,
        step: None,
        run_as: None,
        argv: None,
        started: None,
        finished: None,
        result: None,
        reply: None,
        replied: None,
        queue_id: None,
        audit_lost: 0,
        holds_until: None,
    }
}
