//! The command line of the user's side alone: of the program mailsudo-client, and of a build without the gateway, for
//! systems where there is none.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::CompleteEnv;

use super::failure::{self, Caller, usage};
use super::{completions, key, sign, stdout, verify};
use crate::system::trace;

/// Sign requests to a mailsudo gateway and verify its replies
#[derive(Debug, Parser)]
#[command(
    name = "mailsudo",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  mailsudo key import berlin.alice.toml
  mailsudo sign restart service=nginx --mailto
  mailsudo verify < reply.eml
Manual: mailsudo-client(1)"
)]
struct Client {
    #[command(flatten)]
    volume: Volume,

    #[command(subcommand)]
    command: Subcommands,
}

/// How much is printed.
#[derive(Debug, Args)]
pub(super) struct Volume {
    /// Print results, questions and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Print the programs that are run, and each cause of an error
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Sign(Box<sign::Sign>),
    Verify(verify::Verify),
    Key(key::Keys),
    Completions(completions::Completions),
}

/// The subcommands that only a gateway has.
const OF_THE_GATEWAY: [&str; 16] = [
    "deliver", "user", "command", "may", "sudoers", "check", "explain", "page", "log", "lockdown", "metrics", "report",
    "ledger", "config", "postfix", "setup",
];

impl Volume {
    /// From now on so much is printed.
    pub(super) fn apply(&self) {
        stdout::set_quiet(self.quiet);
        if self.verbose {
            trace::enable();
        }
    }
}

/// Runs the command line `words`, program name first.
pub(super) fn run(words: Vec<OsString>) -> ExitCode {
    CompleteEnv::with_factory(command).bin("mailsudo").completer("mailsudo").complete();
    let as_json = failure::is_json(&words);
    let Client { volume, command } =
        match command().try_get_matches_from(words).and_then(|matches| Client::from_arg_matches(&matches)) {
            Ok(client) => client,
            Err(error) if is_of_the_gateway(&error) => {
                let what = "this is mailsudo-client, which has the user's commands only: install the package mailsudo";
                return failure::of(&usage(what), Caller::User, as_json);
            }
            Err(error) => return failure::of_line(&error, as_json),
        };
    volume.apply();
    let result = match command {
        Subcommands::Sign(sign) => sign.run(),
        Subcommands::Verify(verify) => verify.run(),
        Subcommands::Key(key) => key.run(),
        Subcommands::Completions(completions) => completions.run(),
    };
    result.unwrap_or_else(|error| failure::of(&error, Caller::User, as_json))
}

/// The command line's description.
fn command() -> clap::Command {
    Client::command()
}

fn is_of_the_gateway(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::InvalidSubcommand
        && matches!(
            error.get(ContextKind::InvalidSubcommand),
            Some(ContextValue::String(name)) if OF_THE_GATEWAY.contains(&name.as_str())
        )
}

#[cfg(all(test, feature = "gateway"))]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_is_the_clients_or_the_gateways() {
        let of = |command: clap::Command| {
            command.get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>()
        };
        let mut known = of(command());
        known.extend(OF_THE_GATEWAY.map(str::to_owned));
        known.sort_unstable();
        let mut all = of(crate::cli::command());
        all.sort_unstable();
        assert_eq!(known, all);
    }
}
