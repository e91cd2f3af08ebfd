//! `mailsudo explain`: why did it not run?

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{At, message_input, open_ledger};
use crate::clock::SystemClock;
use crate::explain::explain;
use crate::intake::Envelope;
use crate::ledger::Ledger;

/// Take one message through every stage, and say what each saw and decided
///
/// Nothing is run, recorded, sent or used up, and the mail need not be in the queue. Secrets are never printed. Exit
/// status 0: the message would run. 1: it would not; the last lines say why.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  postcat -qbh 4XYZ | mailsudo explain")]
pub(super) struct Explain {
    #[command(flatten)]
    at: At,

    /// The envelope sender to assume
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<OsString>,

    /// The envelope recipient to assume
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<OsString>,

    /// The SMTP client's address to assume
    #[arg(long, value_name = "IP")]
    client_address: Option<OsString>,

    /// The SASL login to assume; empty for none
    #[arg(long, value_name = "LOGIN")]
    sasl_username: Option<OsString>,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.at.open()?;
        let envelope = Envelope {
            sender: self.sender,
            recipient: self.recipient,
            queue_id: None,
            client_address: self.client_address,
            sasl_username: self.sasl_username,
        };
        let open = || open_ledger(&gateway).map(|ledger| Box::new(ledger) as Box<dyn Ledger>);
        let mut said = Ok(());
        let would_run = explain(&gateway, &envelope, &mut message_input(), &SystemClock, &open, &mut |line| {
            if said.is_ok() {
                said = say!("{line}");
            }
        });
        said?;
        Ok(if would_run { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
