//! All subcommands: parses the command line, runs one of them and turns its error into text and an exit status.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;

use super::stdout::{self, tell};
use super::{
    GatewayArg, check, complain, config, deliver, explain, key, ledger, log, may, metrics, page, postfix, sign,
    sudoers, user, verify,
};
use crate::execute;
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
    Metrics(metrics::Metrics),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Postfix(postfix::PostfixCommand),
}

/// Prints clap's answer to a command line that is none: help, the version, or what is wrong. That repeats the caller's words,
/// which may be pasted from a mail.
fn wrong_words(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    tell(format_args!("{}", error.render().to_string().trim_end()));
    ExitCode::from(2)
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
    let command = match Cli::try_parse_from(words) {
        Ok(line) => line.command,
        Err(error) => return wrong_words(&error),
    };
    let is_users_own = matches!(command, Subcommands::Sign(_) | Subcommands::Verify(_) | Subcommands::Key(_));
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

/// 128 and SIGPIPE's number.
const UNREAD: u8 = 141;

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
