//! What was authorized once is admitted once: it is neither copied nor used again.
use std::time::Duration;

use mailsudo::admission::{PendingRecord, admit};
use mailsudo::authorize::Authorized;
use mailsudo::ledger::Transaction;
use mailsudo::protocol::Timestamp;

fn twice(
    one: Box<dyn Transaction>,
    other: Box<dyn Transaction>,
    authorized: Authorized<'_>,
    pending: (PendingRecord, PendingRecord),
    now: Timestamp,
) {
    let _ = admit(one, authorized, pending.0, None, Duration::ZERO, now);
    let _ = admit(other, authorized, pending.1, None, Duration::ZERO, now);
}

fn main() {}
