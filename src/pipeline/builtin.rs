//! The built-in commands, `help` and `status`: requests like any other, which run nothing. In: the user.
//! Out: text for the reply. They say what the user may do and has done, and nothing about other users.

use crate::authenticate::Identified;
use crate::authorize::{is_visible, wanted};
use crate::config::{Command, Gateway};
use crate::ledger::{Ledger, LedgerError, Record};
use crate::protocol::{ParameterName, RequestId};
use crate::reply::stored_text;

/// The commands that the user may run, each with its parameters and an example. A broken file is left out, because its
/// command cannot be run either.
pub(super) fn help(gateway: &Gateway, roles: &[String]) -> String {
    let mut text = String::from("You may run:\n\n");
    for name in gateway.readable_command_names() {
        if let Ok(Some(command)) = gateway.command(&name)
            && is_visible(&command, roles)
        {
            describe(&command, roles, &mut text);
        }
    }
    text.push_str(
        "help\n    This list\n    for example: mailsudo sign help\n\n\
         status [id=…]\n    What became of your latest request, or of the one with that short id\n    \
         for example: mailsudo sign status\n",
    );
    text
}

fn describe(command: &Command, roles: &[String], text: &mut String) {
    text.push_str(command.name.as_str());
    for (name, parameter) in &command.parameters {
        let optional = parameter.default.is_some();
        text.push_str(&if optional { format!(" [{name}=…]") } else { format!(" {name}=…") });
    }
    text.push_str(&format!("\n    {}\n", command.summary));
    for (name, parameter) in &command.parameters {
        text.push_str(&format!("    {name}: {}", wanted(command, roles, name, parameter)));
        if let Some(default) = &parameter.default {
            text.push_str(&format!("; {default} if not given"));
        }
        text.push('\n');
    }
    if command.require_signature {
        text.push_str("    to be signed with one of your SSH keys: --ssh-key FILE.pub\n");
    }
    if let Some(payload) = &command.payload {
        let optional = if payload.required { "" } else { ", if you give one" };
        text.push_str(&format!("    payload: {}{optional}\n", payload.wanted()));
    }
    text.push_str(&format!("    for example: mailsudo sign {}", command.name));
    for name in command.parameters.keys() {
        text.push_str(&format!(" {name}={}", example(command, roles, name)));
    }
    if command.payload.as_ref().is_some_and(|payload| payload.required) {
        text.push_str(" --payload FILE");
    }
    text.push_str("\n\n");
}

/// A value that the first of `roles` with a rule for it permits.
fn example(command: &Command, roles: &[String], name: &ParameterName) -> String {
    let limits = roles.iter().find_map(|role| command.allow.get(role));
    let permitted = limits.and_then(|limits| limits.get(name)).and_then(|values| values.first().cloned());
    let any = || command.parameters.get(name)?.kind.sample();
    permitted.or_else(any).unwrap_or_else(|| "…".to_owned())
}

/// The outcome of the user's latest request before this one, or of the one whose short id is given.
///
/// # Errors
///
/// The ledger cannot be read.
pub(super) fn status(
    ledger: &dyn Ledger,
    identified: &Identified,
    short: Option<&[u8; RequestId::SHORT / 2]>,
) -> Result<String, LedgerError> {
    let record = ledger.look_up(identified.user(), &identified.id(), short.map(<[u8; 6]>::as_slice))?;
    Ok(match record {
        None => "You have no such request.\n".to_owned(),
        Some(record) => report(&record),
    })
}

fn report(record: &Record) -> String {
    let mut text = format!("request  {}\n", record.id.short());
    let mut fact = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{label:<8} {value}\n"));
        }
    };
    let command = format!("{} {}", record.command, record.arguments.replace('\n', " "));
    fact("command", Some(command.trim_end().to_owned()));
    fact("state", Some(record.state.word().to_owned()));
    fact("result", record.result.map(|result| result.to_string()));
    fact("reason", record.reason.clone());
    fact("seen", Some(record.first_seen.to_string()));
    fact("started", record.started.map(|time| time.to_string()));
    fact("ended", record.finished.map(|time| time.to_string()));
    fact("replied", record.replied.map(|time| time.to_string()));
    if let Some(stored) = record.reply.as_ref().and_then(stored_text) {
        text.push_str("\nIts reply was:\n\n");
        for line in stored.lines() {
            text.push_str(&format!("| {line}\n"));
        }
    }
    text
}
