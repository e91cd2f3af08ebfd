//! Checks what can make a gateway fail. In: the gateway's folder. Out: a [`Report`], one
//! line for each check, with the remedy if something is wrong. It changes nothing.

mod acceptance;
mod access;
mod approval;
mod commands;
mod database;
mod encryption;
mod gateway;
mod host;
mod later_lines;
mod ledger;
mod lockouts;
mod postfix;
mod programs;
mod proof;
mod report;
mod sender_auth;
mod services;
mod shared_secrets;
mod soundness;
mod ssh_keys;
mod sudo_rules;
mod users;

use std::path::Path;

pub use gateway::Depth;
pub use report::{Finding, Level, Report, count};

use gateway::CheckedGateway;

use crate::config::{Gateway, Trusted};
use crate::protocol::{Timestamp, UserName};
use crate::remedy::{Call, Remedy};
use crate::system::accounts::Account;

/// Domains for documentation (RFC 2606 section 3): an address in one is a placeholder that receives no mail from
/// outside.
const PLACEHOLDERS: [&str; 3] = ["example.com", "example.net", "example.org"];

fn placeholder(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let address = &gateway.settings().address;
    let domain = address.domain().to_ascii_lowercase();
    if PLACEHOLDERS.iter().any(|reserved| domain == *reserved || domain.ends_with(&format!(".{reserved}"))) {
        let file = gateway.gateway.path().join("mailsudo.toml");
        report.warning(
            "address",
            format!("{address} is the placeholder of the example: no mail from outside reaches it (RFC 2606)"),
            format!("set address in {} to an address of this host", file.display()),
        );
    }
}

fn lockdown(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let lockdown = match gateway.gateway.lockdown() {
        Ok(lockdown) => lockdown,
        Err(error) => return report.broken("lockdown", &error),
    };
    if let Some(lockdown) = lockdown {
        let names: Vec<_> = lockdown.users().iter().map(UserName::as_str).collect();
        let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let what = format!("the gateway is locked down: requests of {names} are accepted, and all others refused");
        report.warning("lockdown", what, Remedy::Call(Call::EndLockdown));
    }
}

/// Checks everything that belongs to the gateway in `folder`. `now` is the time.
pub fn check(folder: &Path, depth: Depth, now: Timestamp) -> Report {
    programs::begin();
    let caller = rustix::process::geteuid();
    let mut report = Report { outsider: !caller.is_root(), ..Report::default() };
    let Some((gateway, service)) = open(folder, &mut report) else {
        return report;
    };
    report.outsider &= service.is_none_or(|account| account.uid != caller.as_raw());
    std::thread::scope(|scope| {
        programs::ask_ahead(scope);
        all(&gateway, service, depth, now, &mut report);
    });
    report
}

fn all(gateway: &Gateway, service: Option<Account>, depth: Depth, now: Timestamp, report: &mut Report) {
    let before = report.findings.len();
    let commands = commands::read(gateway, report);
    let users = users::read(gateway, report);
    let complete = report.findings.len() == before;
    let gateway = CheckedGateway { gateway, service, commands, users, complete, depth, now };
    settings(&gateway, report);
    placeholder(&gateway, report);
    lockdown(&gateway, report);
    access::check(&gateway, report);
    services::check(&gateway, report);
    users::check(&gateway, report);
    ssh_keys::check(&gateway, report);
    encryption::check(&gateway, report);
    sender_auth::check(&gateway, report);
    commands::check(&gateway, report);
    approval::check(&gateway, report);
    sudo_rules::check(&gateway, report);
    ledger::check(&gateway, report);
    host::check(&gateway, report);
    postfix::check(&gateway, report);
}

fn open(folder: &Path, report: &mut Report) -> Option<(Gateway, Option<Account>)> {
    let first = match Gateway::open(folder, Trusted::caller()) {
        Ok(gateway) => gateway,
        Err(error) => {
            report.broken("configuration", &error);
            return None;
        }
    };
    let name = first.settings().service_user.clone();
    let service = match programs::account(&name) {
        Ok(Some(account)) => account,
        Ok(None) => {
            report.error("service-user", format!("there is no account {name}"), Remedy::AddAccount(name));
            return Some((first, None));
        }
        Err(error) => {
            report.error("service-user", format!("{error:#}"), Remedy::Install("libc-bin"));
            return Some((first, None));
        }
    };
    match Gateway::open(folder, Trusted::caller().and(service.uid, service.gid)) {
        Ok(gateway) => {
            report
                .ok("configuration", format!("{} is read and trusted", gateway.path().join("mailsudo.toml").display()));
            Some((gateway, Some(service)))
        }
        Err(error) => {
            report.broken("configuration", &error);
            None
        }
    }
}

fn settings(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let settings = gateway.settings();
    let file = gateway.gateway.path().join("mailsudo.toml");
    let file = file.display();
    if gateway.uses_sudo() {
        report.ok("run_via", "commands run through sudo");
    } else {
        report.warning(
            "run_via",
            "run_via = \"direct\": commands run as the caller of deliver, and nothing restricts them",
            format!("set [execution] run_via = \"sudo\" in {file} before mail can reach this gateway"),
        );
    }
    match gateway.gateway.old_keys() {
        Ok(old) => {
            for (old, new) in old {
                report.warning(
                    "configuration",
                    format!("{old} is an old name"),
                    format!("write {new} instead in {file}"),
                );
            }
        }
        Err(error) => report.broken("configuration", &error),
    }
    let expressions = settings.intake.reject.values().chain(&settings.intake.subject);
    for error in expressions.filter_map(|expression| expression.matches("").err()) {
        report.error(
            "intake",
            error,
            format!("correct it in [intake] of {file}; until then mail that needs it is deferred"),
        );
    }
}
