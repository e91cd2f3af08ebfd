//! Proves each sudo rule by using it, as the service user, without running the command: `mailsudo begin` inside the
//! rule gets a socket that no process reads, cannot report the start, and so runs nothing (`execute/begin.rs`). Any
//! other message of sudo is the one that `deliver` would get: a rule that is missing, or overridden by a later file,
//! requiretty, intercept, log_input, PAM.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::programs::ask;
use super::later_lines::{Set, Undone};
use super::{CheckedGateway, Report, count, later_lines};
use crate::authorize::Invocation;
use crate::execute::{NOT_REPORTED, command_line, host_name, sudo_remedy};
use crate::remedy::{Call, LAST_SUDOERS_FILE, Remedy};
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
        let own = place(gateway.gateway);
        let remedy = match (known, later_lines::rule(&own, &settings.service_user)) {
            (Some(Remedy::SudoersFlag { user, flag, file }), _) => match later_lines::flag(flag) {
                Some(Set { at, undone_in }) => {
                    what.push_str(&format!("; {flag} is set in {at}"));
                    match undone_in {
                        Undone::InTheLastFile => Remedy::SudoersFlag { user, flag, file: LAST_SUDOERS_FILE },
                        Undone::AtTheEnd => Remedy::SudoersFlag { user, flag, file },
                        Undone::Nowhere => format!(
                            "take {flag} out of {at}: what is set for a command counts more than what is set for a user"
                        )
                        .into(),
                    }
                }
                None => Remedy::SudoersFlag { user, flag, file },
            },
            (Some(remedy), _) => remedy,
            (None, Some(later)) => {
                what.push_str(&format!("; a later rule is in {later}, and the last one that matches counts"));
                format!(
                    "remove that rule, or move it into a file of {FOLDER} whose name sorts before {}",
                    own.display()
                )
                .into()
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
