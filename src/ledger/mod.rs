//! Records of requests, and plain operations on them. No policy: what is recorded, and when, is decided in
//! [`admission`](crate::admission) and [`authenticate`](crate::authenticate).
//!
//! What every backend MUST guarantee, whichever process dies at any time (`contract/` tests each item for each
//! backend):
//!
//! 1. A [`Transaction`] excludes all others: from its begin until it is committed or dropped, no other transaction of
//!    the same ledger is open. Two hundred guesses in parallel are checked one after the other.
//! 2. [`Transaction::commit`] returns after the changes are on stable storage, and not before. A transaction that is
//!    dropped, or of which the process died, changes nothing.
//! 3. A request's id is recorded at most once. A user's TOTP step is used by at most one request.
//! 4. A [`RequestLock`] is held by at most one living process. A dead process does not hold it, and neither does a
//!    reused process id; where a backend cannot see that a process died on another host, the lock ends later than
//!    Postfix lets a delivery live.
//! 5. [`Ledger::prune`] removes only replied requests, a bounded number at a time, and raises the watermark to the
//!    newest signed time that it removes (docs/decisions/0012).
//! 6. A counter never falls: what [`Transaction::count`] adds is there after the commit, and not without it.
//! 7. Every change that a transaction, [`Ledger::mark_replied`] or [`Ledger::prune`] makes has its event in the audit
//!    chain, in the same commit. An event's head follows from the one before it, in the order of the commits, and no
//!    event is ever changed (docs/decisions/0047). The message of a reply is in no event.
//! 8. Opening never creates a ledger, and never changes one that a newer mailsudo has written.

mod approval;
mod contract;
mod count;
mod error;
mod event;
mod interface;
mod postgres;
mod queries;
mod record;
mod reply;
mod sqlite;

use std::path::Path;
use std::time::Duration;

pub use approval::{
    ApprovalQueries, ApprovalRecord, ApprovalTransaction, Notice, NoticeKind, PayloadRecord, Story, Vote, VoteKind,
};
pub use count::{BUCKETS, Counter, Counts, Series};
pub use error::LedgerError;
pub use event::{AuditEvent, ChainPoint, ChainRow, Checkpoint, EventKey, EventKind};
pub use interface::{Ledger, Owner, RequestLock, Transaction};
pub use postgres::Postgres;
pub use queries::{Database, Examined, Filter, Health, LedgerQueries, Node, Tally};
pub use record::{ExclusiveHold, Lockout, Record, State};
pub use reply::{Draft, StoredReply};
pub use sqlite::{Restored, Sqlite};

use crate::config::{LedgerUrl, RunVia, Settings, Trusted};
use crate::limits::Timeouts;
use crate::protocol::Timestamp;

/// Opens the ledger that `settings` name; each transaction waits up to `timeout` for others to end. With `run_via =
/// "sudo"` the ledger must exist. With `run_via = "direct"`, for trying things out, one in SQLite is created.
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
            Ok(Box::new(Sqlite::open(path, trusted, timeout)?.of(&settings.gateway)))
        }
        LedgerUrl::Postgres(url) => Ok(Box::new(Postgres::open(url, settings, trusted, timeout)?)),
    }
}

/// Opens the ledger for a sysadmin's command, which reads and changes more than one request: it must be this gateway's,
/// in a schema that this mailsudo can use.
///
/// # Errors
///
/// [`LedgerError`], as with [`open`].
pub fn open_for_queries(
    settings: &Settings,
    trusted: Trusted,
    timeout: Duration,
) -> Result<Box<dyn LedgerQueries>, LedgerError> {
    let ledger = open(settings, trusted, timeout)?;
    ledger.check_usable()?;
    Ok(ledger)
}

/// Puts `copy`, the bytes of a backup, in the place of the SQLite ledger at `path`, owned by the account that runs
/// this. What was signed up to `now` is refused from then on, unless the copy has it; where a ledger is replaced, what
/// was signed up to `max_future` after that, because a delivery that has it open may still admit that.
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
    let ledger = Postgres::open_as(owner)?;
    ledger.check_usable()?;
    Ok(Box::new(ledger))
}

/// Creates an empty ledger in SQLite at `path`, owned by the account that runs this, and leaves an existing one alone.
/// A `watermark` refuses all that was signed up to it: a ledger that replaces a lost one must not run again what the
/// lost one recorded.
///
/// # Errors
///
/// The folder is missing, not trusted or not writable; or the file at `path` is not a ledger.
pub fn init(path: &Path, trusted: Trusted, watermark: Option<Timestamp>) -> Result<(), LedgerError> {
    Sqlite::init(path, trusted, watermark)
}

/// Creates an empty ledger in PostgreSQL, and lets the role of `[ledger] url` use it. Returns whether it was created;
/// an existing one is left alone. The `watermark` is that of [`init`].
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
