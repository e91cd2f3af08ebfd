//! `mailsudo sudoers`: the fence, as text.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::At;
use crate::sudoers::{Dialect, fragment};

/// Print the sudoers fragment that permits what the catalogue can run, and no more
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mailsudo sudoers > mailsudo.new && visudo -c -f mailsudo.new \\
    && install -m 0440 mailsudo.new /etc/sudoers.d/mailsudo")]
pub(super) struct Sudoers {
    #[command(flatten)]
    at: At,

    /// Whose sudoers(5) is meant
    #[arg(long = "for", value_enum, default_value_t = Dialect::Sudo)]
    dialect: Dialect,
}

impl Sudoers {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.at.open()?;
        let commands = super::catalogue(&gateway)?;
        print!("{}", fragment(&commands, gateway.settings(), self.dialect)?);
        Ok(ExitCode::SUCCESS)
    }
}
