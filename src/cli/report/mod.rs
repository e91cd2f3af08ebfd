//! `mailsudo report`: who ran what in a span of time. In: the ledger. Out: text, HTML or a mail.

mod html;
mod summary;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;

use super::failure::usage;
use super::moment::moment;
use super::{GatewayArg, open_ledger, stdout};
use crate::config::MailAddress;
use crate::ledger::Filter;
use crate::limits::Timeouts;
use crate::protocol::Timestamp;
use crate::reply::{ReplyTransport, report_message, visible};
use crate::system::clock::{Clock, SystemClock};
use crate::system::files::{Rights, replace};

use summary::{Summary, day};

/// Show who ran what: runs, refusals, approvals and the slowest commands
///
/// It reads the requests of the span from the ledger; what pruning has removed is not in it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo report --since 30d
  mailsudo report --since 2026-11-01 --until 2026-12-01
  mailsudo report --html --output /root/mailsudo.html
  mailsudo report --to root@example.com")]
pub(super) struct Report {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Since this time: a span back from now (2h, 7d), a day (2026-11-23) or a time (2026-11-23 10:15, local)
    #[arg(long, value_name = "WHEN", default_value = "7d", value_parser = moment)]
    since: Timestamp,

    /// Until this time, which is included [default: now]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,

    /// As one HTML page, without scripts, for a screen and for paper
    #[arg(long, conflicts_with = "to")]
    html: bool,

    /// Write to this file, in one step, instead of standard output
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    output: Option<PathBuf>,

    /// Send it as text to this address, instead of printing it
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: Option<MailAddress>,

    /// The sendmail(1), or the mail server of this host, that sends it
    #[arg(long, value_name = "SENDMAIL|URL", default_value = "/usr/sbin/sendmail")]
    reply_via: PathBuf,
}

fn address(text: &str) -> Result<MailAddress, String> {
    MailAddress::try_from(text.to_owned())
}

impl Report {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let settings = gateway.settings();
        let now = SystemClock.now();
        let (since, until) = (self.since, self.until.map_or(now, |until| until.min(now)));
        if since > until {
            return Err(usage("the report would end before it begins: --since is after --until, or after now"));
        }
        let mut summary = Summary::new(settings.gateway.to_string(), since, until);
        let filter = Filter { since: Some(since), until: self.until, ..Filter::default() };
        open_ledger(&gateway)?.list(&filter, &mut |record| {
            summary.add(&record);
            Ok(())
        })?;
        if let Some(to) = &self.to {
            let [first, last] = [since, until].map(|time| day(time).unwrap_or_else(|| time.to_string()));
            let subject = format!("mailsudo {}: report from {first} to {last}", settings.gateway);
            let message = report_message(settings, to, subject, visible(&text::text(&summary)), now);
            let transport = ReplyTransport::via(self.reply_via).map_err(|what| anyhow!(what))?;
            transport.send(&message, &Timeouts::DEFAULT).map_err(|deferral| anyhow!(deferral.detail))?;
            noteln!("The report was sent to {to}.")?;
            return Ok(ExitCode::SUCCESS);
        }
        let report = if self.html { html::page(&summary) } else { text::text(&summary) };
        match &self.output {
            // A file is shown on a terminal later.
            Some(path) => replace(path, visible(&report).as_bytes(), Rights { mode: 0o600, owner: None })?,
            None => stdout::text(&report)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
