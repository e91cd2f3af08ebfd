//! `mailsudo ledger restore`: a backup put in the ledger's place.

use std::fs::File;
use std::io::{Read, stdin};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::confirm::Confirm;
use super::{GatewayArg, service_account, when};
use crate::check::count;
use crate::config::{Gateway, LedgerUrl, Trusted};
use crate::ledger::{self, Restored};
use crate::system::clock::{Clock, SystemClock};

/// Put a backup in the place of the ledger; requests signed before now stay refused
///
/// It checks the copy, gives it the right owner and mode, and raises the watermark, because the copy does not have the
/// requests that came after it. Where a ledger is there already, it is kept beside it under another name, and the
/// watermark is as far in the future as a signed time may be (max_future): a delivery that has the former ledger open
/// runs nothing that could run again. Until then users get the answer that their request is too old; they sign it again
/// later.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger restore /var/backups/mailsudo-ledger.db")]
pub(super) struct Restore {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The copy, from `mailsudo ledger backup`; - for standard input
    file: PathBuf,

    #[command(flatten)]
    confirm: Confirm,
}

impl Restore {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let path = ledger_path(&gateway)?;
        let is_there = path.exists();
        if self.file.as_os_str() == "-" {
            return restore(&gateway, &path, &mut stdin().lock());
        }
        let shown = self.file.display();
        let file = File::open(&self.file).with_context(|| format!("cannot read {shown}"))?;
        let former = if is_there { "; the former one would be kept beside it" } else { "" };
        outln!("{shown} would be put at {}{former}.", path.display())?;
        if let Some(status) = self.confirm.missing("Restore it?")? {
            return Ok(status);
        }
        // Root would follow links that the service user puts into its folder, so the service user writes it. It gets
        // the open file, which it may have no right to open.
        let Some(account) = service_account(&gateway)? else {
            return restore(&gateway, &path, &mut &file);
        };
        let status = Command::new(std::env::current_exe()?)
            .args(["ledger", "restore", "-", "--config"])
            .arg(gateway.path())
            .stdin(file)
            .uid(account.uid)
            .gid(account.gid)
            .current_dir("/")
            .status()
            .context("cannot act as the service user")?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn ledger_path(gateway: &Gateway) -> Result<PathBuf> {
    match &gateway.settings().ledger.url {
        LedgerUrl::Sqlite(path) => Ok(path.clone()),
        LedgerUrl::Postgres(_) => bail!(
            "the ledger is in PostgreSQL, which restores it with its own tools: docs/operations.md says how, and what to do so \
             that nothing runs again"
        ),
    }
}

fn restore(gateway: &Gateway, path: &Path, copy: &mut dyn Read) -> Result<ExitCode> {
    if let Some(folder) = path.parent()
        && folder.try_exists().is_ok_and(|exists| !exists)
    {
        let (user, shown) = (&gateway.settings().service_user, folder.display());
        bail!(
            "there is no folder {shown}: mount the missing file system, or install -d -m 0700 -o {user} -g {user} {shown}"
        );
    }
    let now = SystemClock.now();
    let max_future = gateway.settings().max_future.as_duration();
    let Restored { requests, watermark, kept } = ledger::restore(path, copy, Trusted::caller(), now, max_future)?;
    noteln!(
        "The ledger {} has {}; what was signed up to {} is refused.",
        path.display(),
        count(requests, "request"),
        when(watermark)
    )?;
    if let Some(kept) = kept {
        noteln!("The former ledger is {}.", kept.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
