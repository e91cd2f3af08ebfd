//! Proves each sudo rule by using it, as the service user, without running the command: `mailsudo begin` inside the
//! rule gets a socket that no process reads, cannot report the start, and so runs nothing (`execute/begin.rs`). Any
//! other message of sudo is the one that `deliver` would get: a rule that is missing, or overridden by a later file,
//! requiretty, intercept, log_input, PAM.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use super::gateway::Depth;
use super::later_lines::{Set, Undone};
use super::programs::left;
use super::{CheckedGateway, Report, count, later_lines};
use crate::authorize::{Invocation, Values};
use crate::config::Command;
use crate::execute::{NOT_REPORTED, command_line, host_name, sudo_remedy};
use crate::limits::{CHECK_AT_ONCE, CHECK_PROGRAM, CHECK_RULES};
use crate::remedy::{Call, LAST_SUDOERS_FILE, Remedy};
use crate::sudoers::{FOLDER, place, samples};
use crate::system::accounts::Account;
use crate::system::child::output_within;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    let Some(service) = gateway.service else {
        return;
    };
    let samples = gateway.commands.iter().map(|command| (command, samples(command)));
    let samples: Vec<(&Command, Vec<Values>)> = samples.filter(|(_, samples)| !samples.is_empty()).collect();
    // Each attempt is a line in sudo's own log, so all rules are tried only where that is asked for.
    let first = samples.iter().filter_map(|(command, samples)| Some((*command, samples.first()?)));
    let others =
        samples.iter().flat_map(|(command, samples)| samples.iter().skip(1).map(move |values| (*command, values)));
    let rules: Vec<_> = first.chain(others).collect();
    let most = if gateway.depth == Depth::Deep { rules.len() } else { samples.len() };
    let (begun, mut tried) = (Instant::now(), 0);
    let first_tried = rules.iter().take(most).collect::<Vec<_>>();
    let attempts = first_tried
        .chunks(CHECK_AT_ONCE)
        .take_while(|_| begun.elapsed() < CHECK_RULES)
        .flat_map(|rules| together(gateway, service, rules));
    for (command, started) in attempts {
        match started {
            Some(Started::Proven) => tried += 1,
            Some(Started::Refused(words)) => return refused(gateway, command, &words, report),
            Some(Started::Silent) => {
                let what = format!(
                    "sudo did not answer in time for {}: it may look up the host's own name, or wait for syslog",
                    command.name
                );
                return report.error("sudo", what, Remedy::HostName(host_name()));
            }
            Some(Started::NotTried) => return,
            None => {}
        }
    }
    if tried > 0 {
        let rules = if tried == rules.len() {
            "each rule was tried".to_owned()
        } else {
            format!("{tried} of {} rules were tried (--deep tries all)", rules.len())
        };
        report.ok("sudo", format!("it starts the service user's {}, and {rules}", count(samples.len(), "command")));
    }
}

/// Tries some rules at a time; `None` for values that make no command line.
fn together<'c>(
    gateway: &CheckedGateway<'_>,
    service: Account,
    rules: &[&(&'c Command, &Values)],
) -> Vec<(&'c Command, Option<Started>)> {
    let attempt = |values: &Values, command: &Command| {
        let invocation = Invocation::new(command, values).ok()?;
        Some(start(gateway, service, &invocation))
    };
    thread::scope(|scope| {
        let mut begun = Vec::new();
        for &&(command, values) in rules {
            let thread = thread::Builder::new().spawn_scoped(scope, move || attempt(values, command));
            begun.push((command, values, thread.ok()));
        }
        let end = |(command, values, thread): (_, _, Option<ScopedJoinHandle<'_, _>>)| {
            // Where there is no further thread, it is tried here.
            (command, thread.map_or_else(|| attempt(values, command), |thread| thread.join().ok().flatten()))
        };
        begun.into_iter().map(end).collect()
    })
}

/// What became of an attempt to start a command.
enum Started {
    /// sudo has started it.
    Proven,
    /// It has not; these are its words.
    Refused(String),
    /// It did not answer in time.
    Silent,
    /// The caller may not try it.
    NotTried,
}

fn start(gateway: &CheckedGateway<'_>, service: Account, invocation: &Invocation) -> Started {
    let Ok((ours, stdin)) = UnixStream::pair() else {
        return Started::NotTried;
    };
    // No process reads, so the report fails with EPIPE.
    drop(ours);
    let line = command_line(invocation, &gateway.settings().execution);
    let Some(mut attempt) = as_service_user(&line, service) else {
        return Started::NotTried;
    };
    attempt
        .env_clear()
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(OwnedFd::from(stdin));
    let within = if gateway.depth == Depth::Deep { CHECK_PROGRAM } else { left() };
    let Some(answer) = output_within(&mut attempt, within).ok().flatten() else {
        return Started::Silent;
    };
    if answer.status.code() == Some(i32::from(NOT_REPORTED)) {
        return Started::Proven;
    }
    let said = [answer.out, answer.err].join(" ");
    Started::Refused(said.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Reports what sudo said instead of starting the command.
fn refused(gateway: &CheckedGateway<'_>, command: &Command, words: &str, report: &mut Report) {
    let settings = gateway.settings();
    let mut what = format!("sudo does not start {} for {}: {words}", command.name, settings.service_user);
    let known = sudo_remedy(words, settings).filter(|remedy| *remedy != Call::Check.into());
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
            format!("remove that rule, or move it into a file of {FOLDER} whose name sorts before {}", own.display())
                .into()
        }
        (None, None) => Call::InstallSudoers.into(),
    };
    report.error("sudoers", what, remedy);
}

/// The command line, run by the service user; `None` where the caller may not run it so.
fn as_service_user(line: &[String], service: Account) -> Option<process::Command> {
    let (program, arguments) = line.split_first()?;
    let caller = rustix::process::geteuid();
    if caller.as_raw() == service.uid {
        let mut command = process::Command::new(program);
        command.args(arguments);
        return Some(command);
    }
    caller.is_root().then(|| {
        let ids = [format!("--reuid={}", service.uid), format!("--regid={}", service.gid), "--clear-groups".to_owned()];
        let mut command = process::Command::new("setpriv");
        command.args(ids).arg("--").args(line);
        command
    })
}
