//! The built-in commands that only answer, `help`, `status` and `pending`: requests like any other, which run nothing.
//! In: the user. Out: text for the reply. They say what the user may do, has done and may decide, and nothing else
//! about other users.

use crate::authenticate::Identified;
use crate::authorize::{MustSign, Person, is_visible, terms_of, wanted};
use crate::config::{Approval, Command, Gateway, REASON};
use crate::error::Stop;
use crate::ledger::{ApprovalRecord, Ledger, LedgerError, Record, State, Story};
use crate::limits::PENDING;
use crate::protocol::{ParameterName, RequestId, Timestamp};
use crate::reply::{history, quoted, stored_text};

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
         for example: mailsudo sign status\n\n\
         pending\n    What waits for your approval, and what of yours waits for others\n\n\
         approve id=… digest=…\n    Approve a request, as its notice shows it\n\n\
         deny id=… digest=… reason=…\n    Deny it, for good\n\n\
         cancel id=…\n    Take back a request of yours, or your approval, that has not run\n",
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
        if parameter.secret {
            text.push_str("; secret: logs and mail show a mark instead of it");
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
    if let Some(terms) = &command.approval {
        let at_once = terms.exception(roles).map(|role| format!("; you run it at once, by the role {role}"));
        let reason = if terms.reason { "; give a reason=…" } else { "" };
        let (needed, by) = (terms.needed, terms.approvers());
        text.push_str(&format!("    needs approval: {needed} of {by}{reason}{}\n", at_once.unwrap_or_default()));
    }
    text.push_str(&format!("    for example: mailsudo sign {}", command.name));
    for name in command.parameters.keys() {
        text.push_str(&format!(" {name}={}", example(command, roles, name)));
    }
    if command.approval.as_ref().is_some_and(|terms| terms.reason) {
        text.push_str(" reason=…");
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
        Some(record) => report(&record, &ledger.story(&record.id)?),
    })
}

/// What waits for the user's approval, and what of the user's waits for others.
///
/// # Errors
///
/// A deferral: the ledger, or a file that it needs, cannot be read.
pub(super) fn pending(
    ledger: &dyn Ledger,
    gateway: &Gateway,
    identified: &Identified,
    now: Timestamp,
) -> Result<String, Stop> {
    let (mut own, mut others) = (String::new(), String::new());
    let Some(user) = Person::find(gateway, identified.user())? else {
        return Ok(String::new());
    };
    for record in ledger.pending(PENDING)? {
        let story = ledger.story(&record.id)?;
        let Some(approval) = story.approval.as_ref().filter(|approval| now <= approval.until) else {
            continue;
        };
        if record.user == user.name.as_str() {
            own.push_str(&entry(&record, &story, approval, false));
        } else if let Some(terms) = judged_under(gateway, &user, &record)? {
            let must_sign = MustSign::of(&user.user, Some(&terms)) != MustSign::Nothing;
            others.push_str(&entry(&record, &story, approval, must_sign));
        }
    }
    let or_none = |text: String| if text.is_empty() { "Nothing.\n\n".to_owned() } else { text };
    Ok(format!("For you to judge:\n\n{}Yours, for others to judge:\n\n{}", or_none(others), or_none(own)))
}

/// The `[approval]` of now under which `user` may judge the request: with the right of now, and not the requester under
/// another name; `None` where the user may not.
fn judged_under(gateway: &Gateway, user: &Person, record: &Record) -> Result<Option<Approval>, Stop> {
    let Some(terms) = terms_of(gateway, &record.command).filter(|terms| terms.permits(&user.name, &user.user)) else {
        return Ok(None);
    };
    let requester = Person::named(gateway, &record.user)?;
    Ok((!requester.is_some_and(|requester| requester.is(user))).then_some(terms))
}

fn entry(record: &Record, story: &Story, approval: &ApprovalRecord, must_sign: bool) -> String {
    let mut text = format!("{} by {}\n", title(record), record.user);
    // The requester's words stay marked, so that they cannot look like another entry.
    let reason = approval.reason.as_deref().map(quoted).unwrap_or_default();
    let reason = reason.lines().enumerate().map(|(at, line)| (if at == 0 { "reason" } else { "" }, line.to_owned()));
    let ssh_key =
        must_sign.then(|| ("ssh key", "an approval needs a signature under yours: --ssh-key FILE.pub".to_owned()));
    let facts = [
        ("id", record.id.to_string()),
        ("digest", approval.digest.to_string()),
        ("run as", record.run_as.clone().unwrap_or_default()),
        ("argv", record.shown_argv().unwrap_or_default().replace('\n', " ")),
        ("until", approval.until.to_string()),
        ("needed", approval.needed.to_string()),
    ];
    for (label, value) in facts.into_iter().chain(ssh_key).chain(reason).chain(history(&story.votes)) {
        text.push_str(&format!("    {label:<8} {value}\n"));
    }
    text.push('\n');
    text
}

/// The command and its arguments, without the reason.
fn title(record: &Record) -> String {
    let is_reason = |line: &&str| line.split_once('=').is_some_and(|(name, _)| name == REASON);
    let arguments = record.shown_arguments();
    let arguments: Vec<_> = arguments.lines().filter(|line| !is_reason(line)).collect();
    format!("{} {}", record.command, arguments.join(" ")).trim_end().to_owned()
}

fn report(record: &Record, story: &Story) -> String {
    let mut text = format!("request  {}\n", record.id.short());
    let mut fact = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{label:<8} {value}\n"));
        }
    };
    let command = format!("{} {}", record.command, record.shown_arguments().replace('\n', " "));
    fact("command", Some(command.trim_end().to_owned()));
    fact("state", Some(record.state.word().to_owned()));
    fact("result", record.result.map(|result| result.to_string()));
    fact("reason", record.reason.clone());
    fact("seen", Some(record.first_seen.to_string()));
    if let (State::Pending, Some(approval)) = (record.state, &story.approval) {
        fact("needed", Some(approval.needed.to_string()));
        fact("until", Some(approval.until.to_string()));
    }
    for (kind, by) in history(&story.votes) {
        fact(kind, Some(by));
    }
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
