//! `mailsudo ledger nodes` and `mailsudo ledger resume`: what several mail servers with one ledger need.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::audit::Audit;
use crate::cli::failure::usage;
use crate::cli::table::Table;
use crate::cli::{GatewayArg, open_ledger, print_json, trusted_for};
use crate::config::{Gateway, LedgerUrl};
use crate::intake::Envelope;
use crate::ledger::{LedgerQueries, Node};
use crate::limits::Timeouts;
use crate::pipeline::{self, Context};
use crate::reply::ReplyTransport;
use crate::system::clock::{Clock, SystemClock};

/// List the mail servers that use the ledger: version, configuration, clock, when last seen
///
/// This host's own line is written first. DIGEST is over users, secrets, commands and settings: where it differs, they
/// do. CLOCK is how far the server's clock was ahead of PostgreSQL's.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger nodes")]
pub(in crate::cli) struct Nodes {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Send the replies that deliveries on dead mail servers have left unsent; run nothing
///
/// For a timer (mailsudo-resume.timer) on each of several mail servers with one ledger. It also writes this host's line
/// for `mailsudo ledger nodes`. Exit status 75: the ledger or the mail server cannot serve.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger resume --reply-via /usr/sbin/sendmail")]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Send replies by this sendmail(1), or by the mail server of this host at smtp://127.0.0.1:25
    #[arg(long, value_name = "SENDMAIL|URL")]
    reply_via: PathBuf,
}

/// How many digits of a digest are shown.
const DIGITS: usize = 12;

/// Writes this host's line.
fn see(gateway: &Gateway, ledger: &mut dyn LedgerQueries) -> Result<()> {
    Ok(ledger.see_node(&gateway.digest()?, SystemClock.now())?)
}

impl Nodes {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let url = &gateway.settings().ledger.url;
        if matches!(url, LedgerUrl::Sqlite(_)) {
            bail!(
                "{url} is the ledger of this host alone; [ledger] url of several mail servers begins with postgresql://"
            );
        }
        let mut ledger = open_ledger(&gateway)?;
        see(&gateway, ledger.as_mut())?;
        let nodes = ledger.nodes()?;
        if self.json {
            return print_json(&nodes.iter().map(about).collect::<Vec<_>>());
        }
        let mut table = Table::new(["NAME", "VERSION", "DIGEST", "SEEN", "CLOCK"]);
        for node in &nodes {
            let digest = node.digest.as_deref().and_then(|digest| digest.get(..DIGITS)).unwrap_or("-");
            table.row([
                node.name.as_str().into(),
                node.version.as_str().into(),
                digest.into(),
                format!("{} s ago", node.seen).into(),
                format!("{:+} s", node.ahead).into(),
            ]);
        }
        table.print()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn about(node: &Node) -> serde_json::Value {
    json!({
        "name": node.name,
        "version": node.version,
        "digest": node.digest,
        "seconds_since_seen": node.seen,
        "clock_ahead_seconds": node.ahead,
    })
}

impl Resume {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let transport = ReplyTransport::via(self.reply_via).map_err(|what| usage(format!("--reply-via: {what}")))?;
        let envelope = Envelope::default();
        let context = Context {
            gateway: &gateway,
            trusted: trusted_for(&gateway)?,
            envelope: &envelope,
            clock: &SystemClock,
            timeouts: Timeouts::DEFAULT,
        };
        let mut audit = Audit::new(gateway.settings(), None);
        match pipeline::resume(&context, &transport, &mut audit) {
            Ok(resumed) => {
                see(&gateway, open_ledger(&gateway)?.as_mut())?;
                outln!("Sent: {}. In work: {}.", resumed.sent, resumed.left)?;
                if resumed.orphaned > 0 {
                    outln!("Without a reply, because the user has no files any more: {}.", resumed.orphaned)?;
                }
                if resumed.failed > 0 {
                    outln!("Not sent now: {}; the log says why.", resumed.failed)?;
                    return Ok(ExitCode::from(75));
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(deferral) => {
                crate::cli::tell(format_args!("mailsudo: {}: {}", deferral.part, deferral.detail));
                Ok(ExitCode::from(75))
            }
        }
    }
}
