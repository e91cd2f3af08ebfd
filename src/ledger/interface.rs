//! What a backend is: plain operations on records, and on one request in a transaction. It opens and makes nothing.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{
    ApprovalQueries, ApprovalTransaction, AuditEvent, ChainPoint, Counts, ExclusiveHold, LedgerError, Lockout, Record,
    StoredReply,
};
use crate::config::{PostgresUrl, Settings, Trusted};
use crate::protocol::{RequestId, Timestamp, UserName};

/// The proof that this process alone works on a request. It ends with the process, however that ends.
pub struct RequestLock {
    #[expect(dead_code, reason = "held for what dropping it releases")]
    pub(super) held: Box<dyn std::any::Any>,
}

impl fmt::Debug for RequestLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestLock(..)")
    }
}

/// A backend. The list in `mod.rs` says what it MUST guarantee.
pub trait Ledger: ApprovalQueries {
    /// Locks a request for this process; `None` while another living process holds the lock.
    fn lock(&self, id: &RequestId) -> Result<Option<RequestLock>, LedgerError>;

    /// Whether a living process holds the request's lock.
    fn is_locked(&self, id: &RequestId) -> Result<bool, LedgerError>;

    /// Begins a transaction about a request of `user`, and waits for other transactions to end.
    fn transaction(&mut self, id: &RequestId, user: &UserName) -> Result<Box<dyn Transaction + '_>, LedgerError>;

    /// Records that the reply to a request was sent. This alone need not be on stable storage at return: if it is lost,
    /// the same reply is sent once more (docs/decisions/0003). The reply is counted. It waits up to `timeout` for
    /// transactions to end.
    fn mark_replied(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        timeout: Duration,
    ) -> Result<(), LedgerError>;

    /// Ends a delivery whose own reply was sent: does as [`mark_replied`](Ledger::mark_replied), then removes some of
    /// what is old, as [`prune`](Ledger::prune) does with `old`, its first two parameters. Nothing else follows about
    /// the request: a backend may release its lock with this.
    fn end_delivery(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        old: (Timestamp, u32),
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        self.mark_replied(id, now, audit_lost, timeout)?;
        self.prune(old.0, old.1, now).map(drop)
    }

    /// Replaces the reply to a request by the same one in another form, durably, unless it is not there any more
    /// ([`LedgerError::Taken`]). It waits up to `timeout` for transactions to end.
    fn replace_reply(
        &mut self,
        id: &RequestId,
        from: &StoredReply,
        to: &StoredReply,
        timeout: Duration,
    ) -> Result<(), LedgerError>;

    /// Adds to the counters what no transaction has counted, such as a deferral. Like
    /// [`mark_replied`](Ledger::mark_replied), this need not be on stable storage at return. It waits up to `timeout`
    /// for transactions to end.
    fn count(&mut self, counts: &Counts, now: Timestamp, timeout: Duration) -> Result<(), LedgerError>;

    /// Removes up to `most` requests that were replied to and signed before `before`, the first replied first. Returns
    /// how many it removed, and raises the watermark. With them go the events of the audit chain that are older than
    /// that, up to the first one that is not; the checkpoint says where the chain begins then.
    fn prune(&mut self, before: Timestamp, most: u32, now: Timestamp) -> Result<u32, LedgerError>;

    /// Records an event that is no request's, durably. Returns its place in the chain.
    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError>;

    /// The user's lockout, past or present.
    fn lockout(&self, user: &UserName) -> Result<Option<Lockout>, LedgerError>;

    /// Ends the user's lockout, and lets no wrong code up to `now` count. Returns whether the user was locked out.
    fn unlock(&mut self, user: &UserName, now: Timestamp) -> Result<bool, LedgerError>;

    /// The newest request of `user` other than `except`, or the one with an id that begins with the bytes `short`. The
    /// newest is the one that was recorded last: after a change of the TOTP period, steps do not show that.
    fn look_up(&self, user: &UserName, except: &RequestId, short: Option<&[u8]>)
    -> Result<Option<Record>, LedgerError>;
}

/// A write transaction about one request, in which everything about it is decided and recorded.
pub trait Transaction: ApprovalTransaction {
    /// The request's record, if there is one.
    fn record(&self) -> Result<Option<Record>, LedgerError>;

    /// The newest signed time that pruning has removed.
    fn watermark(&self) -> Result<Option<Timestamp>, LedgerError>;

    /// What was signed up to then may have been recorded, and run, and lost with a database server.
    fn lost_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(None)
    }

    /// The user's lockout, past or present.
    fn lockout(&self) -> Result<Option<Lockout>, LedgerError>;

    /// How many wrong codes of the user are recorded after `since` and up to `now`. One from the future was recorded
    /// while the clock was wrong, and must not count until that time has come.
    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError>;

    /// The user's newest requests that are recorded after `since` and up to `now`, `most` of them: for each, the code
    /// of the rule that refused it, if one did. The newest comes first.
    fn newest(&self, since: Timestamp, now: Timestamp, most: u32) -> Result<Vec<Option<String>>, LedgerError>;

    /// Whether a request of the user has used the TOTP step.
    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError>;

    /// Which other requests hold the exclusive command: the one that runs, and any run of which the end was not seen. A
    /// ledger with a clock of its own says until when by the caller's clock, on which it is `now`.
    fn exclusive_holds(&self, command: &str, now: Timestamp) -> Result<Vec<ExclusiveHold>, LedgerError>;

    /// Writes the request's first record; an error where there is one.
    fn insert(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Replaces the request's record. What was signed, when it was first seen and the step that it used never change.
    fn update(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Adds an event to the audit chain. Returns its place. A transaction has at most one.
    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError>;

    /// Sets the user's lockout.
    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError>;

    /// Adds to the counters, when the transaction is committed. A request that is inserted is counted without this.
    fn count(&mut self, counts: Counts, now: Timestamp);

    /// Makes all changes durable. Dropping the transaction undoes them.
    fn commit(self: Box<Self>) -> Result<(), LedgerError>;
}

/// As which role, and how, the tables of a ledger in PostgreSQL are made and changed.
pub struct Owner<'o> {
    /// The role and the server.
    pub url: &'o PostgresUrl,
    /// The file with the role's password.
    pub password_file: Option<&'o Path>,
    /// The gateway's settings, which name the role of `deliver`.
    pub settings: &'o Settings,
    /// Who may own the files.
    pub trusted: Trusted,
}
