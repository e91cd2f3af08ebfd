//! What is recorded about requests that need approval, and about votes. In: what was decided, and the open
//! [`Transaction`]. Out: nothing, or [`Admitted`].
//!
//! MUST: a pending request runs at most once, whoever approves it and when: it is claimed by one conditional update of
//! its own record, in the transaction that records the vote.

use std::time::Duration;

use super::admitted::{Admitted, Claimed};
use super::announcement::{Announcement, payload_record};
use super::counted;
use super::hold::{held_by_invocation, holds_until};
use super::pending_record::PendingRecord;
use crate::authorize::{Action, Approved, Authorized};
use crate::error::Reason;
use crate::ledger::{
    AuditEvent, ChainPoint, EventKind, LedgerError, Notice, Record, Series, State, StoredReply, Transaction, Vote,
    VoteKind,
};
use crate::protocol::{RequestId, RunResult, Timestamp};

/// Begins to record a request as pending: its event, in the open transaction. The finished reply has the head after it.
///
/// # Errors
///
/// The ledger's error.
pub fn asking(
    transaction: &mut dyn Transaction,
    authorized: &Authorized<'_>,
    pending: &mut PendingRecord,
    now: Timestamp,
) -> Result<ChainPoint, LedgerError> {
    if let Action::Run(invocation) = authorized.action() {
        pending.record.run_as = Some(invocation.run_as().to_string());
        let identified = authorized.identified();
        pending.record.argv = Some(invocation.sealed(identified.key(), &identified.id()));
    }
    pending.record.step = authorized.step();
    pending.record.state = State::Pending;
    pending.record.result = Some(RunResult::Pending);
    transaction.append(&AuditEvent::of(EventKind::Pending, &pending.record, now))
}

/// Records a request as pending, whose event is [`asking`]'s, with the notices that are to be sent and the finished
/// reply.
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
    now: Timestamp,
) -> Result<(), LedgerError> {
    pending.record.reply = Some(reply);
    pending.store(transaction.as_mut())?;
    if let Some(payload) = authorized.payload() {
        transaction.insert_payload(&pending.record.id, &payload_record(payload, true))?;
    }
    announcement.write(transaction.as_mut(), now)?;
    transaction.commit()
}

/// A vote that starts no run, before its replies are composed.
#[derive(Debug)]
pub struct VoteEvent<'b> {
    /// The vote, where it counts as one and is not recorded yet.
    pub vote: Option<&'b Vote>,
    /// The request that it is about, and its state after the vote.
    pub became: (&'b RequestId, State),
    /// Why the vote itself is refused, if it is.
    pub refused: Option<Reason>,
    /// What the reply to the vote says.
    pub result: RunResult,
}

/// Begins to record a vote: its event, in the open transaction. The replies have the head after it.
///
/// # Errors
///
/// The ledger's error.
pub fn voting(
    transaction: &mut dyn Transaction,
    authorized: &Authorized<'_>,
    pending: &mut PendingRecord,
    event: &VoteEvent<'_>,
    now: Timestamp,
) -> Result<ChainPoint, LedgerError> {
    pending.record.state = if event.refused.is_some() { State::Refused } else { State::Finished };
    pending.record.reason = event.refused.map(|reason| reason.code().to_owned());
    pending.record.step = authorized.step();
    pending.record.result = Some(event.result);
    pending.record.finished = Some(now);
    let kind = match event.vote {
        _ if event.refused.is_some() => EventKind::Refused,
        Some(vote) => event_of(vote.kind),
        None => EventKind::Finished,
    };
    let (about, became) = event.became;
    transaction.append(&AuditEvent::of(kind, &pending.record, now).about(about, became))
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
    /// The finished reply to the vote.
    pub reply: StoredReply,
}

/// Records a vote, whose event is [`voting`]'s, and what it changes.
///
/// # Errors
///
/// The ledger's error, or the request is not pending any more; then nothing is recorded.
pub fn conclude(
    mut transaction: Box<dyn Transaction + '_>,
    mut pending: PendingRecord,
    conclusion: Conclusion,
    now: Timestamp,
) -> Result<(), LedgerError> {
    pending.record.reply = Some(conclusion.reply);
    pending.store(transaction.as_mut())?;
    transaction.count(counted::ended(&pending.record), now);
    if let Some(vote) = &conclusion.vote {
        insert_vote(transaction.as_mut(), vote, now)?;
    }
    if let Some(concluded) = &conclusion.concluded {
        take(transaction.as_mut(), concluded)?;
        transaction.count(counted::ended(concluded), now);
        for notice in &conclusion.notices {
            transaction.insert_notice(&concluded.id, notice)?;
        }
    }
    transaction.commit()
}

/// The event that a vote is.
fn event_of(kind: VoteKind) -> EventKind {
    match kind {
        VoteKind::Approve => EventKind::Approved,
        VoteKind::Deny => EventKind::Denied,
        VoteKind::Withdraw => EventKind::Withdrew,
        VoteKind::Cancel => EventKind::Cancelled,
    }
}

fn insert_vote(transaction: &mut dyn Transaction, vote: &Vote, now: Timestamp) -> Result<(), LedgerError> {
    transaction.count(counted::one(Series::Approval(vote.kind.word())), now);
    transaction.insert_vote(vote)
}

/// Replaces the record of a pending request: the one conditional update that claims it.
fn take(transaction: &mut dyn Transaction, record: &Record) -> Result<(), LedgerError> {
    if !transaction.change(record, State::Pending)? {
        return Err(LedgerError::Taken);
    }
    transaction.close_approval(&record.id)
}

/// What became of the last approval.
#[derive(Debug)]
pub enum Claim<'p> {
    /// The approved request is claimed for this delivery: it may run now, once.
    Admitted(Box<Admitted<'p>>),
    /// Another run holds its exclusive command. The vote is recorded as waiting.
    Held(Box<(Authorized<'p>, PendingRecord)>),
}

/// A pending request that has all the approvals it needs.
#[derive(Debug)]
pub struct FullyApproved {
    /// What runs.
    pub approved: Approved,
    /// Its record.
    pub record: Record,
    /// The votes on it that are recorded.
    pub votes: Vec<Vote>,
    /// The vote that is recorded now; `None`: it is among the others, because it has waited.
    pub vote: Option<Vote>,
}

/// Claims the approved request `asked` for the vote `authorized`, or records the vote as waiting.
///
/// # Errors
///
/// The ledger's error; then nothing is claimed.
pub fn claim<'p>(
    mut transaction: Box<dyn Transaction + '_>,
    authorized: Authorized<'p>,
    mut pending: PendingRecord,
    asked: FullyApproved,
    longest: Duration,
    now: Timestamp,
) -> Result<Claim<'p>, LedgerError> {
    let FullyApproved { approved, record, mut votes, vote } = asked;
    pending.record.step = authorized.step();
    let invocation = approved.invocation();
    let is_held = held_by_invocation(transaction.as_ref(), invocation, longest, now)?.is_some();
    if let Some(vote) = &vote {
        insert_vote(transaction.as_mut(), vote, now)?;
    }
    if is_held {
        if pending.is_new {
            pending.record.state = State::Waiting;
            let event = AuditEvent::of(EventKind::Admitted, &pending.record, now).about(&record.id, State::Pending);
            pending.write_with(transaction.as_mut(), &event)?;
        }
        transaction.commit()?;
        pending.is_new = false;
        return Ok(Claim::Held(Box::new((authorized, pending))));
    }
    let record = Record {
        argv: Some(invocation.shown().join("\n")),
        state: State::Started,
        started: Some(now),
        result: None,
        reply: None,
        replied: None,
        holds_until: holds_until(invocation, now),
        ..record
    };
    take(transaction.as_mut(), &record)?;
    votes.extend(vote);
    let claimed = Some(Box::new(Claimed { approved, record, votes }));
    let admitted = Admitted::start(transaction, authorized, pending, claimed, None, now)?;
    Ok(Claim::Admitted(Box::new(admitted)))
}
