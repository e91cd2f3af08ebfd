//! Commands: their files, and the programs that they name.

use std::path::Path;

use super::{CheckedGateway, Report, count, programs};
use crate::config::{Command, Gateway};
use crate::remedy::Remedy;
use crate::system::permissions::Permissions;

/// Every command whose file can be read; the others are reported.
pub(super) fn read(gateway: &Gateway, report: &mut Report) -> Vec<Command> {
    let names = match gateway.command_names() {
        Ok(names) => names,
        Err(error) => {
            report.broken("commands", &error);
            return Vec::new();
        }
    };
    let mut commands = Vec::new();
    for name in names {
        match gateway.command(&name) {
            Ok(command) => commands.extend(command),
            Err(error) => report.broken("commands", &error),
        }
    }
    commands
}

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let before = report.findings.len();
    for command in &gateway.commands {
        if command.allow.is_empty() {
            let remedy = format!("add [allow.ROLE] to {}", file(command, gateway));
            report.warning("commands", format!("no role may run {}", command.name), remedy);
        }
        run_as(command, gateway, report);
        secrets(command, report);
        program(
            Path::new(command.program()),
            &format!("the program of {}", command.name),
            Some(&command.run_as.user),
            report,
        );
    }
    program(&gateway.settings().execution.timeout, "execution.timeout", None, report);
    if gateway.commands.is_empty() && gateway.complete {
        report.warning("commands", "there are no commands", "mailsudo-commands(5) says how to write one");
    } else if report.findings.len() == before {
        let what =
            format!("{}, with programs that no other account can change", count(gateway.commands.len(), "command"));
        report.ok("commands", what);
    }
}

fn file(command: &Command, gateway: &CheckedGateway<'_>) -> String {
    let path = gateway.gateway.path().join("commands.d").join(format!("{}.toml", command.name));
    path.display().to_string()
}

/// Where the values of secret parameters are seen all the same.
fn secrets(command: &Command, report: &mut Report) {
    let names: Vec<_> =
        command.parameters.iter().filter(|(_, parameter)| parameter.secret).map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        let what = format!(
            "{}: sudo's log, systemd's journal and ps(1) show the secret {}; [payload] keeps a secret out of them (docs/encryption.md)",
            command.name,
            names.join(", ")
        );
        report.ok("secrets", what);
    }
}

fn run_as(command: &Command, gateway: &CheckedGateway<'_>, report: &mut Report) {
    let user = &command.run_as.user;
    if !gateway.uses_sudo() {
        return;
    }
    match programs::account(user) {
        Ok(Some(_)) => {}
        Ok(None) => report.error(
            "commands",
            format!("{} runs as {user}, and there is no such account", command.name),
            format!("make the account, or correct run_as in {}", file(command, gateway)),
        ),
        Err(error) => report.warning(
            "commands",
            format!("{} runs as {user}, and whether there is such an account is not known: {error:#}", command.name),
            "correct the services in /etc/nsswitch.conf",
        ),
    }
}

/// An account that can write to a program decides what runs under its name.
fn program(path: &Path, what: &str, run_as: Option<&str>, report: &mut Report) {
    let shown = path.display();
    let found = match permissions(path) {
        Ok(found) if found.is_program() => found,
        Ok(_) => {
            return report.error(
                "programs",
                format!("{what}, {shown}, cannot be executed"),
                Remedy::Chmod("0755", path.to_owned()),
            );
        }
        Err(error) => {
            return report.error("programs", format!("{what}, {shown}: {error}"), "install it, or correct argv");
        }
    };
    if found.others_may_change() {
        report.error(
            "programs",
            format!("{what}, {shown}, can be changed by others"),
            Remedy::Chmod("go-w", path.to_owned()),
        );
    }
    let owner = run_as.and_then(|user| programs::account(user).ok().flatten()).filter(|account| account.uid != 0);
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for place in full.ancestors() {
        let Ok(found) = permissions(place) else {
            continue;
        };
        let shown = place.display();
        // An account that may rename in a folder may replace the program.
        if found.is_folder() && found.others_may_change() {
            let what = format!("{what} is in {shown}, where others can replace it");
            report.error("programs", what, Remedy::Chmod("go-w", place.to_owned()));
        }
        if owner.is_some_and(|account| found.is_owned_by(account)) {
            let what = format!("{what}: {shown} belongs to the account it runs as, which could change it");
            report.error("programs", what, Remedy::Chown("root".to_owned(), place.to_owned()));
        }
    }
}

fn permissions(path: &Path) -> std::io::Result<Permissions> {
    std::fs::metadata(path).map(|found| Permissions::from(&found))
}
