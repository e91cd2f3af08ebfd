//! `mailsudo ledger`: maintenance of the ledger.

mod check;
mod copy;
mod init;
mod nodes;

pub(super) use init::postgres_url;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::confirm::{Confirm, DryRun};
use super::ledger_restore::Restore;
use super::{GatewayArg, Progress, open_ledger, print_json, when};
use crate::config::{LedgerUrl, Span};
use crate::system::clock::{Clock, SystemClock};

/// Maintain the ledger
#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    Init(init::Init),
    Migrate(init::Migrate),
    Status(Status),
    Check(check::Check),
    Prune(Prune),
    Vacuum(Vacuum),
    Backup(Backup),
    Restore(Restore),
    Copy(copy::Copy),
    Nodes(nodes::Nodes),
    Resume(nodes::Resume),
}

/// Show where the ledger is, what it holds and its size
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger status --json")]
pub(super) struct Status {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Remove requests with a sent reply that are older than a span; removed requests stay refused
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger prune --older-than 30d --yes")]
pub(super) struct Prune {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Older than this; never under 7d
    #[arg(long, value_name = "SPAN", value_parser = span)]
    older_than: Span,

    #[command(flatten)]
    confirm: Confirm,
}

/// Return free space to the file system; deliveries wait until it is done
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger vacuum")]
pub(super) struct Vacuum {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// Write a consistent copy to a new file, while deliveries go on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger backup /var/backups/mailsudo-ledger.db")]
pub(super) struct Backup {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The new file
    file: PathBuf,

    #[command(flatten)]
    dry_run: DryRun,
}

/// How many are removed in one transaction, so that deliveries wait only a short time.
const BATCH: u32 = 1000;

fn span(text: &str) -> Result<Span, String> {
    let span = Span::try_from(text.to_owned())?;
    if span < Span::seconds(7 * 86_400) {
        return Err("at least 7d: a pruned request could run again".to_owned());
    }
    Ok(span)
}

impl Ledger {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Init(init) => init.run(),
            Self::Migrate(migrate) => migrate.run(),
            Self::Status(status) => status.run(),
            Self::Check(check) => check.run(),
            Self::Prune(prune) => prune.run(),
            Self::Vacuum(vacuum) => vacuum.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Copy(copy) => copy.run(),
            Self::Nodes(nodes) => nodes.run(),
            Self::Resume(resume) => resume.run(),
        }
    }
}

impl Status {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let place = match &gateway.settings().ledger.url {
            LedgerUrl::Sqlite(path) => path.display().to_string(),
            url @ LedgerUrl::Postgres(_) => url.to_string(),
        };
        let health = open_ledger(&gateway)?.health()?;
        if self.json {
            print_json(&json!({
                "path": place,
                "requests": health.requests,
                "oldest": health.span.map(|(oldest, _)| oldest.to_string()),
                "newest": health.span.map(|(_, newest)| newest.to_string()),
                "watermark": health.watermark.map(|watermark| watermark.to_string()),
                "lost_until": health.lost_until.map(|until| until.to_string()),
                "bytes": health.bytes.0,
                "free_bytes": health.bytes.1,
            }))?;
        } else {
            outln!("path       {place}")?;
            outln!("requests   {}", health.requests)?;
            if let Some((oldest, newest)) = health.span {
                outln!("oldest     {}\nnewest     {}", when(oldest), when(newest))?;
            }
            outln!(
                "pruned     {}",
                health.watermark.map_or_else(|| "nothing".to_owned(), |watermark| format!("up to {}", when(watermark)))
            )?;
            if let Some(until) = health.lost_until {
                outln!("replaced   refuses what was signed up to {}", when(until))?;
            }
            outln!("size       {} bytes, {} of them free", health.bytes.0, health.bytes.1)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Prune {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let now = SystemClock.now();
        let before = now.minus(self.older_than.as_duration());
        outln!("Requests with a reply sent before {} would be removed permanently.", when(before))?;
        if let Some(status) = self.confirm.missing("Remove them?")? {
            return Ok(status);
        }
        let mut ledger = open_ledger(&gateway)?;
        let mut gone: u64 = 0;
        let mut progress = Progress::show("removing");
        loop {
            let batch = ledger.prune(before, BATCH, now)?;
            gone += u64::from(batch);
            if batch < BATCH {
                break;
            }
            progress = Progress::show(&format!("{gone} removed"));
        }
        drop(progress);
        noteln!("Removed: {gone}.")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Vacuum {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let mut ledger = open_ledger(&gateway)?;
        let (before, free) = ledger.health()?.bytes;
        if self.dry_run.is_all(&format!("{free} of {before} bytes would be returned"))? {
            return Ok(ExitCode::SUCCESS);
        }
        let progress = Progress::show("compacting");
        ledger.vacuum()?;
        drop(progress);
        noteln!("{before} bytes before, {} after.", ledger.health()?.bytes.0)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Backup {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        if self.file.exists() {
            bail!("{} exists already; choose a new file", self.file.display());
        }
        if self.dry_run.is_all(&format!("{} would be written", self.file.display()))? {
            return Ok(ExitCode::SUCCESS);
        }
        // Made beforehand, so that the copy has this mode from its first byte on.
        let rights = crate::system::files::Rights { mode: 0o600, owner: None };
        crate::system::files::create(&self.file, b"", rights)?;
        let _progress = Progress::show("copying");
        if let Err(error) = open_ledger(&gateway).and_then(|ledger| Ok(ledger.backup(&self.file)?)) {
            let _ = std::fs::remove_file(&self.file);
            return Err(error).context("no copy was made");
        }
        noteln!("The copy is {}.", self.file.display())?;
        Ok(ExitCode::SUCCESS)
    }
}
