//! The record of a request that is not decided yet. In: the request, or its record. Out: [`PendingRecord`], which each decision
//! completes and writes.

use crate::authenticate::Identified;
use crate::ledger::{AuditEvent, EventKind, LedgerError, Record, State, Transaction};
use crate::protocol::Timestamp;

/// The record of a request that is not decided yet: a new one, or that of a request that has waited.
#[derive(Debug)]
pub struct PendingRecord {
    pub(super) record: Record,
    pub(super) is_new: bool,
}

impl PendingRecord {
    /// The record of `identified`: `waiting` if it has waited, else a new one, first seen at `now`.
    pub fn of(waiting: Option<Record>, identified: &Identified, queue_id: Option<String>, now: Timestamp) -> Self {
        let is_new = waiting.is_none();
        let record = waiting.unwrap_or_else(|| Record { queue_id, ..blank(identified, now) });
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

    /// Writes the record, and the event that has made it so.
    pub(super) fn write(
        &self,
        transaction: &mut dyn Transaction,
        kind: EventKind,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        self.write_with(transaction, &AuditEvent::of(kind, &self.record, now))
    }

    pub(super) fn write_with(&self, transaction: &mut dyn Transaction, event: &AuditEvent) -> Result<(), LedgerError> {
        transaction.append(event)?;
        if self.is_new { transaction.insert(&self.record) } else { transaction.update(&self.record) }
    }
}

/// A record of a request about which nothing is decided yet.
fn blank(identified: &Identified, now: Timestamp) -> Record {
    let request = identified.request();
    let arguments = request.arguments().unwrap_or_default();
    let arguments: Vec<_> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Record {
        id: identified.id(),
        user: identified.user().to_string(),
        command: request.command().to_string(),
        arguments: arguments.join("\n"),
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
