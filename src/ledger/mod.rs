//! The memory. In: what was decided about a request. Out: the promise that it is decided once.
//!
//! What every backend MUST keep, whatever dies and whenever (one contract test, `contract.rs`, holds each to it):
//!
//! 1. A [`Page`] is one write transaction: from the moment it is opened until it is committed or dropped, nobody
//!    else's page of this ledger is open. Two hundred guesses in parallel are judged one after the other.
//! 2. [`Page::commit`] returns after the page is on stable storage, and not before. A page that is dropped, or whose
//!    process died, never was.
//! 3. A request's name is recorded at most once; a user's TOTP step is used by at most one request.
//! 4. A [`Claim`] is held by at most one living process, and by no dead one; no reused process id can hold it.
//! 5. Nothing is forgotten that could come back: [`Ledger::close_case`] removes only answered requests that are older
//!    than the retention, a bounded number at a time, and raises the floor to the newest signed time that it removes.
//! 6. A ledger is never created by being opened, and one that a newer mailsudo has written is not touched.

mod admission;
mod archive;
mod contract;
mod sqlite;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use admission::{Admission, Case, Started, Waiting, admit, finish, refuse, retry};
pub use archive::{Archive, BUCKETS, Filter, Health, Tally};
pub use sqlite::Sqlite;

use crate::config::{Distrust, LedgerUrl, Settings, Span, Trusted};
use crate::error::{Deferral, Stop};
use crate::protocol::{RequestName, RunResult, Timestamp, UserName};
use crate::reply::Reply;

/// What a request has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Admitted, and waiting for another run of the same command to end.
    Waiting,
    /// Refused; its reply is stored.
    Refused,
    /// Its command was started and has not been seen to end.
    Started,
    /// Its command has ended, or is given up as unknown; its reply is stored.
    Finished,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Refused, Self::Started, Self::Finished];

    /// The state's word in the ledger and for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refused => "refused",
            Self::Started => "started",
            Self::Finished => "finished",
        }
    }
}

/// What the ledger keeps of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name for good.
    pub name: RequestName,
    /// Who asked.
    pub user: String,
    /// What for.
    pub command: String,
    /// With which arguments, `name=value`, one on a line.
    pub arguments: String,
    /// The signed time.
    pub signed: Timestamp,
    /// When it was recorded.
    pub first_seen: Timestamp,
    /// What it has come to.
    pub state: State,
    /// The word of the rule that refused it.
    pub reason: Option<String>,
    /// The TOTP step it used.
    pub step: Option<u64>,
    /// As whom its command ran.
    pub run_as: Option<String>,
    /// The argument vector, one argument on a line.
    pub argv: Option<String>,
    /// When its command was started.
    pub started: Option<Timestamp>,
    /// When its command ended.
    pub finished: Option<Timestamp>,
    /// What the reply says of it.
    pub result: Option<RunResult>,
    /// The finished reply.
    pub reply: Option<Reply>,
    /// When the reply was handed over, or when it was settled that there is none.
    pub handed_over: Option<Timestamp>,
    /// The mail server's name for the mail that brought it.
    pub queue_id: Option<String>,
    /// How many audit lines were lost after admission.
    pub audit_lost: u32,
    /// Its slot: until when it holds its exclusive command, should its run not be seen to end before.
    pub holds_until: Option<Timestamp>,
}

impl Record {
    /// The record of a run that nobody saw the end of. It keeps its exclusive command until that must have ended.
    pub fn unknown(self, reply: Reply, now: Timestamp) -> Self {
        let result = Some(RunResult::Unknown);
        Self { state: State::Finished, result, reply: Some(reply), finished: Some(now), ..self }
    }

    /// Whether nothing remains to be done about it.
    pub fn is_closed(&self) -> bool {
        self.handed_over.is_some()
    }
}

/// A user's lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// The first moment at which he is heard again.
    pub until: Timestamp,
    /// Whether a reply has told him.
    pub told: bool,
    /// Wrong codes up to here no longer count.
    pub counted_to: Timestamp,
}

impl Lockout {
    /// Whether he is locked out at `now`. None lasts longer than `lasts`: one beyond that began while the clock was wrong.
    pub fn is_in_force(&self, now: Timestamp, lasts: Duration) -> bool {
        now < self.until && self.until <= now.plus(lasts)
    }
}

/// Who holds an exclusive command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The request whose run it is.
    pub holder: RequestName,
    /// When even a command whose delivery died must have ended.
    pub until: Timestamp,
    /// Whether a living process claims the holder.
    pub is_claimed: bool,
}

impl Slot {
    /// Whether another run may not start yet. No run can last longer than `longest`: a slot beyond that was taken while the
    /// clock was wrong.
    pub fn is_busy(&self, now: Timestamp, longest: Duration) -> bool {
        self.is_claimed || (now < self.until && self.until <= now.plus(longest))
    }
}

/// Why the ledger cannot serve. Always a deferral: what it remembers is not to be guessed.
#[derive(Debug)]
pub enum LedgerError {
    /// There is none; opening does not make one.
    Missing(PathBuf),
    /// Others could have written to it.
    Distrust(Distrust),
    /// It is no ledger of mailsudo.
    Foreign(PathBuf),
    /// A newer mailsudo wrote it, in this schema.
    Newer(i64),
    /// The backend failed.
    Backend(String),
    /// A stored value is not one that mailsudo writes.
    Corrupt(&'static str),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(
                f,
                "there is no ledger at {}; mount what is missing, or restore a backup, or make a new one with `mailsudo \
                 ledger init`",
                path.display()
            ),
            Self::Distrust(distrust) => distrust.fmt(f),
            Self::Foreign(path) => write!(
                f,
                "{} is not a ledger of mailsudo, or was not finished; move it away and run `mailsudo ledger init`",
                path.display()
            ),
            Self::Newer(schema) => {
                write!(f, "a newer mailsudo wrote the ledger (schema {schema}); install that one again")
            }
            Self::Backend(what) => write!(f, "the ledger cannot be used: {what}"),
            Self::Corrupt(what) => write!(f, "the ledger holds an impossible {what}; restore a backup"),
        }
    }
}

impl std::error::Error for LedgerError {}

impl LedgerError {
    /// Whether it is closed to whoever runs this.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Distrust(distrust) if distrust.is_closed())
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Deferral::new("ledger", error).into()
    }
}

/// The proof that this process alone works on a request; ends with the process, however that ends.
pub struct Claim {
    #[expect(dead_code, reason = "held for what dropping it releases")]
    held: Box<dyn std::any::Any>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claim(..)")
    }
}

/// A backend. See the module's list of what it MUST keep.
pub trait Ledger {
    /// Claims a request for this process; `None` while another living process has it.
    fn claim(&self, name: &RequestName) -> Result<Option<Claim>, LedgerError>;

    /// Opens the page of a request of `user`, waiting for other pages to be committed.
    fn page(&mut self, name: &RequestName, user: &UserName) -> Result<Box<dyn Page + '_>, LedgerError>;

    /// Marks a request as answered and prunes a little. This alone need not be on stable storage at return: losing it
    /// costs at most a second, identical reply (DESIGN.md, decision 3).
    fn close_case(
        &mut self,
        name: &RequestName,
        now: Timestamp,
        audit_lost: u32,
        retention: Span,
    ) -> Result<(), LedgerError>;

    /// The user's lockout, past or present.
    fn lockout(&self, user: &UserName) -> Result<Option<Lockout>, LedgerError>;

    /// Ends the user's lockout and forgets the wrong codes up to `now`; says whether he was locked out.
    fn unlock(&mut self, user: &UserName, now: Timestamp) -> Result<bool, LedgerError>;

    /// The newest request of `user` other than `except`, or the one whose name begins with the bytes `short`. Of requests
    /// that used a step, the newest is that of the last step.
    fn look_up(
        &self,
        user: &UserName,
        except: &RequestName,
        short: Option<&[u8]>,
    ) -> Result<Option<Record>, LedgerError>;
}

/// One request's page: a write transaction in which everything about it is judged and recorded.
pub trait Page {
    /// Reads what is on record of the request.
    fn record(&self) -> Result<Option<Record>, LedgerError>;

    /// The newest signed time that pruning has forgotten.
    fn floor(&self) -> Result<Option<Timestamp>, LedgerError>;

    /// The user's lockout, past or present.
    fn lockout(&self) -> Result<Option<Lockout>, LedgerError>;

    /// How many wrong codes of the user are on record after `since` and up to `now`. One from the future was recorded while
    /// the clock was wrong, and must not count for as long as that lies ahead.
    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError>;

    /// Whether a request of the user has used the TOTP step.
    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError>;

    /// Which other requests hold the exclusive command: the one whose run is under way, and any whose run nobody saw the end of.
    fn slots(&self, command: &str) -> Result<Vec<Slot>, LedgerError>;

    /// Writes the request's first record; an error where there is one.
    fn insert(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Writes the request's record over the one that there is. What was signed, when it was first seen and the step that it
    /// used never change.
    fn update(&mut self, record: &Record) -> Result<(), LedgerError>;

    /// Sets the user's lockout.
    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError>;

    /// Makes it all durable. Dropping the page instead undoes it.
    fn commit(self: Box<Self>) -> Result<(), LedgerError>;
}

/// Opens the ledger that `settings` name, to wait up to `patience` for each of its pages. With the fence up it must exist;
/// without, for trying things out, it is made.
///
/// # Errors
///
/// [`LedgerError`]; a ledger that others could have written to is not opened.
pub fn open(settings: &Settings, trusted: Trusted, patience: Duration) -> Result<Sqlite, LedgerError> {
    let LedgerUrl::Sqlite(path) = &settings.ledger.url;
    if settings.execution.fence == crate::config::Fence::None && !path.exists() {
        init(path, trusted.clone(), None)?;
    }
    Sqlite::open(path, trusted, patience)
}

/// Makes an empty ledger at `path`, as the account that runs this, and leaves an existing one alone. A `floor` refuses
/// whatever was signed up to it: a ledger that takes the place of a lost one must not run again what that one knew.
///
/// # Errors
///
/// The folder is missing, not trusted or not writable; or what stands there is no ledger.
pub fn init(path: &Path, trusted: Trusted, floor: Option<Timestamp>) -> Result<(), LedgerError> {
    Sqlite::init(path, trusted, floor)
}
