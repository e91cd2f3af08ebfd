//! `mailsudo check`: finds what can make the gateway fail.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::stdout::{self, Colour};
use super::{GatewayArg, Progress, print_json};
use crate::check::{Depth, Level, check};
use crate::system::clock::{Clock, SystemClock};

/// Check what can make a gateway fail, and print the remedies
///
/// One line for each thing: ok, warning or error, with the remedy; with -q, what is correct is left out. Run it as root, who
/// may read all files. Exit status 0: all is well. 1: warnings. 2: errors.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo check --json | jq '.findings[] | select(.level != \"ok\")'")]
pub(super) struct Check {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Read all of the ledger, too, and say whether it is sound; for minutes, if it is large
    #[arg(long)]
    deep: bool,

    /// Print JSON, for monitoring
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let progress = if self.deep { Progress::with_time("looking") } else { Progress::show("looking") };
        let depth = if self.deep { Depth::Deep } else { Depth::Quick };
        let report = check(&self.gateway_arg.config, depth, SystemClock.now());
        drop(progress);
        let shown: Vec<_> =
            report.findings.iter().filter(|finding| !stdout::is_quiet() || finding.level != Level::Ok).collect();
        if self.json {
            let findings = shown.iter().map(|finding| {
                json!({ "level": finding.level.word(), "about": finding.about, "what": finding.what, "remedy": finding.remedy })
            });
            print_json(&json!({ "worst": report.worst().word(), "findings": findings.collect::<Vec<_>>() }))?;
        } else {
            for finding in shown {
                let colour = match finding.level {
                    Level::Ok => Colour::Green,
                    Level::Warning => Colour::Yellow,
                    Level::Error => Colour::Red,
                };
                let level = format!("{:<8}", finding.level.word());
                stdout::coloured("", colour, &level, &format!("{}: {}", finding.about, finding.what))?;
                if !finding.remedy.is_empty() {
                    outln!("        remedy: {}", finding.remedy)?;
                }
            }
        }
        Ok(ExitCode::from(match report.worst() {
            Level::Ok => 0,
            Level::Warning => 1,
            Level::Error => 2,
        }))
    }
}
