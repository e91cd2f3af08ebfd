//! Asking before something is changed or lost. A prompt never blocks a script: without a terminal, `--yes` must be said.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};
use clap::Args;

/// Whether the person has agreed.
#[derive(Debug, Args)]
pub(super) struct Consent {
    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl Consent {
    /// Asks `question` unless the answer is known already.
    pub(super) fn given(&self, question: &str) -> Result<bool> {
        if self.dry_run {
            println!("Nothing was changed (--dry-run).");
            return Ok(false);
        }
        if self.yes {
            return Ok(true);
        }
        if !std::io::stdin().is_terminal() {
            bail!("there is no terminal to ask on: say --yes, or --dry-run to look first");
        }
        print!("{question} [y/N] ");
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context("standard input")?;
        let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
        if !agreed {
            println!("Nothing was changed.");
        }
        Ok(agreed)
    }
}
