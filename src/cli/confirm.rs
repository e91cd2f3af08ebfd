//! Confirmation before a change or a loss, and dry runs. A prompt never blocks a script: without a terminal, `--yes` is
//! required.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::failure::usage;
use super::stdout;

/// Whether the user confirms.
#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// Do it without asking
    #[arg(long)]
    yes: bool,

    /// Print what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

impl Confirm {
    /// Whether questions are asked: at a terminal, unless the answers are known already.
    pub(super) fn is_interactive(&self) -> bool {
        !self.yes && !self.dry_run && std::io::stdin().is_terminal()
    }

    /// Asks `question` unless the answer is known already. Without a confirmation, it returns the exit status to end
    /// with.
    pub(super) fn missing(&self, question: &str) -> Result<Option<ExitCode>> {
        if self.dry_run {
            outln!("Nothing was changed (--dry-run).")?;
            return Ok(Some(ExitCode::SUCCESS));
        }
        if self.yes {
            return Ok(None);
        }
        if !std::io::stdin().is_terminal() {
            return Err(usage("there is no terminal to ask on: use --yes, or --dry-run to check first"));
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
    /// Print what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// In a dry run, says what would be done. Returns whether it is a dry run.
    pub(super) fn is_all(&self, what: &str) -> Result<bool> {
        if self.dry_run {
            outln!("{what}; nothing was changed (--dry-run).")?;
        }
        Ok(self.dry_run)
    }
}
