//! `mailsudo user disable | enable | unlock | remove`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{DryRun, UserArg, known};
use crate::cli::{confirm::Confirm, open_ledger, service_account};
use crate::enrolment::Enrolment;
use crate::ledger::Ledger;
use crate::system::clock::{Clock, SystemClock};

/// Refuse a user from the next message on; the files stay
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user disable alice")]
pub(in crate::cli) struct Disable {
    #[command(flatten)]
    one: UserArg,

    #[command(flatten)]
    rehearsal: DryRun,
}

/// Hear a disabled user again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user enable alice")]
pub(in crate::cli) struct Enable {
    #[command(flatten)]
    one: UserArg,

    #[command(flatten)]
    rehearsal: DryRun,
}

/// End a user's lockout; the wrong codes up to now count no more
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user unlock alice")]
pub(in crate::cli) struct Unlock {
    #[command(flatten)]
    one: UserArg,

    #[command(flatten)]
    rehearsal: DryRun,
}

/// Remove a user's files from the gateway; the ledger keeps the user's requests
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user remove alice --yes")]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    one: UserArg,

    #[command(flatten)]
    consent: Confirm,
}

impl Disable {
    pub(super) fn run(self) -> Result<ExitCode> {
        set_enabled(self.one, &self.rehearsal, false)
    }
}

impl Enable {
    pub(super) fn run(self) -> Result<ExitCode> {
        set_enabled(self.one, &self.rehearsal, true)
    }
}

fn set_enabled(one: UserArg, rehearsal: &DryRun, enabled: bool) -> Result<ExitCode> {
    let gateway = one.at.open()?;
    let words = if enabled { "enabled" } else { "disabled" };
    if known(&gateway, &one.name)?.enabled == enabled {
        outln!("{} is {words} already.", one.name)?;
    } else if !rehearsal.is_all(&format!("users.d/{}.toml would say enabled = {enabled}", one.name))? {
        Enrolment::new(&gateway, service_account(&gateway)?).set_enabled(&one.name, enabled)?;
        outln!("{} is {words}.", one.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Unlock {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.one.at.open()?;
        known(&gateway, &self.one.name)?;
        if self
            .rehearsal
            .is_all(&format!("the lockout of {} would end, and the wrong codes would no longer count", self.one.name))?
        {
            return Ok(ExitCode::SUCCESS);
        }
        let was_locked = open_ledger(&gateway)?.unlock(&self.one.name, SystemClock.now())?;
        let words = if was_locked { "is locked out no more" } else { "was not locked out; the count begins anew" };
        outln!("{} {words}.", self.one.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.one.at.open()?;
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        // Only one of the files may exist.
        let files = ["secrets.d", "users.d"].map(|folder| enrolment.file(folder, &self.one.name));
        let there: Vec<_> = files.iter().filter(|file| !file.try_exists().is_ok_and(|exists| !exists)).collect();
        if there.is_empty() {
            bail!("there is no user {}; `mailsudo user list` shows who there is", self.one.name);
        }
        for file in there {
            outln!("{} goes", file.display())?;
        }
        if let Some(status) = self.consent.missing(&format!("Remove {}?", self.one.name))? {
            return Ok(status);
        }
        enrolment.remove(&self.one.name)?;
        outln!("{} is removed.", self.one.name)?;
        Ok(ExitCode::SUCCESS)
    }
}
