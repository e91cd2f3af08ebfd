//! What a ledger stores: one [`Record`] for each request, one [`Lockout`] for each user that had one.

use std::time::Duration;

use super::StoredReply;
use crate::protocol::{RequestId, RunResult, Timestamp, without_marks, without_seals};

/// The state of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Admitted, and waiting for another run of the same command to end.
    Waiting,
    /// Refused; its reply is stored.
    Refused,
    /// Its command was started and has not been seen to end.
    Started,
    /// Its command has ended, or its outcome is recorded as unknown; its reply is stored.
    Finished,
    /// It waits for approval; the reply that says so is stored.
    Pending,
    /// An approver denied it; its final reply is stored.
    Denied,
    /// It was not approved in time, or would not run any more as it was shown; its final reply is stored.
    Lapsed,
    /// Its user cancelled it; its final reply is stored.
    Cancelled,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Refused,
        Self::Started,
        Self::Finished,
        Self::Pending,
        Self::Denied,
        Self::Lapsed,
        Self::Cancelled,
    ];

    /// The state's word in the ledger and in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Lapsed => "lapsed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the ledger stores about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The request's id.
    pub id: RequestId,
    /// The user.
    pub user: String,
    /// The command's name.
    pub command: String,
    /// The arguments, `name=value`, one on a line, with marks for secret values.
    pub arguments: String,
    /// The signed time.
    pub signed: Timestamp,
    /// When it was recorded.
    pub first_seen: Timestamp,
    /// Its state.
    pub state: State,
    /// The code of the rule that refused it ([`crate::error::Reason::code`]).
    pub reason: Option<String>,
    /// The TOTP step that it used.
    pub step: Option<u64>,
    /// The account that its command ran as.
    pub run_as: Option<String>,
    /// The argument vector, one argument on a line, with marks for secret values; while it waits for approval, they are
    /// sealed in it.
    pub argv: Option<String>,
    /// When its command was started.
    pub started: Option<Timestamp>,
    /// When its command ended.
    pub finished: Option<Timestamp>,
    /// The result that its reply gives.
    pub result: Option<RunResult>,
    /// The reply.
    pub reply: Option<StoredReply>,
    /// When the reply was sent, or when it was decided that there is none.
    pub replied: Option<Timestamp>,
    /// The mail server's queue id of the mail that brought it.
    pub queue_id: Option<String>,
    /// How many log lines were lost after admission.
    pub audit_lost: u32,
    /// Until when it holds its exclusive command, unless its run is seen to end before.
    pub holds_until: Option<Timestamp>,
}

impl Record {
    /// The arguments as they are shown: nothing of a secret value, not even its digest.
    pub fn shown_arguments(&self) -> String {
        without_marks(&self.arguments)
    }

    /// The argument vector as it is shown: without what is sealed in it while it waits for approval.
    pub fn shown_argv(&self) -> Option<String> {
        self.argv.as_deref().map(without_seals)
    }

    /// Whether nothing remains to do for it.
    pub fn is_closed(&self) -> bool {
        self.replied.is_some()
    }
}

/// A user's lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// The first moment at which the user's requests are accepted again.
    pub until: Timestamp,
    /// Whether a reply has informed the user.
    pub told: bool,
    /// Wrong codes up to this moment no longer count.
    pub counted_to: Timestamp,
}

impl Lockout {
    /// Whether the user is locked out at `now`. No lockout lasts longer than `lasts`: one that ends later began while
    /// the clock was wrong.
    pub fn is_in_force(&self, now: Timestamp, lasts: Duration) -> bool {
        now < self.until && self.until <= now.plus(lasts)
    }
}

/// A request that holds an exclusive command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExclusiveHold {
    /// The request that runs it; `None` where that is not known, because a database server has lost it.
    pub holder: Option<RequestId>,
    /// When the command must have ended, even if its delivery died.
    pub until: Timestamp,
    /// Whether it holds whatever the caller's clock says: a living process has the request's lock, or the ledger has a
    /// clock of its own, by which `until` is not over.
    pub is_certain: bool,
}

impl ExclusiveHold {
    /// Whether another run may not start yet. No run lasts longer than `longest`: a hold that ends later was taken
    /// while the clock was wrong.
    pub fn is_busy(&self, now: Timestamp, longest: Duration) -> bool {
        self.is_certain || (now < self.until && self.until <= now.plus(longest))
    }
}
