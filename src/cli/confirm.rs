//! Asking before something is changed or lost, and saying beforehand what would be. A prompt never blocks a script: without a terminal, `--yes` must be said.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::stdout;

/// Whether the person has agreed.
#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Say what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl Confirm {
    /// Asks `question` unless the answer is known already; without consent, gives the exit status to end with.
    pub(super) fn missing(&self, question: &str) -> Result<Option<ExitCode>> {
        if self.dry_run {
            outln!("Nothing was changed (--dry-run).")?;
            return Ok(Some(ExitCode::SUCCESS));
        }
        if self.yes {
            return Ok(None);
        }
        if !std::io::stdin().is_terminal() {
            bail!("there is no terminal to ask on: say --yes, or --dry-run to look first");
        }
        stdout::text(&format!("{question} [y/N] "))?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).context("standard input")?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(None);
        }
        outln!("Nothing was changed.")?;
        Ok(Some(ExitCode::FAILURE))
    }
}

/// Whether to change anything.
#[derive(Debug, Args)]
pub(super) struct DryRun {
    /// Say what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// Says what would be done, where it is not to be done.
    pub(super) fn is_all(&self, what: &str) -> Result<bool> {
        if self.dry_run {
            outln!("{what}; nothing was changed (--dry-run).")?;
        }
        Ok(self.dry_run)
    }
}
