//! The command line: one file for each subcommand, each short. Arguments in, library call, words out.
//!
//! Exit status: 0 for yes and done, 1 for no (a reply that is not genuine, a permission denied) and for errors, 2 for a
//! command line that is wrong. `deliver` keeps to pipe(8) instead: 0, or 75 for "try again".

mod config;
mod deliver;
mod ledger;
mod sign;
mod sudoers;
mod user;
mod verify;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::accounts;
use crate::config::{Command, DEFAULT_FOLDER, Gateway, Trusted};

/// Run the few commands you allow, by signed mail.
#[derive(Debug, Parser)]
#[command(
    name = "mailsudo",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  mailsudo user add alice --address alice@example.com --role web
  mailsudo sign restart service=nginx --send
  mailsudo deliver < message.eml
Manual: mailsudo(1), mailsudo.toml(5), mailsudo-protocol(7)"
)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Deliver(deliver::Deliver),
    Sign(sign::Sign),
    Verify(verify::Verify),
    #[command(subcommand)]
    User(user::User),
    Sudoers(sudoers::Sudoers),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Config(config::Config),
}

/// Where the gateway's files are.
#[derive(Debug, Args)]
struct At {
    /// The gateway's folder
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    config: PathBuf,
}

/// Runs the command line `words`, program name first.
pub fn run(words: Vec<OsString>) -> ExitCode {
    // `deliver` has rules of its own for a wrong command line, and need not build the others' parsers.
    if let Some(words) = deliver_words(&words) {
        return deliver::run(words);
    }
    let result = match Cli::parse_from(words).command {
        Subcommands::Deliver(deliver) => return deliver.run(),
        Subcommands::Sign(sign) => sign.run(),
        Subcommands::Verify(verify) => verify.run(),
        Subcommands::User(user) => user.run(),
        Subcommands::Sudoers(sudoers) => sudoers.run(),
        Subcommands::Ledger(ledger) => ledger.run(),
        Subcommands::Config(config) => config.run(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("mailsudo: {error:#}");
        ExitCode::FAILURE
    })
}

/// The words for `deliver`, if it is the subcommand.
fn deliver_words(words: &[OsString]) -> Option<&[OsString]> {
    let words = words.get(1..)?;
    (words.first().map(OsString::as_os_str) == Some(OsStr::new("deliver"))).then_some(words)
}

impl At {
    /// The gateway, for a command that a sysadmin runs: files of the service user are trusted too.
    fn open(&self) -> Result<Gateway> {
        open(&self.config)
    }
}

fn open(folder: &Path) -> Result<Gateway> {
    let trusted = Trusted::caller();
    // Whoever owns the folder's file is named in it; read as the caller first, then with that account trusted.
    let gateway = Gateway::open(folder, trusted.clone());
    let gateway = gateway.with_context(|| format!("the gateway in {} cannot be used", folder.display()))?;
    match service_account(&gateway)? {
        Some(account) => Ok(Gateway::open(folder, trusted.and(account.uid, account.gid))?),
        None => Ok(gateway),
    }
}

/// The service user's account, where root acts for it; `None` for anybody else, who acts for himself.
fn service_account(gateway: &Gateway) -> Result<Option<accounts::Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    accounts::find(&gateway.settings().service_user)
}

/// The whole catalogue, in the order of names.
fn catalogue(gateway: &Gateway) -> Result<Vec<Command>> {
    let mut commands = Vec::new();
    for name in gateway.command_names()? {
        commands.extend(gateway.command(&name)?);
    }
    Ok(commands)
}
