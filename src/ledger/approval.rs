//! What a ledger stores about requests that need approval, and plain operations on it. No policy: who may vote, and
//! what a vote changes, is decided in [`authorize`](crate::authorize) and `pipeline`.

use std::time::Duration;

use super::{LedgerError, Record, State};
use crate::protocol::{PayloadDigest, RequestId, RunDigest, Timestamp};

/// What the ledger stores about a request that needs approval, beside its [`Record`]. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRecord {
    /// The request.
    pub request: RequestId,
    /// What was shown to the approvers.
    pub digest: RunDigest,
    /// The last moment to approve.
    pub until: Timestamp,
    /// How many must approve.
    pub needed: u32,
    /// The host that recorded it, for the notices.
    pub host: String,
    /// The requester's reason.
    pub reason: Option<String>,
    /// The role by which it ran without approval.
    pub exception: Option<String>,
}

/// The payload of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadRecord {
    /// Its digest.
    pub digest: PayloadDigest,
    /// How many bytes it has.
    pub size: u64,
    /// Its bytes, only while the request is pending.
    pub content: Option<Vec<u8>>,
}

/// What a user did about a pending request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteKind {
    /// An approver approved.
    Approve,
    /// An approver denied.
    Deny,
    /// An approver took the own approval back.
    Withdraw,
    /// The requester cancelled.
    Cancel,
}

impl VoteKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approve, Self::Deny, Self::Withdraw, Self::Cancel];

    /// The word in the ledger and in output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Deny => "denied",
            Self::Withdraw => "withdrew",
            Self::Cancel => "cancelled",
        }
    }
}

/// One vote: a request of its own, about another request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// The request that is the vote.
    pub by: RequestId,
    /// The request that it is about.
    pub request: RequestId,
    /// The user.
    pub user: String,
    /// What it says.
    pub kind: VoteKind,
    /// When it was recorded.
    pub at: Timestamp,
    /// The reason that was given.
    pub words: Option<String>,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// The request waits for approval.
    Ask,
    /// It ran without approval.
    Exception,
    /// It lapsed: it would not run any more as it was shown.
    Lapsed,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ask, Self::Exception, Self::Lapsed];

    /// The word in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Exception => "exception",
            Self::Lapsed => "lapsed",
        }
    }
}

/// A notice to one approver. Its text is composed from the records when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The approver.
    pub user: String,
    /// What it is about.
    pub kind: NoticeKind,
    /// When it was sent, or when it was decided not to send it.
    pub sent: Option<Timestamp>,
}

/// All that is known about a request that needs approval, or that has a payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// What was asked; `None` if it needs no approval.
    pub approval: Option<ApprovalRecord>,
    /// Its payload.
    pub payload: Option<PayloadRecord>,
    /// The votes, the first first.
    pub votes: Vec<Vote>,
    /// The notices, by user.
    pub notices: Vec<Notice>,
}

/// What [`Ledger`](super::Ledger) can do about approvals.
pub trait ApprovalQueries {
    /// The request's record, outside a transaction.
    fn record(&self, id: &RequestId) -> Result<Option<Record>, LedgerError>;

    /// What is known about the request, outside a transaction.
    fn story(&self, id: &RequestId) -> Result<Story, LedgerError>;

    /// The pending requests, the first to lapse first, at most `most`.
    fn pending(&self, most: u32) -> Result<Vec<Record>, LedgerError>;

    /// Records that a notice was sent. Like [`mark_replied`](super::Ledger::mark_replied), this need not be on stable
    /// storage at return: if it is lost, the same notice is sent once more. It waits up to `timeout` for transactions
    /// to end.
    fn mark_noticed(
        &mut self,
        id: &RequestId,
        notice: &Notice,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<(), LedgerError>;
}

/// What a [`Transaction`](super::Transaction) can do about other requests than its own.
pub trait ApprovalTransaction {
    /// The record of any request.
    fn record_of(&self, id: &RequestId) -> Result<Option<Record>, LedgerError>;

    /// What is known about any request.
    fn story_of(&self, id: &RequestId) -> Result<Story, LedgerError>;

    /// The request that the vote `by` is about, if `by` is a vote.
    fn voted_on(&self, by: &RequestId) -> Result<Option<RequestId>, LedgerError>;

    /// Replaces the record of any request, only if its state is still `from`. Returns whether it was.
    fn change(&mut self, record: &Record, from: State) -> Result<bool, LedgerError>;

    /// Writes what was asked.
    fn insert_approval(&mut self, approval: &ApprovalRecord) -> Result<(), LedgerError>;

    /// Writes a request's payload.
    fn insert_payload(&mut self, id: &RequestId, payload: &PayloadRecord) -> Result<(), LedgerError>;

    /// Writes a vote; an error where this request is recorded as one already.
    fn insert_vote(&mut self, vote: &Vote) -> Result<(), LedgerError>;

    /// Writes a notice that is to be sent; nothing where it is there already.
    fn insert_notice(&mut self, id: &RequestId, notice: &Notice) -> Result<(), LedgerError>;

    /// The request is no longer pending: it leaves the list, and the bytes of its payload are removed.
    fn close_approval(&mut self, id: &RequestId) -> Result<(), LedgerError>;
}
