//! `mailsudo ledger copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::check::count;
use crate::cli::confirm::DryRun;
use crate::cli::failure::usage;
use crate::cli::{GatewayArg, Progress, trusted_for, when};
use crate::config::LedgerUrl;
use crate::ledger::{Filter, LedgerError, LedgerQueries, Owner, Record, Story};
use crate::limits::COPY;
use crate::protocol::Timestamp;
use crate::system::clock::{Clock, SystemClock};

/// Copy a ledger in SQLite into one in PostgreSQL, with its audit chain, approvals, watermark and lockouts
///
/// Stop deliveries first: what is recorded during the copy may be missing in it, and could run again. A copy that was
/// interrupted is continued by the same command; what is there already stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mailsudo ledger copy sqlite:/var/lib/mailsudo/ledger.db \\
    'postgresql://mailsudo_owner@/mailsudo?host=/run/postgresql'")]
pub(in crate::cli) struct Copy {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The ledger in SQLite
    #[arg(value_parser = ledger_url)]
    from: LedgerUrl,

    /// The ledger in PostgreSQL, which `mailsudo ledger init` has made, as the role that owns it
    #[arg(value_parser = ledger_url)]
    to: LedgerUrl,

    /// The file with that role's password
    #[arg(long, value_name = "FILE")]
    owner_password_file: Option<PathBuf>,

    #[command(flatten)]
    dry_run: DryRun,
}

fn ledger_url(text: &str) -> Result<LedgerUrl, String> {
    LedgerUrl::try_from(text.to_owned())
}

impl Copy {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (LedgerUrl::Sqlite(path), LedgerUrl::Postgres(url)) = (&self.from, &self.to) else {
            return Err(usage("a ledger is copied from sqlite: to postgresql: only"));
        };
        let gateway = self.gateway_arg.open()?;
        let trusted = trusted_for(&gateway)?;
        let source = crate::ledger::open_file(path, trusted.clone())?;
        let password_file = self.owner_password_file.as_deref();
        let owner = Owner { url, password_file, settings: gateway.settings(), trusted };
        let mut target = crate::ledger::open_as(&owner)?;
        if let Some(begins) = source.checkpoint()?
            && begins.gateway != gateway.settings().gateway.as_str()
        {
            bail!("{} is the ledger of the gateway {}", self.from, begins.gateway);
        }
        let health = source.health()?;
        if self.dry_run.is_all(&format!("{} would be copied to {}", count(health.requests, "request"), self.to))? {
            return Ok(ExitCode::SUCCESS);
        }
        source.freeze()?;
        // First, so that a copy that is interrupted lets nothing run that the source has pruned.
        let lockouts = source.lockouts()?;
        target.import_marks(health.watermark, &lockouts)?;
        let events = target.import_chain(source.as_ref())?;
        let now = SystemClock.now();
        let (read, written) = records(source.as_ref(), target.as_mut(), events.is_none().then_some(now))?;
        target.import_counters(&source.tally(now)?.counters)?;
        source.thaw()?;
        outln!(
            "Copied: {} (already there: {}), {}.",
            count(written, "request"),
            read - written,
            count(lockouts.len(), "lockout")
        )?;
        match events {
            Some(events) => outln!("The audit chain goes on: {} copied.", count(events, "event"))?,
            None if written > 0 => outln!(
                "The audit chain is not copied, because {} has one of its own, or {} has none. Requests \
                 without an event: {written}. Keep {}.",
                self.to,
                self.from,
                self.from
            )?,
            None => {}
        }
        if let Some(watermark) = health.watermark {
            outln!("Requests signed up to {} stay refused.", when(watermark))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Copies all records, the oldest first, with what is known of approvals. Returns how many were read, and how many were
/// not there yet. `unchained` is that of [`LedgerQueries::import`].
fn records(
    source: &dyn LedgerQueries,
    target: &mut dyn LedgerQueries,
    unchained: Option<Timestamp>,
) -> Result<(u64, u64), LedgerError> {
    let (mut read, mut written) = (0, 0);
    let mut batch: Vec<Record> = Vec::new();
    let mut bytes = 0;
    let mut progress = Progress::show("copying");
    let filter = Filter { oldest_first: true, ..Filter::default() };
    let mut write = |batch: &mut Vec<Record>| -> Result<(), LedgerError> {
        written += target.import(batch, unchained)?;
        read += batch.len() as u64;
        let mut stories = Vec::new();
        for record in batch.drain(..) {
            let story = source.story(&record.id)?;
            if story != Story::default() {
                stories.push((record, story));
            }
        }
        target.import_stories(&stories)?;
        progress = Progress::show(&format!("{read} copied"));
        Ok(())
    };
    source.list(&filter, &mut |record| {
        bytes += record.reply.as_ref().map_or(0, |reply| reply.message.len());
        batch.push(record);
        if batch.len() >= COPY.0 || bytes >= COPY.1 {
            write(&mut batch)?;
            bytes = 0;
        }
        Ok(())
    })?;
    write(&mut batch)?;
    drop(progress);
    Ok((read, written))
}
