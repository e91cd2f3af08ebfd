//! What is recorded after a run: how it ended, or that this is unknown, and that the reply was sent. In: [`Admitted`] or a record,
//! and the finished reply. Out: nothing.

use std::time::Duration;

use super::admitted::Admitted;
use super::counted;
use crate::error::Reason;
use crate::ledger::{AuditEvent, EventKind, Ledger, LedgerError, Record, State, StoredReply, Transaction};
use crate::limits::{OUTCOME_POLL, PRUNE};
use crate::protocol::{RequestId, RunResult, Timestamp};
use crate::system::clock::Clock;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Its result.
    pub result: RunResult,
    /// The finished reply to the request that this delivery brought.
    pub reply: StoredReply,
    /// Where a vote ran an approved request, the reply to that request; `None` where its user has left.
    pub claimed_reply: Option<StoredReply>,
    /// When it ended.
    pub at: Timestamp,
}

/// Records how a run ended, with its finished reply. Frees its exclusive command, unless the run may still go on. It tries for
/// `patience`, because what is not recorded now is unknown for ever.
///
/// # Errors
///
/// The ledger's error; the run stays recorded as started.
pub fn finish(
    ledger: &mut dyn Ledger,
    admitted: Admitted<'_>,
    end: RunEnd,
    audit_lost: u32,
    patience: Duration,
    clock: &dyn Clock,
) -> Result<(), LedgerError> {
    let (authorized, record, claimed) = admitted.into_parts();
    let user = authorized.identified().user();
    let ended = |record: Record, reply: Option<StoredReply>| Record {
        state: State::Finished,
        finished: Some(end.at),
        result: Some(end.result),
        replied: if reply.is_some() { None } else { Some(end.at) },
        reply,
        reason: (end.result == RunResult::Refused).then(|| Reason::SudoRules.code().to_owned()),
        audit_lost,
        holds_until: record.holds_until.filter(|_| end.result == RunResult::Unknown),
        ..record
    };
    let own = ended(record, Some(end.reply));
    let claimed = claimed.map(|claimed| ended(claimed.record, end.claimed_reply));
    let until = clock.instant() + patience;
    loop {
        // A transaction that did not begin has changed nothing; one that did is not tried twice.
        let error = match ledger.transaction(&own.id, user) {
            Ok(transaction) => return record_end(transaction, &own, claimed.as_ref(), end.at),
            Err(error) => error,
        };
        if clock.instant() >= until {
            return Err(error);
        }
        clock.sleep(OUTCOME_POLL);
    }
}

fn record_end(
    mut transaction: Box<dyn Transaction + '_>,
    own: &Record,
    claimed: Option<&Record>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if let Some(claimed) = claimed {
        if !transaction.change(claimed, State::Started)? {
            return Err(LedgerError::Taken);
        }
        transaction.count(counted::ended(claimed), now);
    }
    transaction.append(&end_of(own, claimed.map(|claimed| &claimed.id), now))?;
    transaction.update(own)?;
    transaction.count(counted::ended(own), now);
    transaction.commit()
}

/// Records that the outcome of a run is unknown, because its delivery died, with the finished reply. It holds its exclusive
/// command until the command must have ended.
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
    transaction.append(&end_of(&record, None, now))?;
    transaction.update(&record)?;
    transaction.count(counted::ended(&record), now);
    transaction.commit()
}

/// Records that the outcome of a claimed run is unknown, because the delivery of the vote died, with both finished replies. If the
/// request's own record has an outcome already, that is kept.
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
    let about = asked.as_ref().map(|(record, _)| record.id);
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
    transaction.append(&end_of(&vote, about.as_ref(), now))?;
    transaction.update(&vote)?;
    transaction.count(counted::ended(&vote), now);
    transaction.commit()
}

/// The event of the end of a run. Where a vote ran the request `about`, that has ended too.
fn end_of(record: &Record, about: Option<&RequestId>, now: Timestamp) -> AuditEvent {
    let event = AuditEvent::of(EventKind::Finished, record, now);
    match about {
        Some(about) => event.about(about, State::Finished),
        None => event,
    }
}

/// Records that the reply was sent, waiting up to `timeout` for the ledger, and prunes what is older than the retention.
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
    ledger.mark_replied(id, now, audit_lost, timeout)?;
    ledger.prune(now.minus(retention), PRUNE, now).map(drop)
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
