//! The options of `mailsudo setup` that belong to one thing each: the mailbox at a provider, and the ledger.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::failure::usage;
use crate::config::{LedgerUrl, MailAddress, PostgresUrl};
use crate::setup::{DatabaseOwner, Fetcher, LedgerPlace, MailServer, Mailbox};

/// The mailbox at a provider, with --server imap.
#[derive(Debug, Args)]
pub(super) struct MailboxArg {
    /// The provider's IMAP server (port 993, TLS)
    #[arg(long, value_name = "HOST")]
    imap: Option<String>,

    /// The provider's submission server (port 587, STARTTLS)
    #[arg(long, value_name = "HOST")]
    smtp: Option<String>,

    /// The login there [default: the gateway's address]
    #[arg(long, value_name = "NAME")]
    login: Option<String>,

    /// A file with the password alone
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The program that fetches
    #[arg(long, value_enum, default_value = "getmail")]
    fetch_with: Fetcher,
}

/// The ledger.
#[derive(Debug, Args)]
pub(super) struct LedgerArg {
    /// Where the ledger is, `[ledger] url`: postgresql://... where several mail servers share one
    #[arg(long, value_name = "URL", value_parser = ledger_url)]
    ledger: Option<LedgerUrl>,

    /// The file with the password of that role in PostgreSQL, `[ledger] password_file`; it is there already
    #[arg(long, value_name = "FILE", requires = "ledger")]
    ledger_password_file: Option<PathBuf>,

    /// PostgreSQL: the role that makes the tables, where they are missing, and the server
    #[arg(long, value_name = "URL", value_parser = super::ledger::postgres_url)]
    owner_url: Option<PostgresUrl>,

    /// The file with that role's password
    #[arg(long, value_name = "FILE", requires = "owner_url")]
    owner_password_file: Option<PathBuf>,
}

fn ledger_url(text: &str) -> Result<LedgerUrl, String> {
    LedgerUrl::try_from(text.to_owned())
}

impl MailboxArg {
    /// The mailbox, where that is the mail server.
    pub(super) fn mailbox(&self, server: MailServer, address: &MailAddress) -> Result<Option<Mailbox>> {
        if server != MailServer::Imap {
            return Ok(None);
        }
        let Self { imap, smtp, login, password_file, fetch_with } = self;
        let (Some(imap), Some(smtp), Some(password)) = (imap, smtp, password_file) else {
            return Err(usage("--server imap needs --imap HOST, --smtp HOST and --password-file FILE"));
        };
        let login = login.clone().unwrap_or_else(|| address.to_string());
        let (imap, smtp, password) = (imap.clone(), smtp.clone(), password.clone());
        Ok(Some(Mailbox { imap, smtp, login, password, fetcher: *fetch_with }))
    }
}

impl LedgerArg {
    /// Where the ledger is, if that is said.
    pub(super) fn place(&self) -> Option<LedgerPlace> {
        let url = self.ledger.clone()?;
        Some(LedgerPlace { url, password_file: self.ledger_password_file.clone() })
    }

    /// Who makes its tables.
    pub(super) fn owner(&self) -> Option<DatabaseOwner> {
        let url = self.owner_url.clone()?;
        Some(DatabaseOwner { url, password_file: self.owner_password_file.clone() })
    }
}
