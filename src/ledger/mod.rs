//! Records of requests, and plain operations on them. No policy: what is recorded, and when, is decided in
//! [`admission`](crate::admission) and [`authenticate`](crate::authenticate).
//!
//! What every backend MUST guarantee, whichever process dies at any time (`contract/` tests each item for each backend):
//!
//! 1. A [`Transaction`] excludes all others: from its begin until it is committed or dropped, no other transaction of the same
//!    ledger is open. Two hundred guesses in parallel are checked one after the other.
//! 2. [`Transaction::commit`] returns after the changes are on stable storage, and not before. A transaction that is dropped,
//!    or of which the process died, changes nothing.
//! 3. A request's id is recorded at most once. A user's TOTP step is used by at most one request.
//! 4. A [`RequestLock`] is held by at most one living process. A dead process does not hold it, and neither does a reused process id;
//!    where a backend cannot see that a process died on another host, the lock ends later than Postfix lets a delivery live.
//! 5. [`Ledger::prune`] removes only replied requests, a bounded number at a time, and raises the watermark to the newest
//!    signed time that it removes (docs/decisions/0012).
//! 6. Opening never creates a ledger, and never changes one that a newer mailsudo has written.

mod approval;
mod contract;
mod error;
mod postgres;
mod queries;
mod record;
mod sqlite;

use std::fmt;
use std::path::Path;
use std::time::Duration;

pub use approval::{
    ApprovalQueries, ApprovalRecord, ApprovalTransaction, Notice, NoticeKind, PayloadRecord, Story, Vote, VoteKind,
};
pub use error::LedgerError;
pub use postgres::Postgres;
pub use queries::{BUCKETS, Database, Filter, Health, LedgerQueries, Node, Tally};
pub use record::{ExclusiveHold, Lockout, Record, State, StoredReply};
pub use sqlite::{Restored, Sqlite};

use crate::config::{LedgerUrl, PostgresUrl, RunVia, Settings, Trusted};
use crate::limits::Timeouts;
use crate::protocol::{RequestId, Timestamp, UserName};

/// The proof that this process alone works on a request. It ends with the process, however that ends.
pub struct RequestLock {
    #[expect(dead_code, reason = "held for what dropping it releases")]
    held: Box<dyn std::any::Any>,
}

impl fmt::Debug for RequestLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestLock(..)")
    }
}

/// A backend. The module's list says what it MUST guarantee.
pub trait Ledger: ApprovalQueries {
    /// Locks a request for this process; `None` while another living process holds the lock.
    fn lock(&self, id: &RequestId) -> Result<Option<RequestLock>, LedgerError>;

    /// Whether a living process holds the request's lock.
    fn is_locked(&self, id: &RequestId) -> Result<bool, LedgerError>;

    /// Begins a transaction about a request of `user`, and waits for other transactions to end.
    fn transaction(&mut self, id: &RequestId, user: &UserName) -> Result<Box<dyn Transaction + '_>, LedgerError>;

    /// Records that the reply to a request was sent. This alone need not be on stable storage at return: if it is lost, the
    /// same reply is sent once more (docs/decisions/0003). It waits up to `timeout` for transactions to end.
    fn mark_replied(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        timeout: Duration,
    ) -> Result<(), LedgerError>;

    /// Removes up to `most` requests that were replied to and signed before `before`, the first replied first. Returns how
    /// many it removed, and raises the watermark.
    fn prune(&mut self, before: Timestamp, most: u32) -> Result<u32, LedgerError>;

    /// The user's lockout, past or present.
    fn lockout(&self, user: &UserName) -> Result<Option<Lockout>, LedgerError>;

    /// Ends the user's lockout, and lets no wrong code up to `now` count. Returns whether the user was locked out.
    fn unlock(&mut self, user: &UserName, now: Timestamp) -> Result<bool, LedgerError>;

    /// The newest request of `user` other than `except`, or the one with an id that begins with the bytes `short`. The newest is the
    /// one that was recorded last: after a change of the TOTP period, steps do not show that.
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

    /// How many wrong codes of the user are recorded after `since` and up to `now`. One from the future was recorded while
    /// the clock was wrong, and must not count until that time has come.
    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError>;

    /// Whether a request of the user has used the TOTP step.
    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError>;

    /// Which other requests hold the exclusive command: the one that runs, and any run of which the end was not seen. A ledger with a
    /// clock of its own says until when by the caller's clock, on which it is `now`.
    fn exclusive_holds(&self, command: &str, now: Timestamp) -> Result<Vec<ExclusiveHold>, LedgerError>;

    /// Writes the request's first record; an error where there is one.
    fn insert(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Replaces the request's record. What was signed, when it was first seen and the step that it used never change.
    fn update(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Sets the user's lockout.
    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError>;

    /// Makes all changes durable. Dropping the transaction undoes them.
    fn commit(self: Box<Self>) -> Result<(), LedgerError>;
}

/// Opens the ledger that `settings` name; each transaction waits up to `timeout` for others to end. With `run_via = "sudo"` the
/// ledger must exist. With `run_via = "direct"`, for trying things out, one in SQLite is created.
///
/// # Errors
///
/// [`LedgerError`]; a ledger that others could have written to is not opened.
pub fn open(settings: &Settings, trusted: Trusted, timeout: Duration) -> Result<Box<dyn LedgerQueries>, LedgerError> {
    match &settings.ledger.url {
        LedgerUrl::Sqlite(path) => {
            if settings.execution.run_via == RunVia::Direct && !path.exists() {
                init(path, trusted.clone(), None)?;
            }
            Ok(Box::new(Sqlite::open(path, trusted, timeout)?))
        }
        LedgerUrl::Postgres(url) => Ok(Box::new(Postgres::open(url, settings, trusted, timeout)?)),
    }
}

/// Puts `copy`, the bytes of a backup, in the place of the SQLite ledger at `path`, owned by the account that runs this. What was
/// signed up to `now` is refused from then on, unless the copy has it; where a ledger is replaced, what was signed up to
/// `max_future` after that, because a delivery that has it open may still admit that.
///
/// # Errors
///
/// The copy is not a sound ledger, or the folder is missing, not trusted or not writable; then nothing has changed.
pub fn restore(
    path: &Path,
    copy: &mut dyn std::io::Read,
    trusted: Trusted,
    now: Timestamp,
    max_future: Duration,
) -> Result<Restored, LedgerError> {
    Sqlite::restore(path, copy, trusted, now, max_future)
}

/// Opens the ledger in SQLite at `path`.
///
/// # Errors
///
/// [`LedgerError`], as with [`open`].
pub fn open_file(path: &Path, trusted: Trusted) -> Result<Box<dyn LedgerQueries>, LedgerError> {
    Ok(Box::new(Sqlite::open(path, trusted, Timeouts::DEFAULT.transaction)?))
}

/// Opens a ledger in PostgreSQL as the owner of its tables.
///
/// # Errors
///
/// [`LedgerError`], as with [`open`].
pub fn open_as(owner: &Owner<'_>) -> Result<Box<dyn LedgerQueries>, LedgerError> {
    Ok(Box::new(Postgres::open_as(owner)?))
}

/// Creates an empty ledger in SQLite at `path`, owned by the account that runs this, and leaves an existing one alone. A `watermark`
/// refuses all that was signed up to it: a ledger that replaces a lost one must not run again what the lost one recorded.
///
/// # Errors
///
/// The folder is missing, not trusted or not writable; or the file at `path` is not a ledger.
pub fn init(path: &Path, trusted: Trusted, watermark: Option<Timestamp>) -> Result<(), LedgerError> {
    Sqlite::init(path, trusted, watermark)
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

/// Creates an empty ledger in PostgreSQL, and lets the role of `[ledger] url` use it. Returns whether it was created; an existing one
/// is left alone. The `watermark` is that of [`init`].
///
/// # Errors
///
/// The database cannot be reached, or the role may not create the ledger.
pub fn init_database(owner: &Owner<'_>, watermark: Option<Timestamp>) -> Result<bool, LedgerError> {
    Postgres::init(owner, watermark)
}

/// Brings the schema of a ledger in PostgreSQL up to date. Returns the schema before and after.
///
/// # Errors
///
/// A newer mailsudo made it, or the role does not own it.
pub fn migrate(owner: &Owner<'_>) -> Result<(i64, i64), LedgerError> {
    Postgres::migrate(owner)
}
