//! `mailsudo config`: the settings in force, for scripts.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

use super::GatewayArg;

/// Show the configuration
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    Get(Get),
}

/// Print one setting, or its default if the file does not set it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo config get execution.longest")]
pub(super) struct Get {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The setting
    key: Setting,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Setting {
    /// The gateway's name
    Gateway,
    /// Its mail address
    Address,
    /// The account that Postfix runs deliver as
    #[value(name = "service_user")]
    ServiceUser,
    /// The longest time limit of any command, in seconds
    #[value(name = "execution.longest")]
    ExecutionLongest,
}

impl Config {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self::Get(get) = self;
        let gateway = get.gateway_arg.open()?;
        let settings = gateway.settings();
        match get.key {
            Setting::Gateway => outln!("{}", settings.gateway)?,
            Setting::Address => outln!("{}", settings.address)?,
            Setting::ServiceUser => outln!("{}", settings.service_user)?,
            Setting::ExecutionLongest => outln!("{}", settings.execution.longest.as_duration().as_secs())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
