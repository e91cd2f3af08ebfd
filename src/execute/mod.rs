//! Runs a command. In: [`AdmittedCommand`], the proof that its request was durably admitted. Out: [`Outcome`].
//!
//! MUST: no shell. Nothing runs without an `AdmittedCommand`. The command gets none of Postfix's descriptors, because pipe(8) waits
//! for every process that holds one. No command delays a delivery by more than its time limit and a few seconds, whatever it
//! does with its output and whatever processes it leaves behind.

mod capture;
mod watch;

use std::io::{self, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

pub use capture::Captured;

use capture::Capture;
use watch::Ended;

use crate::admission::AdmittedCommand;
use crate::authorize::Invocation;
use crate::config::{Execution, RunAs, RunVia};
use crate::limits::{KILL_AFTER, Timeouts};
use crate::protocol::RunResult;
use crate::system::child::{end_group, isolated};

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    result: RunResult,
    output: Captured,
    took: Duration,
    fault: Option<String>,
}

impl Outcome {
    /// How it ended, in the protocol's words.
    pub fn result(&self) -> RunResult {
        self.result
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

/// Runs `command` and waits for its end. `limit` is how many bytes of its output are kept, unless the command says otherwise.
pub fn run(command: &AdmittedCommand<'_>, execution: &Execution, limit: u64, timeouts: &Timeouts) -> Outcome {
    let invocation = command.invocation();
    let limit = invocation.output().unwrap_or(limit);
    let line = command_line(invocation, execution);
    let begun = Instant::now();
    let mut capture = Capture::new(limit);
    let ended = start(&line).map(|(process, reader)| {
        let deadline = begun + invocation.timeout() + KILL_AFTER + timeouts.sudo;
        wait(process, reader, deadline, &mut capture, timeouts.kill_grace)
    });
    let took = begun.elapsed();
    let output = capture.finish();
    let (result, fault) = match ended {
        // Only where nothing was started may a reply say that nothing was run.
        Err(error) => (RunResult::Refused, Some(format!("cannot run {}: {error}", line.join(" ")))),
        Ok(Err(fault)) => (RunResult::Unknown, Some(fault)),
        Ok(Ok(ended)) => judge(&ended, took, &output, invocation, execution, timeouts),
    };
    Outcome { result, output, took, fault }
}

/// The outcome of a built-in command, which runs no program. At most `limit` bytes of `text` are kept.
pub fn answer(text: &str, limit: u64) -> Outcome {
    let mut capture = Capture::new(limit);
    capture.take(text.as_bytes());
    Outcome { result: RunResult::Exit(0), output: capture.finish(), took: Duration::ZERO, fault: None }
}

/// The whole command line: `sudo -n -u USER [-g GROUP] -- timeout --kill-after=5s Ns PROGRAM ARGS...`, or, with
/// `run_via = "direct"`, the part from timeout on.
pub fn command_line(invocation: &Invocation, execution: &Execution) -> Vec<String> {
    let mut line = match execution.run_via {
        RunVia::Sudo => sudo(execution, &["-n"], invocation.run_as()),
        RunVia::Direct => Vec::new(),
    };
    line.extend(invocation.time_limited(execution));
    line
}

fn sudo(execution: &Execution, options: &[&str], run_as: &RunAs) -> Vec<String> {
    let mut line = vec![execution.sudo.to_string_lossy().into_owned()];
    line.extend(options.iter().map(|&option| option.to_owned()));
    line.extend(["-u".to_owned(), run_as.user.clone()]);
    if let Some(group) = &run_as.group {
        line.extend(["-g".to_owned(), group.clone()]);
    }
    line.push("--".to_owned());
    line
}

fn start(line: &[String]) -> io::Result<(Child, PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let mut words = line.iter();
    let mut command = isolated(Path::new(words.next().map_or("", String::as_str)));
    command.args(words).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // Postfix's umask of 077 would pass through sudo to root's command (docs/measurements.md).
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let spawned = command.spawn();
    rustix::process::umask(before);
    // `command` is dropped with both writing ends here. While it held them, the pipe would never end.
    Ok((spawned?, reader))
}

fn wait(
    mut process: Child,
    reader: PipeReader,
    deadline: Instant,
    capture: &mut Capture,
    kill_grace: Duration,
) -> Result<Ended, String> {
    let fault = match watch::watch(&mut process, reader, deadline, kill_grace, capture) {
        Ok(Some(ended)) => return Ok(ended),
        Ok(None) => "sudo or timeout did not end in time".to_owned(),
        Err(error) => format!("the command could not be watched: {error}"),
    };
    end_group(&mut process, kill_grace);
    Err(format!("{fault}; it may still be running"))
}

fn judge(
    ended: &Ended,
    took: Duration,
    output: &Captured,
    invocation: &Invocation,
    execution: &Execution,
    timeouts: &Timeouts,
) -> (RunResult, Option<String>) {
    let result = match (ended.status.code(), ended.status.signal()) {
        (Some(code), _) => u8::try_from(code).map_or(RunResult::Unknown, RunResult::Exit),
        (None, Some(signal)) => RunResult::Signal(signal),
        (None, None) => RunResult::Unknown,
    };
    let over = took >= invocation.timeout();
    match result {
        RunResult::Exit(124 | 137) | RunResult::Signal(9) if over => (RunResult::TimedOut, None),
        // sudo and timeout die as their command did. Whoever kills one of them alone ends nothing else: its child goes on.
        RunResult::Signal(signal) if ended.has_survivors => {
            let fault = format!("signal {signal} ended sudo, timeout or the command, and something of it goes on");
            (RunResult::Unknown, Some(fault))
        }
        // sudo says 1 when it refuses, and so may any command: only then is it worth asking.
        RunResult::Exit(1) if execution.run_via == RunVia::Sudo => {
            match refusal_of_sudo(output, invocation, execution, timeouts) {
                Some(fault) => (RunResult::Refused, Some(fault)),
                None => (result, None),
            }
        }
        _ => (result, None),
    }
}

/// What sudoers lacks, if sudo refused. Whatever else was printed was printed by the command: then it ran, and nobody may be
/// told that it did not. A sudo that wants a password even for `-l` (listpw in sudoers(5)) cannot tell either.
fn refusal_of_sudo(
    output: &Captured,
    invocation: &Invocation,
    execution: &Execution,
    timeouts: &Timeouts,
) -> Option<String> {
    let text = output.text();
    if !only_sudo_spoke(&text) {
        return None;
    }
    if wants_password(&text) {
        let fault = "sudo wants a password: the rule in sudoers lacks NOPASSWD; `mailsudo sudoers --install` mends it";
        return Some(fault.to_owned());
    }
    let mut question = sudo(execution, &["-n", "-l"], invocation.run_as());
    question.extend(invocation.time_limited(execution));
    let (mut process, reader) = start(&question).ok()?;
    let mut said = Capture::new(1 << 14);
    let answer =
        watch::watch(&mut process, reader, Instant::now() + timeouts.sudo_list, timeouts.kill_grace, &mut said);
    let Ok(Some(ended)) = answer else {
        end_group(&mut process, timeouts.kill_grace);
        return None;
    };
    (ended.status.code() == Some(1) && !wants_password(&said.finish().text())).then(|| {
        format!(
            "sudo does not permit `{}` as {}; `mailsudo sudoers --install` mends it",
            invocation.time_limited(execution).join(" "),
            invocation.run_as()
        )
    })
}

fn wants_password(text: &str) -> bool {
    text.contains("password is required") || text.contains("authentication is required")
}

/// Whether every line is sudo's or sudo-rs's own. A bad line in sudoers is shown with each run: its place, the line itself,
/// and a mark below it.
fn only_sudo_spoke(text: &str) -> bool {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let own = ["sudo: ", "sudo-rs: ", "Sorry, user ", "I'm sorry "].iter().any(|start| line.starts_with(start));
        if line.starts_with('/') && line.contains(": syntax error") {
            lines.by_ref().take(2).for_each(drop);
        } else if !own {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudos_own_words_are_known() {
        for own in [
            "",
            "sudo: a password is required\n",
            "Sorry, user mailsudo is not allowed to execute '/bin/x' as root on vm.\n",
            "/etc/sudoers.d/x:1:5: syntax error\nfoo bar\n    ^~~\nsudo: a password is required\n",
        ] {
            assert!(only_sudo_spoke(own), "{own}");
        }
        for other in ["done\n", "done\nsudo: a password is required\n", "\n", "/etc/x: no such file\n"] {
            assert!(!only_sudo_spoke(other), "{other}");
        }
    }
}
