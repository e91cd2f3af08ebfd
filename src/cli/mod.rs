//! The command line: one file for each subcommand, each short. It reads arguments, calls the library and prints text.
//!
//! Exit status: 0 for yes and done, 1 for no (a reply that is not genuine, a permission denied) and for errors, 2 for a
//! command line that is wrong, 141 if the reader of standard output has closed it (what a shell reports for SIGPIPE). `check` and
//! `sudoers --check` describe theirs. `deliver` follows pipe(8) instead: 0, or 75 for "try again".

#[macro_use]
mod stdout;

mod check;
mod command;
mod complete;
mod config;
mod confirm;
mod deliver;
mod explain;
mod ledger;
mod log;
mod may;
mod metrics;
mod postfix;
mod sign;
mod sudoers;
mod user;
mod verify;

use stdout::tell;

use std::ffi::OsString;
use std::io::{self, IsTerminal, StdinLock};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;
use zeroize::Zeroizing;

use crate::config::{Command, ConfigError, DEFAULT_FOLDER, Gateway, RunVia, Settings, Trusted};
use crate::execute;
use crate::ledger::{LedgerError, LedgerQueries, open as ledger_of};
use crate::limits::Timeouts;
use crate::protocol::{Code, Timestamp};
use crate::system::accounts;
use crate::system::hardening;

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
    #[command(flatten)]
    gateway_arg: GatewayArg,

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
    #[command(subcommand)]
    Command(command::Command),
    May(may::May),
    Sudoers(sudoers::Sudoers),
    Check(check::Check),
    Explain(explain::Explain),
    Log(log::Log),
    Metrics(metrics::Metrics),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Postfix(postfix::PostfixCommand),
}

/// Where the gateway's files are.
#[derive(Debug, Default, PartialEq, Eq, Args)]
struct GatewayArg {
    /// The gateway's folder
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER, global = true)]
    config: PathBuf,
}

/// Runs the command line `words`, program name first.
pub fn run(words: Vec<OsString>) -> ExitCode {
    // Inside a sudo rule, before a command that must not inherit this process's limits.
    if let [_, first, command @ ..] = words.as_slice()
        && (first == execute::BEGIN || first == execute::BEGIN_WITH_PAYLOAD)
    {
        return execute::begin(command, first == execute::BEGIN_WITH_PAYLOAD);
    }
    hardening::apply();
    // `deliver` has its own rules for a wrong command line, and need not build the others' parsers.
    if let Some(words) = deliver_words(&words) {
        return deliver::run(&words);
    }
    CompleteEnv::with_factory(Cli::command).bin("mailsudo").completer("mailsudo").complete();
    let command = Cli::parse_from(words).command;
    let is_users_own = matches!(command, Subcommands::Sign(_) | Subcommands::Verify(_));
    let result = match command {
        Subcommands::Deliver(deliver) => return deliver.run(),
        Subcommands::Sign(sign) => sign.run(),
        Subcommands::Verify(verify) => verify.run(),
        Subcommands::User(user) => user.run(),
        Subcommands::Command(command) => command.run(),
        Subcommands::May(may) => may.run(),
        Subcommands::Sudoers(sudoers) => sudoers.run(),
        Subcommands::Check(check) => check.run(),
        Subcommands::Explain(explain) => explain.run(),
        Subcommands::Log(log) => log.run(),
        Subcommands::Metrics(metrics) => metrics.run(),
        Subcommands::Ledger(ledger) => ledger.run(),
        Subcommands::Config(config) => config.run(),
        Subcommands::Postfix(postfix) => postfix.run(),
    };
    result.unwrap_or_else(|error| {
        if error.downcast_ref().is_some_and(stdout::StdoutError::is_unread) {
            return ExitCode::from(UNREAD);
        }
        if is_users_own {
            tell(format_args!("mailsudo: {error:#}"));
        } else {
            complain(&error);
        }
        ExitCode::FAILURE
    })
}

/// Prints why a sysadmin's command failed.
fn complain(error: &anyhow::Error) {
    let hint = if needs_root(error) { "; run it as root" } else { "" };
    tell(format_args!("mailsudo: {error:#}{hint}"));
}

/// 128 and SIGPIPE's number.
const UNREAD: u8 = 141;

/// Whether a file could not be read because the caller is not root.
fn needs_root(error: &anyhow::Error) -> bool {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            || cause.downcast_ref().is_some_and(ConfigError::is_closed)
            || cause.downcast_ref().is_some_and(LedgerError::is_closed)
    };
    !rustix::process::geteuid().is_root() && error.chain().any(is_closed)
}

/// The command line's description, for the man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The arguments for `deliver`, itself first, if it is the subcommand: the first word that is no option, nor an option's value.
fn deliver_words(words: &[OsString]) -> Option<Vec<OsString>> {
    let (_, words) = words.split_first()?;
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.as_bytes().starts_with(b"-")) {
        at += if word == "--config" { 2 } else { 1 };
    }
    if words.get(at)? != "deliver" {
        return None;
    }
    let (before, rest) = words.split_at_checked(at)?;
    let (deliver, after) = rest.split_first()?;
    Some([std::slice::from_ref(deliver), before, after].concat())
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

/// Opens a gateway for root as for the service user: what either may own is trusted. `mailsudo.toml` names that
/// user, and only a file of the caller is accepted for it: a folder of another account could name its owner, and programs
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

/// Root acts for the service user, and any other account for itself. With `run_via = "direct"` every account acts for itself,
/// because commands run as the caller.
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
    let remedy =
        || format!("there is no account {name}: useradd --system --user-group --shell /usr/sbin/nologin {name}");
    accounts::find(name)?.map(Some).with_context(remedy)
}

/// Asks for a code on the terminal, without echo, until it has the form of one.
fn ask_code() -> Result<Code> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the code: use --code");
    }
    loop {
        let text = rpassword::prompt_password("Code: ").context("cannot read the code from the terminal")?;
        match parse_code(&Zeroizing::new(text)) {
            Ok(code) => return Ok(code),
            Err(error) => tell(format_args!("{error:#}: try again, or end with Ctrl-C")),
        }
    }
}

/// A code as users type it: authenticators show `123 456`.
fn parse_code(text: &str) -> Result<Code> {
    let digits: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    Code::parse(&digits).context("a code is 6 to 8 digits")
}

/// Standard input, for a command that reads a message; at a terminal, a line says what to do.
fn message_input() -> StdinLock<'static> {
    if io::stdin().is_terminal() {
        tell(format_args!("Paste the message and end it with Ctrl-D; or give a file: < message.eml"));
    }
    io::stdin().lock()
}

/// The gateway's ledger, for a command that a sysadmin runs.
fn open_ledger(gateway: &Gateway) -> Result<Box<dyn LedgerQueries>> {
    Ok(ledger_of(gateway.settings(), trusted_for(gateway)?, Timeouts::DEFAULT.transaction)?)
}

/// A moment in local time with its offset, for output.
fn when(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.seconds()) {
        Ok(instant) => {
            instant.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
        Err(_) => time.to_string(),
    }
}

/// Shows progress on a terminal until it is dropped; without a terminal it prints nothing.
struct Progress;

impl Progress {
    fn show(words: &str) -> Self {
        if io::stderr().is_terminal() {
            eprint!("\r\u{1b}[K{words} … ");
        }
        Self
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if io::stderr().is_terminal() {
            eprint!("\r\u{1b}[K");
        }
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<ExitCode> {
    stdout::json(value)?;
    Ok(ExitCode::SUCCESS)
}

/// All configured commands, in the order of their names.
fn commands(gateway: &Gateway) -> Result<Vec<Command>> {
    let mut commands = Vec::new();
    for name in gateway.command_names()? {
        commands.extend(gateway.command(&name)?);
    }
    Ok(commands)
}
