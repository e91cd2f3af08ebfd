//! The ledger that setup makes. In: the planned settings. Out: which ledger is missing, and the ledger.
//!
//! MUST: a ledger that exists is left alone; setup --undo removes a new one in SQLite, and never one in PostgreSQL,
//! which other mail servers may use.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::config::{LedgerUrl, PostgresUrl, Settings, Trusted};
use crate::ledger::{self, LedgerError, Owner};
use crate::limits::Timeouts;
use crate::protocol::Timestamp;

/// Where the ledger is to be, as the sysadmin says.
#[derive(Debug, Clone)]
pub struct LedgerPlace {
    /// `[ledger] url`.
    pub url: LedgerUrl,
    /// `[ledger] password_file`, which is there already.
    pub password_file: Option<PathBuf>,
}

/// The role that owns, or will own, the tables in PostgreSQL.
#[derive(Debug, Clone)]
pub struct DatabaseOwner {
    /// The role and the server.
    pub url: PostgresUrl,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
}

/// A ledger that is missing.
#[derive(Debug, Clone)]
pub(super) enum NewLedger {
    /// In SQLite.
    File(PathBuf),
    /// In PostgreSQL, with who makes it.
    Database(DatabaseOwner),
}

impl NewLedger {
    /// The one that `settings` name, where it is missing; `owner` could make it.
    ///
    /// # Errors
    ///
    /// The database cannot be used, or has no ledger and nobody to make it.
    pub(super) fn missing(
        settings: &Settings,
        trusted: Trusted,
        owner: Option<&DatabaseOwner>,
    ) -> Result<Option<Self>> {
        let LedgerUrl::Postgres(url) = &settings.ledger.url else {
            if owner.is_some() {
                bail!("--owner-url is for a ledger in PostgreSQL, and [ledger] url is {}", settings.ledger.url);
            }
            let LedgerUrl::Sqlite(path) = &settings.ledger.url else {
                return Ok(None);
            };
            return Ok((!path.exists()).then(|| Self::File(path.clone())));
        };
        let ledger = ledger::open_for_queries(settings, trusted, Timeouts::DEFAULT.transaction);
        match (ledger.and_then(|ledger| ledger.health()), owner) {
            (Ok(_), _) => Ok(None),
            (Err(LedgerError::NotMade), Some(owner)) => Ok(Some(Self::Database(owner.clone()))),
            (Err(LedgerError::NotMade), None) => {
                bail!(
                    "{url} has no ledger yet: name the role that makes it with --owner-url; see docs/several-gateways.md"
                )
            }
            (Err(error), _) => Err(anyhow!("{url}: {error}")),
        }
    }

    /// A line of the difference.
    pub(super) fn line(&self) -> String {
        match self {
            Self::File(path) => format!("+++ {} (the empty ledger)\n", path.display()),
            Self::Database(owner) => format!("+++ {} (the empty ledger)\n", owner.url),
        }
    }
}

/// Makes the tables in PostgreSQL, and lets the role of `[ledger] url` use them. What was signed up to `now` is
/// refused.
///
/// # Errors
///
/// The owner may not, or the database cannot be reached.
pub(super) fn make(owner: &DatabaseOwner, settings: &Settings, trusted: Trusted, now: Timestamp) -> Result<()> {
    let DatabaseOwner { url, password_file } = owner;
    let owner = Owner { url, password_file: password_file.as_deref(), settings, trusted };
    ledger::init_database(&owner, Some(now)).with_context(|| format!("{url}"))?;
    Ok(())
}

/// Removes a ledger in SQLite and what SQLite and mailsudo keep beside it.
pub(super) fn remove(ledger: &Path) {
    for end in ["", "-wal", "-shm", "-claims"] {
        let mut path = ledger.as_os_str().to_owned();
        path.push(end);
        let _ = fs::remove_file(path);
    }
}
