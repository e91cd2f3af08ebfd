//! What is recorded about requests that need approval, and about votes. In: what was decided, and the open [`Transaction`]. Out:
//! nothing, or [`Admitted`].
//!
//! MUST: a pending request runs at most once, whoever approves it and when: it is claimed by one conditional update of its own
//! record, in the transaction that records the vote.

use std::time::Duration;

use super::{Admitted, PendingRecord, held_by_invocation};
use crate::authorize::{Action, Approved, Authorized, Required};
use crate::error::Reason;
use crate::ledger::{
    ApprovalRecord, Ledger, LedgerError, Notice, NoticeKind, PayloadRecord, Record, State, StoredReply, Transaction,
    Vote,
};
use crate::limits::{KILL_AFTER, SUDO_START};
use crate::protocol::{Payload, RequestId, RunResult, Timestamp, UserName};

/// What is recorded about an approval that is asked for, or that an exception makes needless.
#[derive(Debug, Clone)]
pub struct Announcement {
    approval: ApprovalRecord,
    notices: Vec<Notice>,
}

impl Announcement {
    /// What is recorded about `required` of the request `id`; `approvers` get a notice.
    pub fn new(id: RequestId, required: &Required, approvers: &[UserName], host: String, now: Timestamp) -> Self {
        let kind = if required.exception().is_some() { NoticeKind::Exception } else { NoticeKind::Ask };
        Self {
            approval: ApprovalRecord {
                request: id,
                digest: required.digest(),
                until: now.plus(required.terms().within.as_duration()),
                needed: required.terms().needed.get(),
                host,
                reason: required.reason().map(str::to_owned),
                exception: required.exception().map(str::to_owned),
            },
            notices: approvers.iter().map(|user| Notice { user: user.to_string(), kind, sent: None }).collect(),
        }
    }

    /// What is recorded.
    pub fn approval(&self) -> &ApprovalRecord {
        &self.approval
    }

    /// Who gets a notice.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn write(&self, transaction: &mut dyn Transaction) -> Result<(), LedgerError> {
        transaction.insert_approval(&self.approval)?;
        self.notices.iter().try_for_each(|notice| transaction.insert_notice(&self.approval.request, notice))
    }
}

/// A payload for the ledger. Its bytes are kept only for a request that is pending.
pub(super) fn payload_record(payload: &Payload, is_pending: bool) -> PayloadRecord {
    PayloadRecord {
        digest: payload.digest(),
        size: payload.content().len() as u64,
        content: is_pending.then(|| payload.content().to_owned()),
    }
}

/// Records a request as pending, with the notices that are to be sent and the finished reply.
///
/// # Errors
///
/// The ledger's error; then nothing is recorded.
pub fn ask(
    mut transaction: Box<dyn Transaction + '_>,
    authorized: &Authorized<'_>,
    mut pending: PendingRecord,
    announcement: &Announcement,
    reply: StoredReply,
) -> Result<(), LedgerError> {
    if let Action::Run(invocation) = authorized.action() {
        pending.record.run_as = Some(invocation.run_as().to_string());
        let identified = authorized.identified();
        pending.record.argv = Some(invocation.sealed(identified.key(), &identified.id()));
    }
    pending.record.step = authorized.step();
    pending.record.state = State::Pending;
    pending.record.result = Some(RunResult::Pending);
    pending.record.reply = Some(reply);
    pending.write(transaction.as_mut())?;
    if let Some(payload) = authorized.payload() {
        transaction.insert_payload(&pending.record.id, &payload_record(payload, true))?;
    }
    announcement.write(transaction.as_mut())?;
    transaction.commit()
}

/// What a vote changes, other than starting a run.
#[derive(Debug)]
pub struct Conclusion {
    /// The vote, where it counts as one and is not recorded yet.
    pub vote: Option<Vote>,
    /// The record of the request that the vote is about, where it is no longer pending.
    pub concluded: Option<Record>,
    /// Notices about it that are to be sent.
    pub notices: Vec<Notice>,
    /// Why the vote itself is refused, if it is.
    pub refused: Option<Reason>,
    /// What the reply to the vote says.
    pub result: RunResult,
    /// The finished reply to the vote.
    pub reply: StoredReply,
}

/// Records a vote and what it changes.
///
/// # Errors
///
/// The ledger's error, or the request is not pending any more; then nothing is recorded.
pub fn conclude(
    mut transaction: Box<dyn Transaction + '_>,
    authorized: &Authorized<'_>,
    mut pending: PendingRecord,
    conclusion: Conclusion,
    now: Timestamp,
) -> Result<(), LedgerError> {
    pending.record = Record {
        state: if conclusion.refused.is_some() { State::Refused } else { State::Finished },
        reason: conclusion.refused.map(|reason| reason.code().to_owned()),
        step: authorized.step(),
        result: Some(conclusion.result),
        finished: Some(now),
        reply: Some(conclusion.reply),
        ..pending.record
    };
    pending.write(transaction.as_mut())?;
    if let Some(vote) = &conclusion.vote {
        transaction.insert_vote(vote)?;
    }
    if let Some(concluded) = &conclusion.concluded {
        take(transaction.as_mut(), concluded)?;
        for notice in &conclusion.notices {
            transaction.insert_notice(&concluded.id, notice)?;
        }
    }
    transaction.commit()
}

/// Replaces the record of a pending request: the one conditional update that claims it.
fn take(transaction: &mut dyn Transaction, record: &Record) -> Result<(), LedgerError> {
    if !transaction.change(record, State::Pending)? {
        return Err(LedgerError::Taken);
    }
    transaction.close_approval(&record.id)
}

/// A request that waits is only changed by the delivery that has read it as waiting.
///
/// # Errors
///
/// It does not wait any more, or the ledger cannot be read.
pub fn still_waiting(transaction: &dyn Transaction) -> Result<(), LedgerError> {
    match transaction.record()? {
        Some(record) if record.state == State::Waiting => Ok(()),
        _ => Err(LedgerError::Taken),
    }
}

/// What became of the last approval.
#[derive(Debug)]
pub enum Claim<'p> {
    /// The approved request is claimed for this delivery: it may run now, once.
    Admitted(Box<Admitted<'p>>),
    /// Another run holds its exclusive command. The vote is recorded as waiting.
    Held(Box<(Authorized<'p>, PendingRecord)>),
}

/// The approved request that an admitted vote runs.
#[derive(Debug)]
pub struct Claimed {
    pub(super) approved: Approved,
    pub(super) record: Record,
    votes: Vec<Vote>,
}

impl Claimed {
    /// Whether its approvers get the output.
    pub fn shows_output(&self) -> bool {
        self.approved.shows_output()
    }

    /// The votes on it, the last one included.
    pub fn votes(&self) -> &[Vote] {
        &self.votes
    }

    /// Its record.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// Claims the approved request `asked`, on which there are `votes`, for the vote `authorized`, or records the vote as waiting.
///
/// # Errors
///
/// The ledger's error; then nothing is claimed.
#[expect(clippy::too_many_arguments, reason = "the vote, what it is about, and the time")]
pub fn claim<'p>(
    mut transaction: Box<dyn Transaction + '_>,
    authorized: Authorized<'p>,
    approved: Approved,
    mut pending: PendingRecord,
    (asked, mut votes): (Record, Vec<Vote>),
    vote: Option<Vote>,
    longest: Duration,
    now: Timestamp,
) -> Result<Claim<'p>, LedgerError> {
    pending.record.step = authorized.step();
    let invocation = approved.invocation();
    let is_held = held_by_invocation(transaction.as_ref(), invocation, longest, now)?.is_some();
    if let Some(vote) = &vote {
        transaction.insert_vote(vote)?;
    }
    if is_held {
        if pending.is_new {
            pending.record.state = State::Waiting;
            pending.write(transaction.as_mut())?;
            transaction.commit()?;
            pending.is_new = false;
        }
        return Ok(Claim::Held(Box::new((authorized, pending))));
    }
    let end = now.plus(SUDO_START).plus(invocation.timeout()).plus(KILL_AFTER);
    let record = Record {
        argv: Some(invocation.shown().join("\n")),
        state: State::Started,
        started: Some(now),
        result: None,
        reply: None,
        replied: None,
        holds_until: invocation.is_exclusive().then_some(end),
        ..asked
    };
    take(transaction.as_mut(), &record)?;
    pending.record.state = State::Started;
    pending.record.started = Some(now);
    pending.write(transaction.as_mut())?;
    transaction.commit()?;
    votes.extend(vote);
    let claimed = Some(Box::new(Claimed { approved, record, votes }));
    Ok(Claim::Admitted(Box::new(Admitted { authorized, record: pending.record, claimed })))
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
    }
    transaction.update(&Record {
        state: State::Finished,
        result: Some(result),
        reply: Some(vote_reply),
        finished: Some(now),
        ..vote
    })?;
    transaction.commit()
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
