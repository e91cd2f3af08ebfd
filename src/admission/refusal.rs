//! What is recorded about a refusal: the table of reader's rule 9 (docs/protocol.md). In: a refusal and the open
//! [`Transaction`]. Out: the refusal as recorded, and its reply.

use super::counted;
use super::pending_record::PendingRecord;
use crate::config;
use crate::error::{Reason, Refusal};
use crate::ledger::{
    AuditEvent, ChainPoint, EventKind, LedgerError, Lockout, Record, Series, State, StoredReply, Transaction,
};
use crate::protocol::{RunResult, Timestamp};

/// Records a refusal as the table of reader's rule 9 says, and returns the refusal and the reply to send, if there is
/// one. `compose` writes the reply, with the place of the refusal in the audit chain, which is returned too. It gets
/// the refusal as recorded: a wrong code that starts a lockout says so.
///
/// # Errors
///
/// The ledger's error; then nothing is recorded.
pub fn refuse(
    mut transaction: Box<dyn Transaction + '_>,
    mut pending: PendingRecord,
    refusal: Refusal,
    limits: &config::Lockout,
    now: Timestamp,
    compose: impl FnOnce(&Refusal, ChainPoint) -> StoredReply,
) -> Result<(Refusal, Option<StoredReply>, Option<ChainPoint>), LedgerError> {
    let effect = refusal.reason().effect();
    if !effect.recorded {
        return Ok((refusal, None, None));
    }
    let mut refusal = refusal;
    let mut answered = effect.answered;
    if effect.counts {
        refusal = count(transaction.as_mut(), refusal, limits, now)?;
    }
    if refusal.reason() == Reason::LockedOut
        && let Some(lockout) = transaction.lockout()?
    {
        answered = !lockout.told;
        transaction.set_lockout(&Lockout { told: true, ..lockout })?;
    }
    if refusal.reason() == Reason::TooMany {
        answered = !follows_another(transaction.as_ref(), now)?;
    }
    pending.record = Record {
        state: State::Refused,
        reason: Some(refusal.reason().code().to_owned()),
        step: refusal.step(),
        result: Some(RunResult::Refused),
        finished: Some(now),
        replied: if answered { None } else { Some(now) },
        ..pending.record
    };
    let point = transaction.append(&AuditEvent::of(EventKind::Refused, &pending.record, now))?;
    pending.record.reply = answered.then(|| compose(&refusal, point));
    pending.store(transaction.as_mut())?;
    transaction.count(counted::ended(&pending.record), now);
    transaction.commit()?;
    Ok((refusal, pending.record.reply, Some(point)))
}

/// Whether the user's newest request was refused by the same limit, and the user so knows of it. Other requests come in
/// between before the limit is reached again.
fn follows_another(transaction: &dyn Transaction, now: Timestamp) -> Result<bool, LedgerError> {
    let newest = transaction.newest(Timestamp::from_seconds(0), now, 1)?;
    Ok(newest.first().is_some_and(|reason| reason.as_deref() == Some(Reason::TooMany.code())))
}

/// Counts a wrong code. The code that reaches the limit locks the user out.
fn count(
    transaction: &mut dyn Transaction,
    refusal: Refusal,
    limits: &config::Lockout,
    now: Timestamp,
) -> Result<Refusal, LedgerError> {
    // A lockout counted in the future was set while the clock was wrong. It would stop every code from counting.
    let counted_to = transaction.lockout()?.map(|lockout| lockout.counted_to).filter(|counted| *counted <= now);
    let window = now.minus(limits.within.as_duration());
    let since = counted_to.map_or(window, |counted| counted.max(window));
    let count = transaction.wrong_codes(since, now)?.saturating_add(1);
    if count < limits.wrong_codes.get() {
        return Ok(refusal);
    }
    let until = now.plus(limits.lasts.as_duration());
    transaction.set_lockout(&Lockout { until, told: false, counted_to: now })?;
    transaction.count(counted::one(Series::LockedOut), now);
    let detail = format!("{}; that makes {count}, so you are locked out until {until}", refusal.detail());
    Ok(Refusal::new(refusal.reason(), detail))
}
