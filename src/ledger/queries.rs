//! Queries of sysadmins to the ledger: lists, counts and maintenance. `deliver` needs none of it.

use std::path::Path;

use super::{ChainRow, Checkpoint, Counter, Ledger, LedgerError, Lockout, Record, State, Story};
use crate::protocol::{RequestId, Timestamp, UserName};

/// Which requests match; a field that is `None` matches all.
#[derive(Debug, Default, Clone)]
pub struct Filter {
    /// Of this user.
    pub user: Option<UserName>,
    /// For which command.
    pub command: Option<String>,
    /// In which state.
    pub state: Option<State>,
    /// Recorded at this moment or later.
    pub since: Option<Timestamp>,
    /// Recorded at this moment or earlier.
    pub until: Option<Timestamp>,
    /// The first bytes of the id.
    pub short: Option<Vec<u8>>,
    /// Without a sent reply, the oldest first.
    pub unsent: bool,
    /// The oldest first.
    pub oldest_first: bool,
    /// At most this many, newest first.
    pub limit: Option<u32>,
}

/// A mail server that uses the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// Its version of mailsudo.
    pub version: String,
    /// The digest of its configuration ([`crate::config::Gateway::digest`]), where it has written one.
    pub digest: Option<String>,
    /// By how many seconds its clock was ahead of the database's.
    pub ahead: i64,
    /// How many seconds ago it was last seen.
    pub seen: i64,
}

/// What a database server says of itself.
#[derive(Debug)]
pub struct Database {
    /// Its synchronous_standby_names.
    pub synchronous_standbys: String,
    /// How many standbys replicate asynchronously; `None` where the role may not see it.
    pub asynchronous_standbys: Option<u64>,
    /// The time by its clock.
    pub clock: Timestamp,
    /// Settings with which it loses commits, or does not notice damage.
    pub unsafe_settings: Vec<String>,
    /// What the role of `deliver` may do and must not.
    pub excess_rights: Vec<String>,
    /// Triggers and rules on the ledger's tables; mailsudo makes none.
    pub planted: Vec<String>,
}

/// What the metrics show. Finding it costs the same however many requests there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The counters, by series.
    pub counters: Vec<Counter>,
    /// How many requests the ledger holds.
    pub requests: u64,
    /// How many users are locked out.
    pub locked_out: u64,
    /// When the oldest request was recorded without a sent reply.
    pub oldest_open: Option<Timestamp>,
}

/// The state of the ledger.
#[derive(Debug)]
pub struct Health {
    /// How many requests it holds.
    pub requests: u64,
    /// When the oldest and the newest of them were recorded.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The newest signed time that pruning has removed.
    pub watermark: Option<Timestamp>,
    /// What was signed up to then may have been lost with a database server.
    pub lost_until: Option<Timestamp>,
    /// How many bytes its file has, and how many of them are free.
    pub bytes: (u64, u64),
}

/// What reading the whole ledger has found.
#[derive(Debug, PartialEq, Eq)]
pub struct Examined {
    /// How many requests it holds.
    pub requests: u64,
    /// What is wrong with it; `None` where it is sound.
    pub damage: Option<String>,
}

/// A ledger that sysadmins can query.
pub trait LedgerQueries: Ledger {
    /// Calls `each` with the requests that match `filter`, newest first.
    ///
    /// # Errors
    ///
    /// The ledger's error, or the first error of `each`.
    fn list(&self, filter: &Filter, each: &mut dyn FnMut(Record) -> Result<(), LedgerError>)
    -> Result<(), LedgerError>;

    /// Whether this is the gateway's own ledger, in a schema that this mailsudo can use. Deliveries ask it themselves. A
    /// file is asked for its schema when it is opened, and not whose it is.
    fn check_usable(&self) -> Result<(), LedgerError> {
        Ok(())
    }

    /// Reads the counters.
    fn tally(&self, now: Timestamp) -> Result<Tally, LedgerError>;

    /// Reads the ledger's state, at the same cost however large it is.
    fn health(&self) -> Result<Health, LedgerError>;

    /// Reads all of the ledger, and calls `each` with the number of requests read so far where the backend knows it.
    fn examine(&self, each: &mut dyn FnMut(u64)) -> Result<Examined, LedgerError>;

    /// Gives free space back to the file system.
    fn vacuum(&mut self) -> Result<(), LedgerError>;

    /// Writes a consistent copy to the new file `to`, while deliveries go on.
    fn backup(&self, to: &Path) -> Result<(), LedgerError>;

    /// All lockouts, with their users.
    fn lockouts(&self) -> Result<Vec<(String, Lockout)>, LedgerError>;

    /// From here on, what this ledger reads is as it was at one moment, until [`thaw`](Self::thaw). Others are not held
    /// up.
    fn freeze(&self) -> Result<(), LedgerError>;

    /// Ends that.
    ///
    /// # Errors
    ///
    /// What was read was not all from one moment: a connection was lost.
    fn thaw(&self) -> Result<(), LedgerError>;

    /// Where the audit chain begins; `None` where it has no event yet.
    fn checkpoint(&self) -> Result<Option<Checkpoint>, LedgerError>;

    /// Calls `each` with the events after the number `after`, the first first.
    ///
    /// # Errors
    ///
    /// The ledger's error, or the first error of `each`.
    fn events(&self, after: u64, each: &mut dyn FnMut(ChainRow) -> Result<(), LedgerError>) -> Result<(), LedgerError>;

    /// Writes records of another ledger in one transaction. Returns how many were not there yet. Where their events are
    /// not copied, an event of the moment `unchained` says how many those are.
    fn import(&mut self, _records: &[Record], _unchained: Option<Timestamp>) -> Result<u64, LedgerError> {
        Err(LedgerError::Elsewhere("records are copied into PostgreSQL only"))
    }

    /// Takes over the audit chain of another ledger, or goes on with that. Returns how many events were written; `None`
    /// where this ledger has a chain of its own already, or the other one has none.
    fn import_chain(&mut self, _source: &dyn LedgerQueries) -> Result<Option<u64>, LedgerError> {
        Err(LedgerError::Elsewhere("events are copied into PostgreSQL only"))
    }

    /// Writes what another ledger knows about requests that need approval or have a payload, in one transaction. The
    /// requests are there already; what is there stays.
    fn import_stories(&mut self, _: &[(Record, Story)]) -> Result<(), LedgerError> {
        Err(LedgerError::Elsewhere("records are copied into PostgreSQL only"))
    }

    /// Takes over the watermark and the lockouts of another ledger. The watermark never falls; a lockout that is there
    /// stays.
    fn import_marks(&mut self, _watermark: Option<Timestamp>, _: &[(String, Lockout)]) -> Result<(), LedgerError> {
        Err(LedgerError::Elsewhere("records are copied into PostgreSQL only"))
    }

    /// Takes over the counters of another ledger, but for those of records, which [`import`](LedgerQueries::import)
    /// counts. A counter that is higher stays, so that a copy may be repeated.
    fn import_counters(&mut self, _: &[Counter]) -> Result<(), LedgerError> {
        Err(LedgerError::Elsewhere("counters are copied into PostgreSQL only"))
    }

    /// The mail servers that use it, where there can be several.
    fn nodes(&self) -> Result<Vec<Node>, LedgerError> {
        Ok(Vec::new())
    }

    /// Writes that this host uses it, with the digest of its configuration.
    fn see_node(&mut self, _digest: &str, _now: Timestamp) -> Result<(), LedgerError> {
        Ok(())
    }

    /// What its database server says of itself, where there is one.
    fn database(&self) -> Result<Option<Database>, LedgerError> {
        Ok(None)
    }

    /// The one request with an id that begins with the bytes `short`.
    fn find(&self, short: &[u8]) -> Result<Option<Record>, LedgerError> {
        let mut found = None;
        let filter = Filter { short: Some(short.to_owned()), limit: Some(1), ..Filter::default() };
        self.list(&filter, &mut |record| {
            found = Some(record);
            Ok(())
        })?;
        Ok(found)
    }
}

/// The bounds of the ids that begin with `short`.
pub(super) fn bounds(short: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut after = short.to_owned();
    // Longer than any id, and not less than any id that begins with `short`.
    after.resize(size_of::<RequestId>() + 1, 0xff);
    (short.to_owned(), after)
}
