//! `mailsudo lockdown`: refuses all requests but those of named users, at once.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::confirm::DryRun;
use super::user::known;
use super::{GatewayArg, complete, record_change};
use crate::audit::{Audit, Event, Line};
use crate::config::{LOCKDOWN, LedgerUrl, Lockdown};
use crate::protocol::UserName;
use crate::remedy::Call;
use crate::system::changes::Changes;
use crate::system::files::Rights;

/// Refuse all requests but those of named users, from the next message on; --end ends it
///
/// Nothing is deferred: each request is refused, recorded and answered, and does not run later; so is one that waits
/// for another run at this moment. A run that has begun is not stopped. With several mail servers, do it on each.
/// docs/incident.md says when to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo lockdown --except carol
  mailsudo lockdown --end")]
pub(super) struct LockdownCommand {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// A user whose requests are still accepted; may be given more than once
    #[arg(long, value_name = "USER", add = ArgValueCompleter::new(complete::users))]
    except: Vec<UserName>,

    /// End the lockdown
    #[arg(long, conflicts_with = "except")]
    end: bool,

    #[command(flatten)]
    dry_run: DryRun,
}

impl LockdownCommand {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open_own()?;
        for name in &self.except {
            known(&gateway, name)?;
        }
        // A file that cannot be read defers each request: this command replaces it, or removes it, too.
        let is_locked = !matches!(gateway.lockdown(), Ok(None));
        if self.end && !is_locked {
            noteln!("There is no lockdown.")?;
            return Ok(ExitCode::SUCCESS);
        }
        let file = gateway.path().join(LOCKDOWN);
        let names: Vec<_> = self.except.iter().map(UserName::as_str).collect();
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let would = if self.end { "would be removed" } else { "would be written" };
        if self.dry_run.is_all(&format!("{} {would}", file.display()))? {
            return Ok(ExitCode::SUCCESS);
        }
        let mut changes = Changes::default();
        if self.end {
            changes.remove(&file);
        } else {
            changes.write(&file, Lockdown::text(&self.except), Rights::READABLE);
        }
        changes.apply()?;
        let mut audit = Audit::new(gateway.settings(), None);
        let line = Line::new(Event::Lockdown).field("state", if self.end { "ended" } else { "begun" });
        audit.note(if self.end { line } else { line.field("except", &names) });
        let change = if self.end { "lockdown --end".to_owned() } else { format!("lockdown --except {names}") };
        record_change(&gateway, &change);
        // The file is this host's; others read their own.
        let (here, others) = match gateway.settings().ledger.url {
            LedgerUrl::Sqlite(_) => ("", String::new()),
            LedgerUrl::Postgres(_) => (
                " on this host",
                format!(" The other servers have a file of their own; {} lists them.", Call::LedgerNodes),
            ),
        };
        if self.end {
            noteln!("The lockdown has ended{here}: requests are accepted again.{others}")?;
        } else {
            noteln!(
                "Locked down{here}: from the next message on, requests of {names} are accepted, and all others refused.{others}"
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
