//! `mailsudo command list | show`: the commands, who may run them and as which account.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::table::Table;
use super::{GatewayArg, command_change, complete, print_json};
use crate::authorize::Invocation;
use crate::config::{self, Gateway, Part};
use crate::ordered;
use crate::protocol::CommandName;
use crate::remedy::Call;
use crate::sudoers::vectors;

/// Show, add, change and remove commands
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(List),
    Show(Show),
    Add(command_change::Add),
    Edit(command_change::Edit),
    Remove(command_change::Remove),
}

/// List the commands, and which roles may run them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo command list")]
pub(super) struct List {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show one command in full: its roles, its account and every argument vector
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo command show restart")]
pub(super) struct Show {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The command's name
    #[arg(add = ArgValueCompleter::new(complete::commands))]
    name: CommandName,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Add(add) => add.run(),
            Self::Edit(edit) => edit.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let commands = super::commands(&gateway)?;
        if self.json {
            let rows = commands.iter().map(|command| about(command, &gateway)).collect::<Vec<_>>();
            return print_json(&rows);
        }
        let mut table = Table::new(["NAME", "RUN AS", "ROLES", "SUMMARY"]);
        for command in &commands {
            let roles: Vec<_> = command.allow.keys().map(String::as_str).collect();
            let (name, run_as) = (command.name.to_string(), command.run_as.to_string());
            table.row([name.into(), run_as.into(), roles.join(",").into(), command.summary.as_str().into()]);
        }
        table.print()?;
        if commands.is_empty() {
            outln!("There are no commands yet: `mailsudo command add` adds one.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let command = gateway.command(&self.name)?;
        let command = command
            .with_context(|| format!("there is no command {}; the commands: {}", self.name, Call::ListCommands))?;
        if self.json {
            return print_json(&about(&command, &gateway));
        }
        outln!("{}: {}", command.name, command.summary)?;
        outln!("runs as    {}", command.run_as)?;
        outln!("limit      {}", command.timeout)?;
        outln!("exclusive  {}", if command.exclusive { "yes" } else { "no" })?;
        if command.require_signature {
            outln!("signature  required, with an SSH key")?;
        }
        for (name, parameter) in &command.parameters {
            let default = parameter.default.as_ref().map(|value| format!("; {value} if not given")).unwrap_or_default();
            let secret = if parameter.secret { "; secret" } else { "" };
            outln!("parameter  {name}: {}{default}{secret}", parameter.kind)?;
        }
        if let Some(terms) = &command.approval {
            outln!("approval   {} of {}", terms.needed, terms.approvers())?;
            outln!("within     {} to approve, then {} to start", terms.within, terms.run_within)?;
            outln!("reason     {}", if terms.reason { "required" } else { "optional" })?;
            for role in &terms.except {
                outln!("except     role {role}: runs at once, and every approver is told")?;
            }
            if !terms.show_output {
                outln!("output     not shown to approvers")?;
            }
        }
        if let Some(payload) = &command.payload {
            let needed = if payload.required { "required" } else { "optional" };
            outln!("payload    {needed}: {}", payload.wanted())?;
        }
        for (role, limits) in &command.allow {
            let limits: Vec<_> = limits.iter().map(|(name, values)| format!("{name}: {}", values.join(", "))).collect();
            let limits = if limits.is_empty() { "every value".to_owned() } else { limits.join("; ") };
            outln!("role       {role}: {limits}")?;
        }
        outln!("argument vectors:")?;
        for vector in spelled_out(&command) {
            outln!("  {}", vector.join(" "))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The command as JSON: the values of its file, with defaults filled in.
fn about(command: &config::Command, gateway: &Gateway) -> serde_json::Value {
    let parameters = command.parameters.iter().map(|(name, parameter)| {
        (
            name.to_string(),
            json!({ "type": parameter.kind.to_string(), "default": parameter.default, "secret": parameter.secret }),
        )
    });
    let allow = command.allow.iter().map(|(role, limits)| {
        let limits = limits.iter().map(|(name, values)| (name.to_string(), json!(values)));
        (role.clone(), serde_json::Value::Object(ordered::collect(limits)))
    });
    json!({
        "name": command.name.as_str(),
        "summary": command.summary,
        "run_as": command.run_as.to_string(),
        "timeout_seconds": command.timeout.as_duration().as_secs(),
        "max_age_seconds": command.max_age.unwrap_or(gateway.settings().max_age).as_duration().as_secs(),
        "exclusive": command.exclusive,
        "require_signature": command.require_signature,
        "payload": command.payload.as_ref().map(|payload| json!({
            "max_bytes": payload.max.bytes(), "required": payload.required, "type": payload.kind.word(),
        })),
        "approval": command.approval.as_ref().map(approval),
        "parameters": serde_json::Value::Object(ordered::collect(parameters)),
        "allow": serde_json::Value::Object(ordered::collect(allow)),
        "argument_vectors": spelled_out(command),
    })
}

fn approval(terms: &config::Approval) -> serde_json::Value {
    json!({
        "by": terms.by.iter().map(config::Approver::to_string).collect::<Vec<_>>(),
        "needed": terms.needed,
        "within_seconds": terms.within.as_duration().as_secs(),
        "run_within_seconds": terms.run_within.as_duration().as_secs(),
        "reason": terms.reason,
        "except": terms.except,
        "show_output": terms.show_output,
    })
}

/// Every vector that some role can make or, where they are too many, the one template with its placeholders.
fn spelled_out(command: &config::Command) -> Vec<Vec<String>> {
    if let Some(values) = vectors(command) {
        let invocations = values.iter().filter_map(|values| Invocation::new(command, values).ok());
        return invocations.map(|invocation| invocation.argv().to_vec()).collect();
    }
    let word = |part| match part {
        Part::Literal(text) => text.to_owned(),
        Part::Placeholder(name) => format!("{{{name}}}"),
    };
    vec![command.argv.iter().map(|template| template.parts().map(word).collect()).collect()]
}
