//! `mailsudo config`: the settings in force, and changes of them without an editor.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::command_change::{apply, planned};
use super::confirm::Confirm;
use super::failure::usage;
use super::table::Table;
use super::{GatewayArg, print_json};
use crate::edit::{self, Shown, settings_file};
use crate::sudoers::place;
use crate::system::changes::Changes;
use crate::system::files::Rights;

/// Show and change the settings
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    Get(Get),
    Show(Show),
    Set(Set),
    Unset(Unset),
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

/// Show all settings in force, each with its origin: a line of the file, or the default
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo config show | grep -v default")]
pub(super) struct Show {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Set one setting: check it, show the difference, ask, and write mailsudo.toml, and the sudo rules if they change with
/// it
///
/// Comments in the file stay. The value is TOML, or else a string. After a change of address, service_user or
/// execution.longest, run `mailsudo postfix install`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo config set max_age 15m
  mailsudo config set intake.recipients '[\"ops@example.com\"]'")]
pub(super) struct Set {
    /// The setting, such as max_age or execution.longest
    key: String,

    /// Its new value
    value: String,

    #[command(flatten)]
    how: How,
}

/// Remove one setting from mailsudo.toml, so that its default is in force
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo config unset max_age")]
pub(super) struct Unset {
    /// The setting, such as max_age or execution.longest
    key: String,

    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The file of the sudo rules [default: that of `mailsudo sudoers --install`]
    #[arg(long, value_name = "FILE")]
    sudoers_file: Option<PathBuf>,

    #[command(flatten)]
    confirm: Confirm,
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
        match self {
            Self::Get(get) => get.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
            Self::Unset(unset) => unset.run(),
        }
    }
}

impl Get {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let settings = gateway.settings();
        match self.key {
            Setting::Gateway => outln!("{}", settings.gateway)?,
            Setting::Address => outln!("{}", settings.address)?,
            Setting::ServiceUser => outln!("{}", settings.service_user)?,
            Setting::ExecutionLongest => outln!("{}", settings.execution.longest.as_duration().as_secs())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let file = settings_file(gateway.path());
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let rows = edit::in_force(&text, &gateway.settings().execution.mailsudo.display().to_string())?;
        if self.json {
            let rows = rows.iter().map(|Shown { key, value, line }| {
                json!({ "key": key, "value": value, "file": line.map(|_| &file), "line": line })
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        let mut table = Table::new(["KEY", "ORIGIN", "VALUE"]);
        for Shown { key, value, line } in rows {
            let origin = line.map_or_else(|| "default".to_owned(), |line| format!("mailsudo.toml:{line}"));
            table.row([key.into(), origin.into(), if value.is_empty() { "(none)".into() } else { value.into() }]);
        }
        table.print()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Set {
    fn run(self) -> Result<ExitCode> {
        self.how.change(&self.key, |text| edit::set(text, &self.key, &self.value))
    }
}

impl Unset {
    fn run(self) -> Result<ExitCode> {
        self.how.change(&self.key, |text| edit::unset(text, &self.key))
    }
}

impl How {
    fn change(&self, key: &str, change: impl FnOnce(&str) -> Result<String>) -> Result<ExitCode> {
        if !edit::is_setting(key) {
            return Err(usage(format!("there is no setting {key}; `mailsudo config show` lists them")));
        }
        let gateway = self.gateway_arg.open_own()?;
        let file = settings_file(gateway.path());
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut changes = Changes::default();
        changes.write(&file, change(&text)?, Rights::READABLE);
        let rules = self.sudoers_file.clone().unwrap_or_else(|| place(&gateway));
        apply(&gateway, "config", &planned(&gateway, changes, &rules)?, &self.confirm)
    }
}
