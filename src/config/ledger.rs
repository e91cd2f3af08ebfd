//! `[ledger]`: where the ledger is, and what it must confirm.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::PostgresUrl;

/// `[ledger]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Backend and location.
    pub url: LedgerUrl,
    /// The file with PostgreSQL's password and nothing else.
    pub password_file: Option<PathBuf>,
    /// Whether a synchronous standby must confirm each commit.
    pub synchronous: Synchronous,
}

impl Default for Ledger {
    fn default() -> Self {
        let url = LedgerUrl::Sqlite("/var/lib/mailsudo/ledger.db".into());
        Self { url, password_file: None, synchronous: Synchronous::Warn }
    }
}

/// What the gateway requires of PostgreSQL's replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Nothing; `check` warns. A change of timeline refuses all that was signed before it.
    Warn,
    /// Each commit needs a synchronous standby. A change of timeline has lost nothing.
    Require,
}

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LedgerUrl {
    /// `sqlite:/absolute/path`.
    Sqlite(PathBuf),
    /// `postgresql://...`.
    Postgres(PostgresUrl),
}

impl TryFrom<String> for LedgerUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://")) {
            return PostgresUrl::parse(rest).map(Self::Postgres).map_err(|what| format!("[ledger] url: {what}"));
        }
        match text.strip_prefix("sqlite:").map(PathBuf::from) {
            Some(path) if path.is_absolute() && path.file_name().is_some() => Ok(Self::Sqlite(path)),
            _ => Err(format!(
                "`{text}` is not a ledger: write it like sqlite:/var/lib/mailsudo/ledger.db, or \
                 postgresql:///mailsudo?host=/run/postgresql"
            )),
        }
    }
}

impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}
