//! `mailsudo user`: which subcommands there are.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::{add, change, rotate, show, test};

/// Enrol, show, change and remove users
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum User {
    Add(add::Add),
    List(show::List),
    Show(show::Show),
    Disable(change::Disable),
    Enable(change::Enable),
    Unlock(change::Unlock),
    Rotate(rotate::Rotate),
    Test(test::Test),
    Remove(change::Remove),
}

impl User {
    pub(in crate::cli) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Disable(disable) => disable.run(),
            Self::Enable(enable) => enable.run(),
            Self::Unlock(unlock) => unlock.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Test(test) => test.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}
