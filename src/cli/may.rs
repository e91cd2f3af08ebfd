//! `mailsudo may`: whether a user may run a command, and which rule decides. It runs nothing and opens no ledger.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::sign::argument;
use super::{GatewayArg, complete, print_json};
use crate::authorize::{Invocation, choose, is_visible, split_reason};
use crate::config::{Approval, BUILT_IN, Gateway, REASON};
use crate::execute::shown_line;
use crate::protocol::{CommandName, ParameterName, UserName};

/// Say whether a user may run a command with these values, and which rule decides
///
/// Exit status 0: permitted. 1: denied. It runs, records and uses up nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo may alice restart service=nginx && echo yes")]
pub(super) struct May {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The user
    #[arg(add = ArgValueCompleter::new(complete::users))]
    user: UserName,

    /// The command
    #[arg(add = ArgValueCompleter::new(complete::commands))]
    command: CommandName,

    /// Its arguments
    #[arg(value_name = "NAME=VALUE", value_parser = argument, add = ArgValueCompleter::new(complete::arguments))]
    arguments: Vec<(ParameterName, String)>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl May {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let (permit, why) = match self.decide(&gateway)? {
            Ok(why) => (true, why),
            Err(why) => (false, why),
        };
        if self.json {
            print_json(&json!({ "permit": permit, "why": why }))?;
        } else {
            outln!("{}: {why}", if permit { "permit" } else { "deny" })?;
        }
        Ok(if permit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn decide(&self, gateway: &Gateway) -> Result<Result<String, String>> {
        let user = match gateway.user(&self.user) {
            Err(error) if error.is_missing() => return Ok(Err(format!("there is no user {}", self.user))),
            other => other?,
        };
        if !user.enabled {
            return Ok(Err(format!("{} is disabled (users.d/{}.toml)", self.user, self.user)));
        }
        if BUILT_IN.contains(&self.command.as_str()) {
            return Ok(Ok(format!("{} is built in, for every enabled user", self.command)));
        }
        let Some(command) = gateway.command(&self.command)? else {
            return Ok(Err(format!("there is no commands.d/{}.toml", self.command)));
        };
        if !is_visible(&command, &user.roles) {
            let roles = user.roles.join(", ");
            return Ok(Err(format!(
                "commands.d/{}.toml has no [allow] for any role of {}: {roles}",
                self.command, self.user
            )));
        }
        for (at, (name, _)) in self.arguments.iter().enumerate() {
            if self.arguments.iter().take(at).any(|(earlier, _)| earlier == name) {
                return Ok(Err(format!("`{name}` is given twice")));
            }
        }
        let (arguments, reason) = split_reason(&command, &self.arguments);
        let decided = choose(&command, &user.roles, &arguments).and_then(|choice| {
            let invocation = Invocation::new(&command, &choice.values)?;
            let role = choice.role;
            let line = shown_line(&invocation, &gateway.settings().execution).join(" ");
            let approval = approval(command.approval.as_ref(), &user.roles, reason.as_deref())?;
            let must_sign = command.require_signature || user.ssh.require_signature;
            let signed = if must_sign { ", if the request is signed with an SSH key" } else { "" };
            Ok(format!("[allow.{role}] in commands.d/{}.toml{signed}: {line}{approval}", self.command))
        });
        Ok(decided.map_err(|words| format!("{words} (commands.d/{}.toml)", self.command)))
    }
}

/// Who must approve it first.
fn approval(terms: Option<&Approval>, roles: &[String], reason: Option<&str>) -> Result<String, String> {
    let Some(terms) = terms else {
        return Ok(String::new());
    };
    if terms.reason && reason.is_none() {
        return Err(format!("`{REASON}` is missing: the approvers need it"));
    }
    Ok(match terms.exception(roles) {
        Some(role) => format!("; at once, because [approval] except has the role {role}, and every approver is told"),
        None => format!("; after approval by {} of {}", terms.needed, terms.approvers()),
    })
}
