//! `mailsudo sudoers`: the fence, as text, and on disk.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::At;
use super::confirm::Consent;
use crate::sudoers::{Dialect, Tools, drift, fragment, install, place};

/// Print, compare or install the sudoers fragment that permits what the catalogue can run, and no more
///
/// Print it with no option. --check shows how the installed one differs (exit status 1 if it does). --install shows that
/// too, asks, has visudo check the new one, replaces the old one in one step and keeps it with a ~ after its name. Each
/// gateway has a fragment of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo sudoers --check
  mailsudo sudoers --install
  mailsudo sudoers --for sudo-rs")]
pub(super) struct Sudoers {
    #[command(flatten)]
    at: At,

    /// Whose sudoers(5) is meant [default: the installed one's]
    #[arg(long = "for", value_enum)]
    dialect: Option<Dialect>,

    /// Show how the installed fragment differs
    #[arg(long, conflicts_with = "install")]
    check: bool,

    /// Install the fragment
    #[arg(long)]
    install: bool,

    /// Where the fragment is installed [default: /etc/sudoers.d/mailsudo, or mailsudo-GATEWAY there where --config is another
    /// folder than /etc/mailsudo]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    consent: Consent,
}

impl Sudoers {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.at.open()?;
        let settings = gateway.settings();
        let tools = Tools::find(&settings.execution);
        let dialect = match (self.dialect, &tools) {
            (Some(dialect), _) => dialect,
            (None, Ok(tools)) => tools.dialect,
            // Nothing is installed here to be wrong about.
            (None, Err(_)) => Dialect::Sudo,
        };
        let wanted = fragment(&super::catalogue(&gateway)?, settings, dialect)?;
        if !self.check && !self.install {
            print!("{wanted}");
            return Ok(ExitCode::SUCCESS);
        }
        let file = self.file.unwrap_or_else(|| place(&gateway));
        let Some(diff) = drift(&file, &wanted)? else {
            println!("{} is what the catalogue comes to.", file.display());
            return Ok(ExitCode::SUCCESS);
        };
        print!("{diff}");
        if self.check {
            eprintln!("{} differs; `mailsudo sudoers --install` mends it.", file.display());
            return Ok(ExitCode::FAILURE);
        }
        if !self.consent.given(&format!("Install this as {}?", file.display()))? {
            return Ok(ExitCode::FAILURE);
        }
        install(&file, &wanted, &tools?)?;
        println!("{} is installed.", file.display());
        Ok(ExitCode::SUCCESS)
    }
}
