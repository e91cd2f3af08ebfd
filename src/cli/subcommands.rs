//! All subcommands: parses the command line, runs one of them and turns its error into text and an exit status.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;

use super::client::{self, Volume};
use super::failure::{self, Caller};
use super::{
    GatewayArg, check, completions, config, deliver, explain, key, ledger, lockdown, log, may, metrics, page, postfix,
    report, setup, sign, sudoers, user, verify,
};
use crate::execute;
use crate::system::hardening;
use crate::system::program::own_program;

/// Run the few commands you allow, by signed mail.
#[derive(Debug, Parser)]
#[command(
    name = "mailsudo",
    version,
    about,
    max_term_width = 100,
    after_help = "\
Examples:
  mailsudo setup
  mailsudo user add alice --address alice@example.com --role web
  mailsudo sign restart service=nginx --send
  mailsudo deliver < message.eml
Manual: mailsudo(1), mailsudo(7), mailsudo.toml(5)"
)]
struct Cli {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    volume: Volume,

    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Deliver(deliver::Deliver),
    Sign(sign::Sign),
    Verify(verify::Verify),
    Key(key::Keys),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Command(super::command::Command),
    May(may::May),
    Sudoers(sudoers::Sudoers),
    Check(check::Check),
    Explain(explain::Explain),
    Page(page::Page),
    Log(log::Log),
    Lockdown(lockdown::LockdownCommand),
    Metrics(metrics::Metrics),
    Report(report::Report),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Postfix(postfix::PostfixCommand),
    Setup(Box<setup::Setup>),
    Completions(completions::Completions),
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
    if is_client() {
        return client::run(words);
    }
    // `deliver` has its own rules for a wrong command line, and need not build the others' parsers.
    if let Some(words) = deliver_words(&words) {
        return deliver::run(&words);
    }
    CompleteEnv::with_factory(command).bin("mailsudo").completer("mailsudo").complete();
    let as_json = failure::is_json(&words);
    let Cli { volume, command, .. } =
        match Cli::command().try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => return failure::of_line(&error, as_json),
        };
    let is_users = matches!(command, Subcommands::Sign(_) | Subcommands::Verify(_) | Subcommands::Key(_));
    let caller = if is_users { Caller::User } else { Caller::Sysadmin };
    volume.apply();
    let result = match command {
        Subcommands::Deliver(deliver) => return deliver.run(),
        Subcommands::Sign(sign) => sign.run(),
        Subcommands::Verify(verify) => verify.run(),
        Subcommands::Key(key) => key.run(),
        Subcommands::User(user) => user.run(),
        Subcommands::Command(command) => command.run(),
        Subcommands::May(may) => may.run(),
        Subcommands::Sudoers(sudoers) => sudoers.run(),
        Subcommands::Check(check) => check.run(),
        Subcommands::Explain(explain) => explain.run(),
        Subcommands::Page(page) => page.run(),
        Subcommands::Log(log) => log.run(),
        Subcommands::Lockdown(lockdown) => lockdown.run(),
        Subcommands::Metrics(metrics) => metrics.run(),
        Subcommands::Report(report) => report.run(),
        Subcommands::Ledger(ledger) => ledger.run(),
        Subcommands::Config(config) => config.run(),
        Subcommands::Postfix(postfix) => postfix.run(),
        Subcommands::Setup(setup) => setup.run(),
        Subcommands::Completions(completions) => completions.run(),
    };
    result.unwrap_or_else(|error| failure::of(&error, caller, as_json))
}

/// Whether this is the program of the package mailsudo-client, which has the user's commands only.
fn is_client() -> bool {
    own_program().file_name().is_some_and(|name| name == "mailsudo-client")
}

/// The command line's description, for the man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// The arguments for `deliver`, itself first, if it is the subcommand: the first word that is no option, nor an
/// option's value.
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
    // `deliver` prints nothing that these could change.
    let volume = ["-q", "--quiet", "-v", "--verbose"];
    let before: Vec<_> = before.iter().filter(|word| !volume.iter().any(|known| *word == known)).cloned().collect();
    Some([std::slice::from_ref(deliver), &before, after].concat())
}
