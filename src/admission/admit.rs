//! Whether an authorized request starts now or waits for an exclusive command. In: an [`Authorized`] request, its
//! record, and the open [`Transaction`]. Out: [`Admission`].

use std::time::Duration;

use super::admitted::Admitted;
use super::announcement::Announcement;
use super::hold::{held_by, holds_until};
use super::pending_record::PendingRecord;
use crate::authorize::{Action, Authorized};
use crate::ledger::{EventKind, Ledger, LedgerError, State, Transaction};
use crate::protocol::Timestamp;
use crate::system::clock::Clock;

/// A request with its id and step recorded. Another run holds its exclusive command.
#[derive(Debug)]
pub struct Waiting<'p> {
    authorized: Authorized<'p>,
    pending: PendingRecord,
    announcement: Option<Announcement>,
}

impl Waiting<'_> {
    /// Its record, for a decision that it does not run.
    pub fn into_pending(self) -> PendingRecord {
        self.pending
    }
}

/// What was decided about an authorized request.
#[derive(Debug)]
pub enum Admission<'p> {
    /// It may run.
    Admitted(Box<Admitted<'p>>),
    /// It must wait.
    Waiting(Box<Waiting<'p>>),
}

/// Admits a request: durably recorded as started or, while another run holds its exclusive command, as waiting. The
/// `announcement` is of an exception from approval, and is recorded with the start.
///
/// # Errors
///
/// The ledger's error; then nothing is admitted.
pub fn admit<'p>(
    mut transaction: Box<dyn Transaction + '_>,
    authorized: Authorized<'p>,
    mut pending: PendingRecord,
    announcement: Option<Announcement>,
    longest: Duration,
    now: Timestamp,
) -> Result<Admission<'p>, LedgerError> {
    pending.record.step = authorized.step();
    if let Action::Run(invocation) = authorized.action() {
        pending.record.run_as = Some(invocation.run_as().to_string());
        pending.record.argv = Some(invocation.shown().join("\n"));
        if held_by(transaction.as_ref(), &authorized, longest, now)?.is_some() {
            // Recorded once: a request that waits checks again five times a second. What the ledger has noticed of its
            // database is committed each time: dropped, the time for which it holds commands after a failover would
            // begin anew each time.
            if pending.is_new {
                pending.record.state = State::Waiting;
                pending.write(transaction.as_mut(), EventKind::Admitted, now)?;
            }
            transaction.commit()?;
            pending.is_new = false;
            return Ok(Admission::Waiting(Box::new(Waiting { authorized, pending, announcement })));
        }
        pending.record.holds_until = holds_until(invocation, now);
    }
    let admitted = Admitted::start(transaction, authorized, pending, None, announcement.as_ref(), now)?;
    Ok(Admission::Admitted(Box::new(admitted)))
}

/// Tries again to admit a request that waits.
///
/// # Errors
///
/// The ledger's error; the request stays recorded as waiting.
pub fn retry<'p>(
    ledger: &mut dyn Ledger,
    waiting: Box<Waiting<'p>>,
    longest: Duration,
    clock: &dyn Clock,
) -> Result<Admission<'p>, LedgerError> {
    let Waiting { authorized, pending, announcement } = *waiting;
    let transaction = ledger.transaction(&pending.record.id, authorized.identified().user())?;
    still_waiting(transaction.as_ref())?;
    // Read only now, because the transaction may have waited.
    admit(transaction, authorized, pending, announcement, longest, clock.now())
}

/// A request that waits is only changed by the delivery that has read it as waiting.
///
/// # Errors
///
/// It does not wait any more, a database server may have lost that, or the ledger cannot be read.
pub fn still_waiting(transaction: &dyn Transaction) -> Result<(), LedgerError> {
    let lost_until = transaction.lost_until()?;
    match transaction.record()? {
        Some(record) if record.state == State::Waiting && lost_until.is_none_or(|until| until < record.signed) => {
            Ok(())
        }
        _ => Err(LedgerError::Taken),
    }
}
