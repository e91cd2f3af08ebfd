//! What is recorded after a run: how it ended, or that this is unknown, and that the reply was sent. In: [`Admitted`]
//! or a record, and the finished reply. Out: nothing.

use std::time::Duration;

use super::admitted::Admitted;
use super::counted;
use crate::error::{Reason, Stop};
use crate::ledger::{AuditEvent, ChainPoint, EventKind, Ledger, LedgerError, Record, State, StoredReply, Transaction};
use crate::limits::{OUTCOME_POLL, PRUNE};
use crate::protocol::{RequestId, RunResult, Timestamp};
use crate::system::clock::Clock;

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct RunEnd {
    /// Its result.
    pub result: RunResult,
    /// Why nothing was run, where that is proven.
    pub refused: Option<Reason>,
    /// When it ended.
    pub at: Timestamp,
    /// How many log lines were lost.
    pub audit_lost: u32,
}

/// The finished reply to the request that a delivery brought and, where a vote ran an approved request, the reply to
/// that; `None` where its user has left.
pub type Replies = (StoredReply, Option<StoredReply>);

/// Records how a run ended, with its finished reply, which is returned. `compose` writes the replies, which have the
/// head of the audit chain after it. Frees its exclusive command, unless the run may still go on. It tries for
/// `timeout`, because what is not recorded now is unknown for ever.
///
/// # Errors
///
/// The ledger's error, or that of `compose`; the run stays recorded as started.
pub fn finish<'p>(
    ledger: &mut dyn Ledger,
    admitted: Admitted<'p>,
    end: RunEnd,
    timeout: Duration,
    clock: &dyn Clock,
    compose: impl FnOnce(&Admitted<'p>, ChainPoint) -> Result<Replies, Stop>,
) -> Result<StoredReply, Stop> {
    let (id, user) = (admitted.record().id, admitted.identified().user());
    let until = clock.instant() + timeout;
    loop {
        // A transaction that did not begin has changed nothing; one that did is not tried twice.
        let error = match ledger.transaction(&id, user) {
            Ok(transaction) => return record_end(transaction, admitted, end, compose),
            Err(error) => error,
        };
        if clock.instant() >= until {
            return Err(error.into());
        }
        clock.sleep(OUTCOME_POLL);
    }
}

fn record_end<'p>(
    mut transaction: Box<dyn Transaction + '_>,
    admitted: Admitted<'p>,
    RunEnd { result, refused, at, audit_lost }: RunEnd,
    compose: impl FnOnce(&Admitted<'p>, ChainPoint) -> Result<Replies, Stop>,
) -> Result<StoredReply, Stop> {
    let reason = refused.map(|reason| reason.code().to_owned());
    let record = Record { reason: reason.clone(), ..admitted.record().clone() };
    let about = admitted.claimed().map(|claimed| claimed.record().id);
    let point = end_event(transaction.as_mut(), record, about.as_ref(), result, at)?;
    let (reply, claimed_reply) = compose(&admitted, point)?;
    let (record, claimed) = admitted.into_parts();
    let ended = |record: Record, reply: Option<StoredReply>| Record {
        state: State::Finished,
        finished: Some(at),
        result: Some(result),
        replied: if reply.is_some() { None } else { Some(at) },
        reply,
        reason: reason.clone(),
        audit_lost,
        holds_until: record.holds_until.filter(|_| result == RunResult::Unknown),
        ..record
    };
    if let Some(claimed) = claimed {
        let claimed = ended(claimed.record, claimed_reply);
        if !transaction.change(&claimed, State::Started)? {
            return Err(LedgerError::Taken.into());
        }
        transaction.count(counted::ended(&claimed), at);
    }
    let record = ended(record, Some(reply.clone()));
    transaction.update(&record)?;
    transaction.count(counted::ended(&record), at);
    transaction.commit()?;
    Ok(reply)
}

/// Writes the event of the end of a run, of which `result` is known. Where a vote ran the request `about`, that has
/// ended too.
///
/// # Errors
///
/// The ledger's error.
pub fn end_event(
    transaction: &mut dyn Transaction,
    record: Record,
    about: Option<&RequestId>,
    result: RunResult,
    now: Timestamp,
) -> Result<ChainPoint, LedgerError> {
    let record = Record { state: State::Finished, result: Some(result), ..record };
    let event = AuditEvent::of(EventKind::Finished, &record, now);
    transaction.append(&match about {
        Some(about) => event.about(about, State::Finished),
        None => event,
    })
}

/// Records that the outcome of a run is unknown, because its delivery died, with the finished reply. Its event is
/// [`end_event`]'s. It holds its exclusive command until the command must have ended.
///
/// # Errors
///
/// The ledger's error; the run stays recorded as started.
pub fn give_up(
    mut transaction: Box<dyn Transaction + '_>,
    record: Record,
    reply: StoredReply,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let result = Some(RunResult::Unknown);
    let record = Record { state: State::Finished, result, reply: Some(reply), finished: Some(now), ..record };
    transaction.update(&record)?;
    transaction.count(counted::ended(&record), now);
    transaction.commit()
}

/// Records that the outcome of a claimed run is unknown, because the delivery of the vote died, with both finished
/// replies. If the request's own record has an outcome already, that is kept.
///
/// # Errors
///
/// The ledger's error; both stay recorded as started.
pub fn give_up_claimed(
    mut transaction: Box<dyn Transaction + '_>,
    vote: Record,
    vote_reply: StoredReply,
    asked: Option<(Record, Option<StoredReply>)>,
    result: RunResult,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if let Some((record, reply)) = asked {
        let replied = if reply.is_some() { None } else { Some(now) };
        let ended = Record {
            state: State::Finished,
            result: Some(RunResult::Unknown),
            reply,
            replied,
            finished: Some(now),
            ..record
        };
        if !transaction.change(&ended, State::Started)? {
            return Err(LedgerError::Taken);
        }
        transaction.count(counted::ended(&ended), now);
    }
    let vote =
        Record { state: State::Finished, result: Some(result), reply: Some(vote_reply), finished: Some(now), ..vote };
    transaction.update(&vote)?;
    transaction.count(counted::ended(&vote), now);
    transaction.commit()
}

/// Records that the reply was sent, waiting up to `timeout` for the ledger, and prunes what is older than the
/// retention.
///
/// # Errors
///
/// The ledger's error; then the same reply may be sent once more.
pub fn mark_replied(
    ledger: &mut dyn Ledger,
    id: &RequestId,
    audit_lost: u32,
    retention: Duration,
    timeout: Duration,
    now: Timestamp,
) -> Result<(), LedgerError> {
    ledger.end_delivery(id, now, audit_lost, (now.minus(retention), PRUNE), timeout)
}

/// Records that the final reply to a request was sent by the delivery of a vote on it.
///
/// # Errors
///
/// The ledger's error; then the same reply may be sent once more.
pub fn mark_concluded(
    ledger: &mut dyn Ledger,
    id: &RequestId,
    timeout: Duration,
    now: Timestamp,
) -> Result<(), LedgerError> {
    ledger.mark_replied(id, now, 0, timeout)
}
