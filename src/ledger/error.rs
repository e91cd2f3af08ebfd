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
