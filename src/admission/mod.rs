//! What is recorded about a request, and when: before its command starts, when it has ended, when it is refused, when its reply
//! was sent. In: an [`Authorized`] request or a refusal, and the open [`Transaction`]. Out: [`Admitted`].
//!
//! MUST: nothing runs without an `Admitted`. It is made only here, only from an `Authorized`, and only after its admission is on
//! stable storage (tests/types checks it).

mod approval;
mod refusal;

use std::time::Duration;

pub use approval::{
    Announcement, Claim, Claimed, Conclusion, ask, claim, conclude, give_up_claimed, mark_concluded, still_waiting,
};
pub use refusal::refuse;

use crate::authenticate::Identified;
use crate::authorize::{Action, Authorized, Invocation, Required};
use crate::error::Reason;
use crate::ledger::{ExclusiveHold, Ledger, LedgerError, Record, State, StoredReply, Transaction};
use crate::limits::{KILL_AFTER, PRUNE, SUDO_START};
use crate::protocol::{Payload, RequestId, RunResult, Timestamp};
use crate::system::clock::Clock;

/// A request whose admission is durable: it may be carried out now, once.
#[derive(Debug)]
pub struct Admitted<'p> {
    authorized: Authorized<'p>,
    record: Record,
    /// The approved request that it runs, if it is the vote that does.
    claimed: Option<Box<Claimed>>,
}

/// What an admitted request is for.
#[derive(Debug)]
pub enum AdmittedAction<'a> {
    /// A configured command.
    Run(AdmittedCommand<'a>),
    /// The built-in `help`.
    Help,
    /// The built-in `status`: of the user's latest request, or of the request with the given short id.
    Status(Option<&'a [u8; RequestId::SHORT / 2]>),
    /// The built-in `pending`.
    Pending,
}

/// A command that was admitted. Only [`Admitted::action`] makes one, so no built-in command reaches `execute`.
#[derive(Debug)]
pub struct AdmittedCommand<'a> {
    invocation: &'a Invocation,
    payload: Option<&'a Payload>,
}

impl AdmittedCommand<'_> {
    /// The command line's parts.
    pub fn invocation(&self) -> &Invocation {
        self.invocation
    }

    /// What it gets on standard input.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload
    }
}

impl<'p> Admitted<'p> {
    /// The request and its user.
    pub fn identified(&self) -> &'p Identified {
        self.authorized.identified()
    }

    /// What it needed before it ran, or the exception by which it ran at once.
    pub fn required(&self) -> Option<&Required> {
        self.authorized.required()
    }

    /// The approved request that it runs, if it is the vote that does.
    pub fn claimed(&self) -> Option<&Claimed> {
        self.claimed.as_deref()
    }

    /// What may be done.
    pub fn action(&self) -> AdmittedAction<'_> {
        if let Some(approved) = self.claimed.as_ref().map(|claimed| &claimed.approved) {
            return AdmittedAction::Run(AdmittedCommand {
                invocation: approved.invocation(),
                payload: approved.payload(),
            });
        }
        match self.authorized.action() {
            Action::Run(invocation) => {
                AdmittedAction::Run(AdmittedCommand { invocation, payload: self.authorized.payload() })
            }
            Action::Help => AdmittedAction::Help,
            Action::Status(short) => AdmittedAction::Status(short.as_ref()),
            // A vote runs what it has claimed, and without that nothing.
            Action::Pending | Action::Vote(_) => AdmittedAction::Pending,
        }
    }
}

/// A request with its id and step recorded. Another run holds its exclusive command.
#[derive(Debug)]
pub struct Waiting<'p> {
    authorized: Authorized<'p>,
    pending: PendingRecord,
    announcement: Option<Announcement>,
}

/// The record of a request that is not decided yet: a new one, or that of a request that has waited.
#[derive(Debug)]
pub struct PendingRecord {
    record: Record,
    is_new: bool,
}

impl PendingRecord {
    /// The record of `identified`, whose arguments may be `shown` like this: `waiting` if it has waited, else a new one.
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

    fn write(&self, transaction: &mut dyn Transaction) -> Result<(), LedgerError> {
        if self.is_new { transaction.insert(&self.record) } else { transaction.update(&self.record) }
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

/// The other run that holds the exclusive command that `authorized` is for, if there is one. `longest` is the longest time limit
/// of any command.
///
/// # Errors
///
/// The ledger's error.
pub fn held_by(
    transaction: &dyn Transaction,
    authorized: &Authorized<'_>,
    longest: Duration,
    now: Timestamp,
) -> Result<Option<ExclusiveHold>, LedgerError> {
    match authorized.action() {
        Action::Run(invocation) => held_by_invocation(transaction, invocation, longest, now),
        _ => Ok(None),
    }
}

fn held_by_invocation(
    transaction: &dyn Transaction,
    invocation: &Invocation,
    longest: Duration,
    now: Timestamp,
) -> Result<Option<ExclusiveHold>, LedgerError> {
    if !invocation.is_exclusive() {
        return Ok(None);
    }
    let holds = transaction.exclusive_holds(invocation.name().as_str(), now)?;
    Ok(holds.into_iter().find(|hold| hold.is_busy(now, SUDO_START + longest + KILL_AFTER)))
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
            // Recorded once: a request that waits checks again five times a second.
            if pending.is_new {
                pending.record.state = State::Waiting;
                pending.write(transaction.as_mut())?;
                transaction.commit()?;
                pending.is_new = false;
            }
            return Ok(Admission::Waiting(Box::new(Waiting { authorized, pending, announcement })));
        }
        if invocation.is_exclusive() {
            pending.record.holds_until = Some(now.plus(SUDO_START).plus(invocation.timeout()).plus(KILL_AFTER));
        }
    }
    pending.record.state = State::Started;
    pending.record.started = Some(now);
    pending.write(transaction.as_mut())?;
    if let (Action::Run(_), Some(payload)) = (authorized.action(), authorized.payload()) {
        transaction.insert_payload(&pending.record.id, &approval::payload_record(payload, false))?;
    }
    if let Some(announcement) = &announcement {
        announcement.write(transaction.as_mut())?;
    }
    transaction.commit()?;
    Ok(Admission::Admitted(Box::new(Admitted { authorized, record: pending.record, claimed: None })))
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

/// Records how a run ended, with its finished reply. Frees its exclusive command, unless the run may still go on. Where a vote ran
/// an approved request, `claimed_reply` is the reply to that request; `None` where its user has left.
///
/// # Errors
///
/// The ledger's error; the run stays recorded as started.
pub fn finish(
    ledger: &mut dyn Ledger,
    admitted: Admitted<'_>,
    result: RunResult,
    reply: StoredReply,
    claimed_reply: Option<StoredReply>,
    audit_lost: u32,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Admitted { authorized, record, claimed } = admitted;
    let mut transaction = ledger.transaction(&record.id, authorized.identified().user())?;
    let ended = |record: Record, reply: Option<StoredReply>| Record {
        state: State::Finished,
        finished: Some(now),
        result: Some(result),
        replied: if reply.is_some() { None } else { Some(now) },
        reply,
        reason: (result == RunResult::Refused).then(|| Reason::SudoRules.code().to_owned()),
        audit_lost,
        holds_until: record.holds_until.filter(|_| result == RunResult::Unknown),
        ..record
    };
    if let Some(claimed) = claimed
        && !transaction.change(&ended(claimed.record, claimed_reply), State::Started)?
    {
        return Err(LedgerError::Taken);
    }
    transaction.update(&ended(record, Some(reply)))?;
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
    transaction.update(&Record {
        state: State::Finished,
        result,
        reply: Some(reply),
        finished: Some(now),
        ..record
    })?;
    transaction.commit()
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
    ledger.prune(now.minus(retention), PRUNE).map(drop)
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
