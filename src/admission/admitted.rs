//! The proof that an admission is durable. In: an [`Authorized`] request, its record, and the open [`Transaction`].
//! Out: [`Admitted`].
//!
//! MUST: [`Admitted::start`] alone makes one, and returns it after the commit.

use super::announcement::{Announcement, payload_record};
use super::pending_record::PendingRecord;
use crate::authenticate::Identified;
use crate::authorize::{Action, Approved, Authorized, Invocation, Required};
use crate::ledger::{AuditEvent, ChainPoint, EventKind, LedgerError, Record, State, Transaction, Vote};
use crate::limits::HOLD_MARGIN;
use crate::protocol::{Payload, RequestId, Timestamp};

/// A request whose admission is durable: it may be carried out now, once.
#[derive(Debug)]
pub struct Admitted<'p> {
    authorized: Authorized<'p>,
    record: Record,
    /// The approved request that it runs, if it is the vote that does.
    claimed: Option<Box<Claimed>>,
    /// The place of its admission in the audit chain.
    point: ChainPoint,
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
    /// Records the request as started at `now` and makes that durable. The `announcement` is of an exception from
    /// approval.
    ///
    /// # Errors
    ///
    /// The ledger's error; then nothing is admitted.
    pub(super) fn start(
        mut transaction: Box<dyn Transaction + '_>,
        authorized: Authorized<'p>,
        mut pending: PendingRecord,
        claimed: Option<Box<Claimed>>,
        announcement: Option<&Announcement>,
        now: Timestamp,
    ) -> Result<Self, LedgerError> {
        pending.record.state = State::Started;
        pending.record.started = Some(now);
        let event = match &claimed {
            Some(claimed) => {
                let event = AuditEvent::of(EventKind::Approved, &pending.record, now);
                event.about(&claimed.record.id, State::Started)
            }
            None => AuditEvent::of(EventKind::Started, &pending.record, now),
        };
        let point = pending.write_with(transaction.as_mut(), &event)?;
        if let (Action::Run(_), Some(payload)) = (authorized.action(), authorized.payload()) {
            transaction.insert_payload(&pending.record.id, &payload_record(payload, false))?;
        }
        if let Some(announcement) = announcement {
            announcement.write(transaction.as_mut(), now)?;
        }
        transaction.commit()?;
        Ok(Self { authorized, record: pending.record, claimed, point })
    }

    /// What its end is recorded with. It cannot run after that.
    pub(super) fn into_parts(self) -> (Record, Option<Box<Claimed>>) {
        (self.record, self.claimed)
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

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

    /// The place of its admission in the audit chain.
    pub fn point(&self) -> ChainPoint {
        self.point
    }

    /// Whether it is too late to begin what was recorded: a process that was stopped since its commit may have lost its
    /// hold and its lock, or may lose them before its command ends.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.record.started.is_some_and(|started| now > started.plus(HOLD_MARGIN))
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

/// The approved request that an admitted vote runs.
#[derive(Debug)]
pub struct Claimed {
    pub(super) approved: Approved,
    pub(super) record: Record,
    pub(super) votes: Vec<Vote>,
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
