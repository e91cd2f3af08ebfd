//! Proves each sudo rule by using it, as the service user, without running the command: `mailsudo begin` inside the rule gets a
//! socket that no process reads, cannot report the start, and so runs nothing (`execute/begin.rs`). Any other message of sudo is the one that
//! `deliver` would get: a rule that is missing, or overridden by a later file, requiretty, intercept, log_input, PAM.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::ask;
use super::{CheckedGateway, Report, count};
use crate::authorize::Invocation;
use crate::execute::{NOT_REPORTED, command_line, host_name, sudo_remedy};
use crate::remedy::{Call, Remedy};
use crate::sudoers::{FOLDER, place, sample};
use crate::system::accounts::Account;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Some(service) = gateway.service else {
        return;
    };
    let settings = gateway.settings();
    let mut proven = 0;
    for command in &gateway.commands {
        let Some(invocation) = sample(command).and_then(|values| Invocation::new(command, &values).ok()) else {
            continue;
        };
        let Ok((ours, stdin)) = UnixStream::pair() else {
            return;
        };
        // No process reads, so the report fails with EPIPE.
        drop(ours);
        let line = command_line(&invocation, &settings.execution);
        let Some(mut attempt) = as_service_user(&line, service) else {
            return;
        };
        attempt
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(OwnedFd::from(stdin));
        let Some(answer) = ask(&mut attempt) else {
            let what = format!(
                "sudo did not answer in time for {}: it may look up the host's own name, or wait for syslog",
                command.name
            );
            report.error("sudo", what, Remedy::HostName(host_name()));
            return;
        };
        if answer.status.code() == Some(i32::from(NOT_REPORTED)) {
            proven += 1;
            continue;
        }
        let said = [answer.out, answer.err].join(" ");
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut what = format!("sudo does not start {} for {}: {words}", command.name, settings.service_user);
        let known = sudo_remedy(&words, settings).filter(|remedy| *remedy != Call::Check.into());
        let remedy = match (known, overriding(gateway)) {
            (Some(remedy), _) => remedy,
            (None, Some(later)) => {
                what.push_str(&format!("; a later rule is in {later}, and the last one that matches counts"));
                let own = place(gateway.gateway);
                format!("remove that rule, or move it into a file whose name sorts before {}", own.display()).into()
            }
            (None, None) => Call::InstallSudoers.into(),
        };
        report.error("sudoers", what, remedy);
        return;
    }
    if proven > 0 {
        report
            .ok("sudo", format!("it starts the service user's {}, and each rule was tried", count(proven, "command")));
    }
}

/// The command line, run by the service user; `None` where the caller may not run it so.
fn as_service_user(line: &[String], service: Account) -> Option<Command> {
    let (program, arguments) = line.split_first()?;
    let caller = rustix::process::geteuid();
    if caller.as_raw() == service.uid {
        let mut command = Command::new(program);
        command.args(arguments);
        return Some(command);
    }
    caller.is_root().then(|| {
        let ids = [format!("--reuid={}", service.uid), format!("--regid={}", service.gid), "--clear-groups".to_owned()];
        let mut command = Command::new("setpriv");
        command.args(ids).arg("--").args(line);
        command
    })
}

/// Where a rule for the service user comes after the gateway's own, as `FILE:LINE`.
fn overriding(gateway: &CheckedGateway<'_>) -> Option<String> {
    let own = place(gateway.gateway);
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER).ok()?.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| *file > own && is_read(file));
    files.sort_unstable();
    // Lines in sudoers itself below its include come later too; a line above it does not.
    let user = &gateway.settings().service_user;
    let is_about = |line: &str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first == user || first == "ALL" || first.starts_with(['%', '#', '+']) && first.len() > 1
    };
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let found = text.lines().position(|line| line.contains('=') && is_about(line) && !line.starts_with("Defaults"));
        if let Some(at) = found {
            return Some(format!("{}:{}", file.display(), at + 1));
        }
    }
    None
}

/// sudo ignores names with a dot or a tilde at the end (sudoers(5)).
fn is_read(file: &Path) -> bool {
    file.file_name().and_then(|name| name.to_str()).is_some_and(|name| !name.contains('.') && !name.ends_with('~'))
}
