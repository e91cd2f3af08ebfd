//! The command line: one file for each subcommand, each short. It reads arguments, calls the library and prints text.
//! `subcommands.rs` has the list of them; here is what they share.
//!
//! Exit status: 0 for yes and done, 1 for no (a reply that is not genuine, a permission denied) and for errors, 64 for
//! a command line that is wrong (sysexits(3)), 141 if the reader of standard output has closed it (what a shell reports
//! for SIGPIPE). `check` and `sudoers --check` describe theirs. `sign` exits with 75 if the code was used already.
//! `deliver` follows pipe(8) instead: 0, or 75 for "try again".

#[macro_use]
mod stdout;

mod check;
mod client;
mod code;
mod command;
mod command_change;
mod complete;
mod completions;
mod config;
mod confirm;
mod deliver;
mod explain;
mod failure;
mod key;
mod ledger;
mod ledger_restore;
mod lockdown;
mod log;
mod log_export;
mod log_verify;
mod may;
mod metrics;
mod moment;
mod page;
mod postfix;
mod progress;
mod qr;
mod reader;
mod record;
mod report;
mod setup;
mod setup_args;
mod setup_words;
mod sign;
mod subcommands;
mod sudoers;
mod table;
mod terminal;
mod user;
mod verify;

pub use subcommands::{command, run};

use progress::Progress;
use stdout::{print_json, tell};
use terminal::{ask_code, message_input, parse_code, when};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::config::{Command, DEFAULT_FOLDER, Gateway, LedgerUrl, RunVia, Settings, Trusted};
use crate::ledger::{AuditEvent, EventKey, EventKind, LedgerQueries, open_for_queries};
use crate::limits::Timeouts;
use crate::remedy::Remedy;
use crate::system::accounts;
use crate::system::clock::{Clock, SystemClock};

/// Where the gateway's files are.
#[derive(Debug, Default, PartialEq, Eq, Args)]
struct GatewayArg {
    /// The gateway's folder
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER, global = true)]
    config: PathBuf,
}

impl GatewayArg {
    /// The gateway, for a command that a sysadmin runs: files of the service user are trusted too.
    fn open(&self) -> Result<Gateway> {
        open(&self.config)
    }

    /// The gateway, from files of the caller and root alone: for a command that extends what others may do.
    fn open_own(&self) -> Result<Gateway> {
        let problem = || format!("the gateway in {} cannot be used", self.config.display());
        Gateway::open(&self.config, Trusted::caller()).with_context(problem)
    }
}

/// Opens a gateway for root as for the service user: what either may own is trusted. `mailsudo.toml` names that user,
/// and only a file of the caller is accepted for it: a folder of another account could name its owner, and programs
/// that root then starts.
fn open(folder: &Path) -> Result<Gateway> {
    let problem = || format!("the gateway in {} cannot be used", folder.display());
    let gateway = Gateway::open(folder, Trusted::caller()).with_context(problem)?;
    Gateway::open(folder, trusted_for(&gateway)?).with_context(problem)
}

/// The accounts that a sysadmin's command trusts: root, the caller, and the service user if it exists.
fn trusted_for(gateway: &Gateway) -> Result<Trusted> {
    let trusted = Trusted::caller();
    if !acts_for_service_user(gateway.settings()) {
        return Ok(trusted);
    }
    let account = accounts::find(&gateway.settings().service_user)?;
    Ok(account.map_or(trusted.clone(), |account| trusted.and(account.uid, account.gid)))
}

/// Root acts for the service user, and any other account for itself. With `run_via = "direct"` every account acts for
/// itself, because commands run as the caller.
fn acts_for_service_user(settings: &Settings) -> bool {
    rustix::process::geteuid().is_root() && settings.execution.run_via == RunVia::Sudo
}

/// Whether the caller is the account that Postfix runs `deliver` as.
fn is_service_user(settings: &Settings) -> bool {
    let account = accounts::find(&settings.service_user).ok().flatten();
    account.is_some_and(|account| account.uid == rustix::process::geteuid().as_raw())
}

/// The service user's account, where root acts for it and writes what only it may read.
fn service_account(gateway: &Gateway) -> Result<Option<accounts::Account>> {
    if !acts_for_service_user(gateway.settings()) {
        return Ok(None);
    }
    let name = &gateway.settings().service_user;
    let remedy = || format!("there is no account {name}: {}", Remedy::AddAccount(name.clone()));
    accounts::find(name)?.map(Some).with_context(remedy)
}

/// The gateway's ledger, for a command that a sysadmin runs.
fn open_ledger(gateway: &Gateway) -> Result<Box<dyn LedgerQueries>> {
    Ok(open_for_queries(gateway.settings(), trusted_for(gateway)?, Timeouts::DEFAULT.transaction)?)
}

/// Writes into the audit chain that the command `change` has changed something. Where there is no ledger yet, there is
/// no chain; where it cannot be written, a warning says so, because the change is made.
fn record_change(gateway: &Gateway, change: &str) {
    if matches!(&gateway.settings().ledger.url, LedgerUrl::Sqlite(path) if !path.exists()) {
        return;
    }
    let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    let event = AuditEvent::new(EventKind::Changed, SystemClock.now())
        .with(EventKey::By, format!("uid {} {by}", rustix::process::getuid().as_raw()).trim())
        .with(EventKey::Change, change)
        .with(EventKey::Config, gateway.digest().unwrap_or_default());
    if let Err(error) = open_ledger(gateway).and_then(|mut ledger| Ok(ledger.append(&event)?)) {
        tell(format_args!("warning: it is done, and may not be in the audit chain: {error:#}"));
    }
}

/// All configured commands, in the order of their names.
fn commands(gateway: &Gateway) -> Result<Vec<Command>> {
    let mut commands = Vec::new();
    for name in gateway.command_names()? {
        commands.extend(gateway.command(&name)?);
    }
    Ok(commands)
}
