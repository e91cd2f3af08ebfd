//! `mailsudo ledger`: the memory, from outside.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::At;
use crate::config::LedgerUrl;

/// Look after the ledger
#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    Init(Init),
}

/// Make an empty ledger where mailsudo.toml says; an existing one is left as it is
#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    at: At,
}

impl Ledger {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Init(init) => init.run(),
        }
    }
}

impl Init {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.at.open()?;
        let owner = super::service_account(&gateway)?.map(|account| (account.uid, account.gid));
        let LedgerUrl::Sqlite(path) = &gateway.settings().ledger.url;
        crate::ledger::init(path, owner)?;
        println!("The ledger is at {}.", path.display());
        Ok(ExitCode::SUCCESS)
    }
}
