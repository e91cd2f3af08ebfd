//! `mailsudo user disable | enable | unlock | remove`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{DryRun, UserArg, known};
use crate::cli::{confirm::Confirm, open_ledger, record_change, service_account};
use crate::enrolment::Enrolment;
use crate::remedy::Call;
use crate::system::clock::{Clock, SystemClock};

/// Refuse a user from the next message on; the files stay
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user disable alice")]
pub(in crate::cli) struct Disable {
    #[command(flatten)]
    user_arg: UserArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// Accept requests of a disabled user again
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user enable alice")]
pub(in crate::cli) struct Enable {
    #[command(flatten)]
    user_arg: UserArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// End a user's lockout; the wrong codes up to now no longer count
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user unlock alice")]
pub(in crate::cli) struct Unlock {
    #[command(flatten)]
    user_arg: UserArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// Remove a user's files from the gateway; the ledger keeps the user's requests
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user remove alice --yes")]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    user_arg: UserArg,

    #[command(flatten)]
    confirm: Confirm,
}

impl Disable {
    pub(super) fn run(self) -> Result<ExitCode> {
        set_enabled(self.user_arg, &self.dry_run, false)
    }
}

impl Enable {
    pub(super) fn run(self) -> Result<ExitCode> {
        set_enabled(self.user_arg, &self.dry_run, true)
    }
}

fn set_enabled(user_arg: UserArg, dry_run: &DryRun, enabled: bool) -> Result<ExitCode> {
    let gateway = user_arg.gateway_arg.open()?;
    let words = if enabled { "enabled" } else { "disabled" };
    if known(&gateway, &user_arg.name)?.enabled == enabled {
        noteln!("{} is {words} already.", user_arg.name)?;
    } else if !dry_run.is_all(&format!("users.d/{}.toml would say enabled = {enabled}", user_arg.name))? {
        Enrolment::new(&gateway, service_account(&gateway)?).set_enabled(&user_arg.name, enabled)?;
        record_change(&gateway, &format!("user {} {}", if enabled { "enable" } else { "disable" }, user_arg.name));
        noteln!("{} is {words}.", user_arg.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Unlock {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        known(&gateway, &self.user_arg.name)?;
        if self.dry_run.is_all(&format!(
            "a lockout of {} would end, and the wrong codes up to now would no longer count",
            self.user_arg.name
        ))? {
            return Ok(ExitCode::SUCCESS);
        }
        let was_locked = open_ledger(&gateway)?.unlock(&self.user_arg.name, SystemClock.now())?;
        record_change(&gateway, &format!("user unlock {}", self.user_arg.name));
        let words = if was_locked {
            "is no longer locked out"
        } else {
            "was not locked out; the count of wrong codes begins again"
        };
        noteln!("{} {words}.", self.user_arg.name)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        // Only one of the files may exist.
        let files = ["secrets.d", "users.d"].map(|folder| enrolment.file(folder, &self.user_arg.name));
        let there: Vec<_> = files.iter().filter(|file| !file.try_exists().is_ok_and(|exists| !exists)).collect();
        if there.is_empty() {
            bail!("there is no user {}; the users: {}", self.user_arg.name, Call::ListUsers);
        }
        for file in there {
            outln!("{} would be removed", file.display())?;
        }
        if let Some(status) = self.confirm.missing(&format!("Remove {}?", self.user_arg.name))? {
            return Ok(status);
        }
        enrolment.remove(&self.user_arg.name)?;
        record_change(&gateway, &format!("user remove {}", self.user_arg.name));
        noteln!("{} is removed.", self.user_arg.name)?;
        Ok(ExitCode::SUCCESS)
    }
}
