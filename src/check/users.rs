//! Users: their files, their secrets, their roles.

use std::collections::BTreeSet;

use super::{CheckedGateway, Report, count};
use crate::authenticate::Factor;
use crate::config::{Command, Gateway, User};
use crate::ordered;
use crate::protocol::UserName;
use crate::remedy::{Call, Remedy};
use crate::system::permissions::{Permissions, Right};

/// Every user whose file can be read; the others are reported.
pub(super) fn read(gateway: &Gateway, report: &mut Report) -> Vec<(UserName, User)> {
    let names = match gateway.user_names() {
        Ok(names) => names,
        Err(error) => {
            report.broken("users", &error);
            return Vec::new();
        }
    };
    let mut users = Vec::new();
    for name in names {
        match gateway.user(&name) {
            Ok(user) => users.push((name, user)),
            Err(error) => report.broken("users", &error),
        }
    }
    users
}

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let before = report.findings.len();
    for (name, user) in &gateway.users {
        addresses(name, user, gateway, report);
        secrets(name, gateway, report);
    }
    without_user(gateway, report);
    if gateway.users.is_empty() && gateway.complete {
        report.warning(
            "users",
            "there are no users",
            format!("{} --address ADDRESS --role ROLE", Call::AddUser("NAME".to_owned())),
        );
    } else if report.findings.len() == before {
        let what = format!("{}, each with secrets and an address of its own", count(gateway.users.len(), "user"));
        report.ok("users", what);
    }
    if gateway.complete {
        roles(gateway, report);
    }
}

/// A reply to the gateway's own address would come back; it would be refused as a loop, and no user would read it.
fn addresses(name: &UserName, user: &User, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let own = &gateway.settings().address;
    if user.address == *own || user.from.contains(own) {
        report.error(
            "users",
            format!("{name} has the gateway's own address, {own}"),
            format!("give {name} an address of its own in {}", file(name, gateway)),
        );
    }
}

fn file(name: &UserName, gateway: &CheckedGateway<'_>) -> String {
    gateway.gateway.path().join("users.d").join(format!("{name}.toml")).display().to_string()
}

fn secrets(name: &UserName, gateway: &CheckedGateway<'_>, report: &mut Report) {
    match gateway.gateway.secrets(name) {
        Err(error) => report.broken("secrets", &error),
        Ok(None) => report.warning(
            "secrets",
            format!("{name} has no secrets, so all mail of {name} is refused"),
            Call::RemoveUser(name.to_string()),
        ),
        Ok(Some(secrets)) => {
            if let Err(what) = Factor::from_url(&secrets.totp) {
                let remedy = Call::RotateTotp(name.to_string());
                report.error("secrets", format!("secrets.d/{name}.toml: {what}"), remedy);
            }
            readable(name, gateway, report);
        }
    }
}

/// That no other account can read them was checked when they were opened. That the service user can is checked here.
fn readable(name: &UserName, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let path = gateway.gateway.path().join("secrets.d").join(format!("{name}.toml"));
    let (Ok(about), Some(service)) = (std::fs::metadata(&path), gateway.service) else {
        return;
    };
    if !Permissions::from(&about).allows(service, Right::Read) {
        let group = &gateway.settings().service_user;
        let what = format!("{group} cannot read {}", path.display());
        report.error("secrets", what, Remedy::ForGroup(group.clone(), "0640", path));
    }
}

/// Secrets of no user: they were left behind, or the user file is lost.
fn without_user(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Ok(names) = gateway.gateway.secret_names() else {
        return;
    };
    for name in
        names.iter().filter(|name| !gateway.gateway.path().join("users.d").join(format!("{name}.toml")).exists())
    {
        report.warning(
            "secrets",
            format!("secrets.d/{name}.toml belongs to no user: a request under it is deferred"),
            Call::RemoveUser(name.to_string()),
        );
    }
}

fn roles(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let held: BTreeSet<_> = ordered::collect(gateway.users.iter().flat_map(|(_, user)| &user.roles));
    let allowed: BTreeSet<_> = ordered::collect(gateway.commands.iter().flat_map(|command| command.allow.keys()));
    let named: BTreeSet<_> = ordered::collect(gateway.commands.iter().flat_map(Command::roles));
    for role in allowed.difference(&held) {
        let remedy = "give it to a user, in `roles` in users.d, or take it out of [allow] in commands.d";
        report.warning("roles", format!("commands allow the role {role}, which no user holds"), remedy);
    }
    for role in held.difference(&allowed).filter(|role| !named.contains(role.as_str())) {
        let remedy =
            "allow it a command, with [allow] in commands.d, or take it from its users; it may be a typing error";
        report.warning("roles", format!("users hold the role {role}, which no command allows"), remedy);
    }
}
