//! `mailsudo explain`: why a request did not run.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{GatewayArg, message_input, trusted_for};
use crate::intake::Envelope;
use crate::limits::Timeouts;
use crate::pipeline::{self, Context, End, Mode, Trace};
use crate::system::clock::SystemClock;

/// Process one message without effects, and print what each stage decides
///
/// It runs, records, sends and uses up nothing. The mail need not be in the queue. Secrets are never printed. Exit
/// status 0: the message would run. 1: it would not; the last lines say why.
#[derive(Debug, Args)]
#[command(
    override_usage = "mailsudo explain [OPTIONS] < MESSAGE",
    after_help = "Example:\n  postcat -qbh 4XYZ | mailsudo explain"
)]
pub(super) struct Explain {
    #[command(flatten)]
    gateway_arg: GatewayArg,

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
        let gateway = self.gateway_arg.open()?;
        let envelope = Envelope {
            sender: self.sender,
            recipient: self.recipient,
            queue_id: None,
            client_address: self.client_address,
            sasl_username: self.sasl_username,
        };
        let context = Context {
            gateway: &gateway,
            trusted: trusted_for(&gateway)?,
            envelope: &envelope,
            clock: &SystemClock,
            timeouts: Timeouts::DEFAULT,
        };
        let mut trace = Trace::new(&gateway);
        // A deferral is one of the lines.
        let end = pipeline::run(&context, &mut message_input(), Mode::Explain, &mut trace);
        for line in trace.lines() {
            outln!("{line}")?;
        }
        Ok(if matches!(end, Ok(End::WouldRun)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
