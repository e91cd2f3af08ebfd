//! Checks what can make a gateway fail. In: the gateway's folder. Out: a [`Report`], one
//! line for each check, with the remedy if something is wrong. It changes nothing.

mod access;
mod approval;
mod commands;
mod host;
mod ledger;
mod postfix;
mod programs;
mod proof;
mod sender_auth;
mod services;
mod sudo_rules;
mod users;

use std::path::Path;

use crate::config::{Command, ConfigError, Gateway, RunVia, Settings, Trusted, User};
use crate::protocol::UserName;
use crate::system::accounts::{self, Account};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is correct.
    Ok,
    /// It works, but it may fail later or not work as intended.
    Warning,
    /// It does not work, or is not safe.
    Error,
}

impl Level {
    /// The level's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was checked: a fixed word, for monitoring.
    pub about: &'static str,
    /// What was found.
    pub what: String,
    /// The remedy; empty if there is nothing to do.
    pub remedy: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub struct Report {
    /// The lines.
    pub findings: Vec<Finding>,
    /// The caller is neither root nor the service user: what they may not open may be correct.
    outsider: bool,
}

impl Report {
    /// The worst level in it.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, about, what, "");
    }

    fn warning(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Warning, about, what, remedy);
    }

    fn error(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Level::Error, about, what, remedy);
    }

    fn add(&mut self, level: Level, about: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.findings.push(Finding { level, about, what: what.into(), remedy: remedy.into() });
    }

    /// Something that the caller may not open, reported once for each kind.
    fn unseen(&mut self, about: &'static str) {
        let what = "only root and the service user may read it";
        if !self.findings.iter().any(|finding| finding.about == about && finding.what == what) {
            self.warning(about, what, "run mailsudo check as root");
        }
    }

    /// A file of the gateway's own that cannot be used; the error names file, line and remedy.
    fn broken(&mut self, about: &'static str, error: &ConfigError) {
        if self.outsider && error.is_closed() {
            return self.unseen(about);
        }
        self.error(about, error.to_string(), "correct it; until then, mail that needs it stays in the queue");
    }
}

/// `1 user`, `2 users`.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What the checks share. It is read once.
struct CheckedGateway<'h> {
    gateway: &'h Gateway,
    service: Option<Account>,
    commands: Vec<Command>,
    users: Vec<(UserName, User)>,
    /// Whether these are all. A check that needs all of them is skipped if a file cannot be read.
    complete: bool,
}

impl CheckedGateway<'_> {
    fn settings(&self) -> &Settings {
        self.gateway.settings()
    }

    fn uses_sudo(&self) -> bool {
        self.settings().execution.run_via == RunVia::Sudo
    }
}

/// Checks everything that belongs to the gateway in `folder`.
pub fn check(folder: &Path) -> Report {
    programs::begin();
    let caller = rustix::process::geteuid();
    let mut report = Report { outsider: !caller.is_root(), ..Report::default() };
    let Some((gateway, service)) = open(folder, &mut report) else {
        return report;
    };
    report.outsider &= service.is_none_or(|account| account.uid != caller.as_raw());
    let before = report.findings.len();
    let commands = commands::read(&gateway, &mut report);
    let users = users::read(&gateway, &mut report);
    let complete = report.findings.len() == before;
    let gateway = CheckedGateway { gateway: &gateway, service, commands, users, complete };
    settings(&gateway, &mut report);
    access::check(&gateway, &mut report);
    services::check(&gateway, &mut report);
    users::check(&gateway, &mut report);
    sender_auth::check(&gateway, &mut report);
    commands::check(&gateway, &mut report);
    approval::check(&gateway, &mut report);
    sudo_rules::check(&gateway, &mut report);
    ledger::check(&gateway, &mut report);
    host::check(&gateway, &mut report);
    postfix::check(&gateway, &mut report);
    report
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
    let service = match accounts::find(&name) {
        Ok(Some(account)) => account,
        Ok(None) => {
            let remedy = format!("useradd --system --user-group --shell /usr/sbin/nologin {name}");
            report.error("service-user", format!("there is no account {name}"), remedy);
            return Some((first, None));
        }
        Err(error) => {
            report.error("service-user", format!("{error:#}"), "install libc-bin");
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
    if gateway.uses_sudo() {
        report.ok("run_via", "commands run through sudo");
    } else {
        report.warning(
            "run_via",
            "run_via = \"direct\": commands run as the caller of deliver, and nothing restricts them",
            "set [execution] run_via = \"sudo\" before mail can reach this gateway",
        );
    }
    match gateway.gateway.old_keys() {
        Ok(old) => {
            for (old, new) in old {
                report.warning("configuration", format!("{old} is an old name"), format!("write {new} instead"));
            }
        }
        Err(error) => report.broken("configuration", &error),
    }
    let expressions = settings.intake.reject.values().chain(&settings.intake.subject);
    for error in expressions.filter_map(|expression| expression.matches("").err()) {
        report.error("intake", error, "correct it in [intake]; until then mail that needs it is deferred");
    }
}
