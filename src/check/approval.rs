//! Approvals: whether enough users can give them, and whether no user counts twice.

use std::collections::BTreeSet;

use super::{CheckedGateway, Report, count};
use crate::authorize::{Person, is_visible};
use crate::config::{Approval, Approver, Command};
use crate::limits::APPROVERS;
use crate::ordered;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let commands: Vec<_> = gateway.commands.iter().filter(|command| command.approval.is_some()).collect();
    if commands.is_empty() || !gateway.complete {
        return;
    }
    let before = report.findings.len();
    let mut people = Vec::new();
    for (name, _) in &gateway.users {
        match Person::find(gateway.gateway, name) {
            Ok(person) => people.extend(person),
            // The check of the users reports it.
            Err(_) => return,
        }
    }
    for command in &commands {
        if let Some(terms) = &command.approval {
            known(command, terms, gateway, report);
            enough(command, terms, &people, report);
            one_name_each(command, terms, &people, report);
        }
    }
    if report.findings.len() == before {
        let what =
            format!("{} that need approval, each with more approvers than needed", count(commands.len(), "command"));
        report.ok("approval", what);
    }
}

/// Whether `by` and `except` name what there is.
fn known(command: &Command, terms: &Approval, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let roles: BTreeSet<_> = ordered::collect(gateway.users.iter().flat_map(|(_, user)| &user.roles));
    let file = format!("commands.d/{}.toml", command.name);
    for by in &terms.by {
        let is_known = match by {
            Approver::User(name) => gateway.users.iter().any(|(user, _)| user == name),
            Approver::Role(role) => roles.contains(role),
        };
        if !is_known {
            let remedy = format!("correct `by` in {file}");
            report.error("approval", format!("{by} is to approve {}, and there is no such user", command.name), remedy);
        }
    }
    for role in terms.except.iter().filter(|role| !roles.contains(role)) {
        let remedy = format!("correct `except` in {file}, or give the role to a user");
        report.warning("approval", format!("{} excepts the role {role}, which no user holds", command.name), remedy);
    }
}

/// Whether enough remain when one of them is the requester, or is away.
fn enough(command: &Command, terms: &Approval, people: &[Person], report: &mut Report) {
    let may: Vec<_> = people.iter().filter(|person| terms.is_open_to(&person.name, &person.user)).collect();
    let needed = usize::try_from(terms.needed.get()).unwrap_or(usize::MAX);
    if may.len() <= needed {
        let what = format!(
            "{} needs {needed} of its approvers, and {} can approve: more must exist and be enabled than are needed{}",
            command.name,
            may.len(),
            if terms.require_signature { ", each with an SSH key to sign with" } else { "" }
        );
        let remedy = if terms.require_signature {
            format!(
                "name more users in `by` of commands.d/{}.toml, or give them an SSH key each: mailsudo user rotate NAME --ssh-key FILE.pub",
                command.name
            )
        } else {
            format!("name more users or roles in `by` of commands.d/{}.toml, or enable them", command.name)
        };
        report.error("approval", what, remedy);
    }
    if may.len() > APPROVERS {
        let what = format!("{} has {} approvers; only {APPROVERS} get a notice", command.name, may.len());
        report.error("approval", what, format!("name fewer in `by` of commands.d/{}.toml", command.name));
    }
}

/// Whether no two of those who may ask or approve are one person.
fn one_name_each(command: &Command, terms: &Approval, people: &[Person], report: &mut Report) {
    let takes_part =
        |person: &&Person| terms.permits(&person.name, &person.user) || is_visible(command, &person.user.roles);
    let people: Vec<_> = people.iter().filter(takes_part).collect();
    for (at, one) in people.iter().enumerate() {
        for other in people.iter().skip(at + 1).filter(|other| other.is(one)) {
            let what = format!(
                "{} and {} have the same address, key or SSH key: as one person, they count once for {}",
                one.name, other.name, command.name
            );
            let remedy = format!("mailsudo user remove {}, or give it an address and a key of its own", other.name);
            report.error("approval", what, remedy);
        }
    }
}
