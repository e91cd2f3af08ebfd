//! `mailsudo ledger check`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::check::count;
use crate::cli::{GatewayArg, Progress, open_ledger, print_json};

/// Read all of the ledger, and say whether it is sound
///
/// Deliveries go on. Exit status 0: it is sound. 1: it is damaged.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger check --json")]
pub(in crate::cli) struct Check {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let ledger = open_ledger(&gateway)?;
        let progress = Progress::with_time("reading all of the ledger");
        let examined = ledger.examine(&mut |read| progress.count(read))?;
        drop(progress);
        if self.json {
            print_json(&json!({ "requests": examined.requests, "damage": examined.damage }))?;
        } else {
            match &examined.damage {
                None => outln!("The ledger is sound, and holds {}.", count(examined.requests, "request"))?,
                Some(damage) => outln!("The ledger is damaged: {damage}")?,
            }
        }
        Ok(if examined.damage.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
