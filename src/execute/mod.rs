//! The run. In: [`Started`], the proof that this request was durably admitted. Out: [`Outcome`].
//!
//! MUST: no shell; nothing runs without a `Started`; the command gets none of Postfix's descriptors (pipe(8) waits for
//! whoever holds them); no command, whatever it does with its output or leaves behind, holds a delivery up for longer
//! than its limit and a few seconds.

mod capture;
mod watch;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub use capture::Captured;
pub use watch::{end_group, wait_until};

use capture::Capture;

use crate::authorize::Invocation;
use crate::config::{Execution, Fence, RunAs};
use crate::ledger::Started;
use crate::protocol::RunResult;

/// How long timeout(1) waits between TERM and KILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// How much longer than limit and [`GRACE`] the caller waits before it gives up on sudo itself.
const BACKSTOP: Duration = Duration::from_secs(10);

/// How long sudo may take to say whether it would have run a command.
const QUESTION: Duration = Duration::from_secs(10);

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

    /// What the sysadmin must mend; for the log only.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// Runs the command that `_started` admits and waits for its end.
pub fn run(_started: &Started<'_>, invocation: &Invocation, execution: &Execution, limit: u64) -> Outcome {
    let line = command_line(invocation, execution);
    let begun = Instant::now();
    let mut capture = Capture::new(limit);
    let ended = start_and_watch(&line, invocation, execution.fence, &mut capture);
    let took = begun.elapsed();
    let output = capture.finish();
    let (result, fault) = match ended {
        Err(error) => (RunResult::Refused, Some(format!("cannot run {}: {error}", line.join(" ")))),
        Ok(None) => {
            let fault = "sudo or timeout did not end in time; the command may still be running";
            (RunResult::Unknown, Some(fault.to_owned()))
        }
        Ok(Some(status)) => judge(status, took, &output, invocation, execution),
    };
    Outcome { result, output, took, fault }
}

/// The outcome of a built-in command, which runs nothing.
pub fn answer(_started: &Started<'_>, text: &str, limit: u64) -> Outcome {
    let mut capture = Capture::new(limit);
    capture.take(text.as_bytes());
    Outcome { result: RunResult::Exit(0), output: capture.finish(), took: Duration::ZERO, fault: None }
}

/// The whole command line: `sudo -n -u USER [-g GROUP] -- timeout --kill-after=5s Ns PROGRAM ARGS...`, or, without the
/// fence, the part from timeout on.
pub fn command_line(invocation: &Invocation, execution: &Execution) -> Vec<String> {
    let mut line = match execution.fence {
        Fence::Sudo => sudo(execution, &["-n"], invocation.run_as()),
        Fence::None => Vec::new(),
    };
    line.extend(invocation.fenced(execution));
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

/// A child with nothing of ours but its arguments: own process group, `/` as folder, no input, a clean environment.
fn child(line: &[String]) -> Command {
    let mut words = line.iter();
    let mut command = Command::new(words.next().map_or("", String::as_str));
    command
        .args(words)
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0);
    command
}

fn start_and_watch(
    line: &[String],
    invocation: &Invocation,
    fence: Fence,
    capture: &mut Capture,
) -> std::io::Result<Option<ExitStatus>> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = child(line);
    command.stdout(writer.try_clone()?).stderr(writer);
    // Postfix's umask of 077 would pass through sudo to root's command (FACTS.md).
    let former = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let spawned = command.spawn();
    rustix::process::umask(former);
    // The command holds both writing ends; while it does, the pipe never ends.
    drop(command);
    let mut process = spawned?;
    let margin = if fence == Fence::Sudo { BACKSTOP } else { Duration::from_secs(2) };
    let deadline = Instant::now() + invocation.timeout() + GRACE + margin;
    let status = watch::watch(&mut process, reader, deadline, capture)?;
    if status.is_none() {
        end_group(&mut process);
    }
    Ok(status)
}

fn judge(
    status: ExitStatus,
    took: Duration,
    output: &Captured,
    invocation: &Invocation,
    execution: &Execution,
) -> (RunResult, Option<String>) {
    let result = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).map_or(RunResult::Unknown, RunResult::Exit),
        (None, Some(signal)) => RunResult::Signal(signal),
        (None, None) => RunResult::Unknown,
    };
    let over = took >= invocation.timeout();
    match result {
        RunResult::Exit(124 | 137) | RunResult::Signal(9) if over => (RunResult::TimedOut, None),
        // sudo says 1 when it refuses, and so may any command: only then is it worth asking.
        RunResult::Exit(1) if execution.fence == Fence::Sudo => match refusal_of_sudo(output, invocation, execution) {
            Some(fault) => (RunResult::Refused, Some(fault)),
            None => (result, None),
        },
        _ => (result, None),
    }
}

/// What sudoers lacks, if sudo refused. Its own words about a password count only where nothing else was printed, since a
/// command may call sudo itself; `sudo -l` says 0 in that case, though it would not run (FACTS.md).
fn refusal_of_sudo(output: &Captured, invocation: &Invocation, execution: &Execution) -> Option<String> {
    let text = output.text();
    let only_sudo = text.lines().all(|line| line.starts_with("sudo: ") || line.starts_with("sudo-rs: "));
    if only_sudo && (text.contains("password is required") || text.contains("authentication is required")) {
        return Some(
            "sudo wants a password: the rule in sudoers lacks NOPASSWD; install what `mailsudo sudoers` prints"
                .to_owned(),
        );
    }
    let mut question = sudo(execution, &["-n", "-l"], invocation.run_as());
    question.extend(invocation.fenced(execution));
    let mut command = child(&question);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut process = command.spawn().ok()?;
    let Ok(Some(status)) = wait_until(&mut process, Instant::now() + QUESTION) else {
        end_group(&mut process);
        return None;
    };
    (status.code() == Some(1)).then(|| {
        format!(
            "sudo does not permit `{}` as {}; install what `mailsudo sudoers` prints",
            invocation.fenced(execution).join(" "),
            invocation.run_as()
        )
    })
}
