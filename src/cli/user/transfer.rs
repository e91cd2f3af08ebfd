//! `mailsudo user export | import`: users for a second host.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use zeroize::Zeroizing;

use crate::cli::command_change::apply;
use crate::cli::confirm::Confirm;
use crate::cli::{GatewayArg, complete, service_account};
use crate::edit;
use crate::enrolment::Enrolment;
use crate::protocol::UserName;
use crate::system::files::{Rights, create};

/// Write users with their secrets to a file, for `mailsudo user import` on another host
///
/// The file holds every secret of these users: it gets mode 0600. Take it to the other host in a way that you trust,
/// and delete it on both.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user export alice bob --output users.toml")]
pub(in crate::cli) struct Export {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The users [default: all]
    #[arg(add = ArgValueCompleter::new(complete::users))]
    names: Vec<UserName>,

    /// The new file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Enrol the users of a file from `mailsudo user export`, with the same secrets
///
/// Their phones work for both hosts. If this gateway has another name, each user needs a key file for it too; it is
/// written here. A code that one gateway has accepted is not known to the other; a request is for one gateway by its
/// name.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user import users.toml --dry-run")]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The file; - for standard input
    file: PathBuf,

    /// Replace users that exist already
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    confirm: Confirm,
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let names = if self.names.is_empty() { gateway.user_names()? } else { self.names };
        let text = edit::export(&gateway, &names)?;
        create(&self.output, text.as_bytes(), Rights { mode: 0o600, owner: None })?;
        noteln!("{} has the secrets of: {}.", self.output.display(), list(&names))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let mut text = Zeroizing::new(String::new());
        let shown = self.file.display();
        if self.file.as_os_str() == "-" {
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        } else {
            text = Zeroizing::new(std::fs::read_to_string(&self.file).with_context(|| format!("cannot read {shown}"))?);
        }
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        let plan = edit::import(&gateway, &enrolment, &text, self.replace)
            .with_context(|| format!("{shown} is not imported"))?;
        let own = gateway.settings().gateway.as_str();
        let status = apply(&gateway, &format!("user import {}", list(&plan.names)), &plan.changes, &self.confirm)?;
        let is_done = !plan.changes.is_empty() && plan.changes.needed()?.is_empty();
        if is_done {
            noteln!("Imported: {}.", list(&plan.names))?;
        }
        if is_done && plan.from != own {
            for name in &plan.names {
                let key_file = super::default_key_file(&gateway, name);
                let key = enrolment.secrets(name)?.key;
                enrolment.write_key_file(name, &key, &key_file)?;
                super::say_key_file(&key_file, &key, &gateway)?;
            }
        }
        Ok(status)
    }
}

fn list(names: &[UserName]) -> String {
    names.iter().map(UserName::as_str).collect::<Vec<_>>().join(", ")
}
