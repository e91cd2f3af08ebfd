//! Runs a command. In: [`AdmittedCommand`], the proof that its request was durably admitted. Out: [`Outcome`].
//!
//! MUST: no shell. Nothing runs without an `AdmittedCommand`. The command gets none of Postfix's descriptors, because
//! pipe(8) waits for every process that holds one. No command delays a delivery by more than its time limit and a few
//! seconds, no matter what it does with its output and which processes it leaves behind. The outcome is `refused` only
//! where it is proven that the command did not begin and never will (docs/decisions/0013).

mod begin;
mod capture;
mod input;
mod sudo_fault;
mod watch;

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub use begin::{BEGIN, BEGIN_WITH_PAYLOAD, NOT_REPORTED, begin};
pub use capture::Captured;
pub use sudo_fault::{host_name, new_privileges, remedy as sudo_remedy};

use begin::{Begun, Report};
use capture::Capture;
use watch::{Ended, Watch};

use crate::admission::AdmittedCommand;
use crate::authorize::{Invocation, conceal};
use crate::config::{Execution, RunVia, Settings};
use crate::error::Reason;
use crate::limits::{HOLD_MARGIN, KILL_AFTER, RUN_START, Timeouts};
use crate::protocol::RunResult;
use crate::system::child::isolated;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    result: RunResult,
    refused: Option<Reason>,
    output: Captured,
    took: Duration,
    fault: Option<String>,
}

impl Outcome {
    /// How it ended, as the protocol names it.
    pub fn result(&self) -> RunResult {
        self.result
    }

    /// Why nothing was run, where that is proven: the result is [`RunResult::Refused`].
    pub fn refused(&self) -> Option<Reason> {
        self.refused
    }

    /// What it printed, as much as is kept.
    pub fn output(&self) -> &Captured {
        &self.output
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// A configuration fault. Logged, never sent to the user.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// What is known about the end of a command line.
enum Known {
    /// The command did not begin and never will, with the reason.
    NotBegun(String),
    /// The command ended.
    Ended(Ended),
    /// It began, or may have begun, and its end was not seen, with the reason.
    Unknown(String),
}

/// Runs `command` and waits for its end. The command's limit, or else the settings' limit, says how much output is
/// kept.
pub fn run(command: &AdmittedCommand<'_>, settings: &Settings, timeouts: &Timeouts) -> Outcome {
    let (invocation, execution) = (command.invocation(), &settings.execution);
    let limit = invocation.output().unwrap_or(settings.limits.output.bytes());
    let line = command_line(invocation, execution);
    let shown = shown_line(invocation, execution).join(" ");
    let spawned = Instant::now();
    let mut begun = spawned;
    let mut capture = Capture::new(limit);
    let known = match start(&line, command, execution.run_via) {
        Err(error) => Known::NotBegun(format!("cannot run {shown}: {error}")),
        Ok((child, pipe, report)) => watch(child, pipe, report, invocation, timeouts, &mut capture, &mut begun)
            .unwrap_or_else(|error| Known::Unknown(format!("the command could not be watched: {error}"))),
    };
    let took = begun.elapsed();
    let mut output = capture.finish();
    let (result, fault) = match known {
        Known::NotBegun(why) => (RunResult::Refused, Some(sudo_fault::explain(&why, &output, settings))),
        Known::Unknown(why) => (RunResult::Unknown, Some(format!("{why}; it may still be running"))),
        Known::Ended(ended) => {
            let over = spawned.elapsed() >= invocation.timeout() && took + RUN_START >= invocation.timeout();
            result_of(&ended, over)
        }
    };
    // sudo's words name the command with its arguments.
    let fault = fault.map(|fault| conceal(&fault, &invocation.secrets(), 1));
    output.conceal(&invocation.secrets());
    let refused = (result == RunResult::Refused).then_some(Reason::SudoRules);
    Outcome { result, refused, output, took, fault }
}

/// The outcome of a command that was recorded as started, and is not started because it is too late.
pub fn not_begun() -> Outcome {
    let fault = format!(
        "more than {} s have passed since the start was recorded, so it was not started; the host was suspended or \
         overloaded, or its clock was set",
        HOLD_MARGIN.as_secs()
    );
    Outcome {
        result: RunResult::Refused,
        refused: Some(Reason::NotBegun),
        output: Capture::new(0).finish(),
        took: Duration::ZERO,
        fault: Some(fault),
    }
}

/// The outcome of a built-in command, which runs no program. At most `limit` bytes of `text` are kept.
pub fn answer(text: &str, limit: u64) -> Outcome {
    let mut capture = Capture::new(limit);
    capture.take(text.as_bytes());
    Outcome { result: RunResult::Exit(0), refused: None, output: capture.finish(), took: Duration::ZERO, fault: None }
}

/// The whole command line: `sudo -n -u USER [-g GROUP] -- timeout --kill-after=5s Ns mailsudo begin PROGRAM ARGS...`,
/// or, with `run_via = "direct"`, `timeout --kill-after=5s Ns PROGRAM ARGS...`.
pub fn command_line(invocation: &Invocation, execution: &Execution) -> Vec<String> {
    let mut line = sudo_part(invocation, execution);
    line.extend(invocation.time_limited(execution));
    line
}

/// The same with marks for secret values, for log and output.
pub fn shown_line(invocation: &Invocation, execution: &Execution) -> Vec<String> {
    let mut line = sudo_part(invocation, execution);
    line.extend(invocation.time_limited_shown(execution));
    line
}

/// The part of the command line before timeout(1): sudo and its options, or nothing.
fn sudo_part(invocation: &Invocation, execution: &Execution) -> Vec<String> {
    let mut line = Vec::new();
    if execution.run_via == RunVia::Sudo {
        let run_as = invocation.run_as();
        line.extend([execution.sudo.to_string_lossy().into_owned(), "-n".to_owned()]);
        line.extend(["-u".to_owned(), run_as.user.clone()]);
        if let Some(group) = &run_as.group {
            line.extend(["-g".to_owned(), group.clone()]);
        }
        line.push("--".to_owned());
    }
    line
}

fn start(
    line: &[String],
    command: &AdmittedCommand<'_>,
    run_via: RunVia,
) -> io::Result<(Child, PipeReader, Option<Report>)> {
    let (reader, writer) = io::pipe()?;
    let takes_payload = command.invocation().takes_payload();
    let input = takes_payload.then(|| input::descriptor(command.payload())).transpose()?;
    let (report, stdin) = match run_via {
        RunVia::Sudo => Report::pair(input.as_ref()).map(|(report, stdin)| (Some(report), stdin))?,
        RunVia::Direct => (None, input.map_or_else(Stdio::null, Stdio::from)),
    };
    let mut words = line.iter();
    let mut command = isolated(Path::new(words.next().map_or("", String::as_str)));
    command.args(words).stdin(stdin).stdout(writer.try_clone()?).stderr(writer);
    // Postfix's umask of 077 would pass through sudo to root's command
    // (docs/measurements.md#what-a-command-inherits-from-sudo).
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let spawned = command.spawn();
    rustix::process::umask(before);
    // `command` is dropped here, with the other ends of pipe and socket. While it holds them, they are never closed.
    Ok((spawned?, reader, report))
}

/// Waits for the command to begin, and then for it to end. Sets `begun` to the moment at which it began.
fn watch(
    child: Child,
    pipe: PipeReader,
    report: Option<Report>,
    invocation: &Invocation,
    timeouts: &Timeouts,
    capture: &mut Capture,
    begun: &mut Instant,
) -> io::Result<Known> {
    let via_sudo = report.is_some();
    let longest = invocation.timeout() + KILL_AFTER + timeouts.sudo;
    let mut watch = Watch::new(child, pipe, report, capture, timeouts.kill_grace)?;
    if !via_sudo {
        return until_ended(&mut watch, *begun + longest);
    }
    if let Some(ended) = watch.until_begun(*begun + timeouts.sudo_start)? {
        watch.forbid()?;
        return Ok(match watch.begun() {
            Begun::Since(_) => Known::Ended(ended),
            Begun::Failed(errno) => not_executed(errno),
            Begun::Never | Begun::NotYet => Known::NotBegun("sudo did not start the command".to_owned()),
        });
    }
    match watch.begun() {
        Begun::Since(moment) => {
            *begun = moment;
            until_ended(&mut watch, moment + longest)
        }
        // It has failed, or sudo has refused it. sudo itself may end later.
        Begun::Never | Begun::Failed(_) => {
            if watch.until_ended(Instant::now() + timeouts.sudo_start)?.is_none() {
                watch.end();
            }
            Ok(match watch.begun() {
                Begun::Failed(errno) => not_executed(errno),
                _ => Known::NotBegun("sudo did not start the command".to_owned()),
            })
        }
        Begun::NotYet => {
            watch.forbid()?;
            match watch.begun() {
                Begun::Since(moment) => {
                    *begun = moment;
                    until_ended(&mut watch, moment + longest)
                }
                Begun::Failed(errno) => Ok(not_executed(errno)),
                Begun::Never | Begun::NotYet => Ok(Known::NotBegun(format!(
                    "sudo did not start the command within {} s, and cannot start it any more",
                    timeouts.sudo_start.as_secs()
                ))),
            }
        }
    }
}

fn not_executed(errno: i32) -> Known {
    Known::NotBegun(format!("the program could not be executed: {}", io::Error::from_raw_os_error(errno)))
}

fn until_ended(watch: &mut Watch<'_>, deadline: Instant) -> io::Result<Known> {
    if let Some(ended) = watch.until_ended(deadline)? {
        return Ok(match watch.begun() {
            Begun::Failed(errno) => not_executed(errno),
            _ => Known::Ended(ended),
        });
    }
    watch.end();
    Ok(Known::Unknown("sudo or timeout did not end in time".to_owned()))
}

/// The result of a command that began; `over` is whether its time limit was over.
fn result_of(ended: &Ended, over: bool) -> (RunResult, Option<String>) {
    let result = match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => u8::try_from(code).map_or(RunResult::Unknown, RunResult::Exit),
        (None, Some(signal)) => RunResult::Signal(signal),
        (None, None) => RunResult::Unknown,
    };
    match result {
        RunResult::Exit(124 | 137) | RunResult::Signal(9) if over => (RunResult::TimedOut, None),
        // sudo and timeout end as their command did. A signal to one of them alone leaves the command running.
        RunResult::Signal(signal) if ended.has_survivors => {
            let fault = format!(
                "signal {signal} ended sudo, timeout or the command, and some process of it goes on; it may still be running"
            );
            (RunResult::Unknown, Some(fault))
        }
        _ => (result, None),
    }
}
