//! Why a ledger cannot be used. It is always a deferral: what the ledger holds is never guessed.

use std::path::PathBuf;

use crate::config::Distrust;
use crate::error::{Deferral, Stop};
use crate::remedy::Call;

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is none. Opening a ledger does not create it.
    #[error(
        "there is no ledger at {}: mount the missing file system, or restore a backup; if there was never one: {}",
        .0.display(), Call::InitLedger
    )]
    Missing(PathBuf),
    /// Others could have written to it.
    #[error(transparent)]
    Distrust(Distrust),
    /// It is not a ledger of mailsudo.
    #[error(
        "{} is not a ledger of mailsudo, or was not finished: move it away; then {}",
        .0.display(), Call::InitLedger
    )]
    Foreign(PathBuf),
    /// A newer mailsudo wrote it, in this schema.
    #[error("a newer mailsudo wrote the ledger (schema {0}); install that version again")]
    Newer(i64),
    /// The database has no ledger.
    #[error(
        "the database has no ledger of mailsudo; make one as the role that owns the database: {} --owner-url URL",
        Call::InitLedger
    )]
    NotMade,
    /// An older mailsudo made it, in this schema.
    #[error(
        "the ledger has schema {0}, which is older than this mailsudo; change it as the role that owns the tables: {remedy} \
         --owner-url URL",
        remedy = Call::MigrateLedger
    )]
    Older(i64),
    /// It is the ledger of this gateway, and not of the one that opens it.
    #[error("the database has the ledger of the gateway {0}; give each gateway a database of its own ([ledger] url)")]
    OtherGateway(String),
    /// No server could be used; nothing was sent to one. Says what each answered.
    #[error("no PostgreSQL server takes the ledger: {0}")]
    Unreachable(String),
    /// The connection ended after a statement was sent.
    #[error("the connection to PostgreSQL was lost, and what was sent may have been done or not: {0}")]
    Lost(String),
    /// A commit was answered, and the answer proves nothing.
    #[error("a commit is in doubt: {0}")]
    Unproven(String),
    /// Another delivery has recorded the request, or its step, or has taken it over.
    #[error("another delivery has recorded this request, or has taken it over")]
    Taken,
    /// No synchronous standby is named, and one is required.
    #[error(
        "synchronous = \"require\", and PostgreSQL names no synchronous standby: start one, and let Patroni set \
         synchronous_standby_names"
    )]
    Asynchronous,
    /// The backend leaves this to another program.
    #[error("{0}")]
    Elsewhere(&'static str),
    /// The backend failed.
    #[error("the ledger cannot be used: {0}")]
    Backend(String),
    /// A stored value is not one that mailsudo writes.
    #[error("the ledger holds an impossible {0}; restore a backup")]
    Corrupt(&'static str),
}

impl LedgerError {
    /// Whether the caller has no permission to open it.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Distrust(distrust) if distrust.is_closed())
    }
}

impl From<LedgerError> for Stop {
    fn from(error: LedgerError) -> Self {
        Deferral::new("ledger", error).into()
    }
}
