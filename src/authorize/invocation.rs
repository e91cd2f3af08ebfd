//! A command with its values filled in: the argument vector, alone and with the time limit in front. `execute` runs what
//! `sudoers` permits, because both take it from here.

use std::time::Duration;

use super::Values;
use crate::config::{Command, Execution, RunAs, RunVia, Span};
use crate::limits::KILL_AFTER;
use crate::protocol::{CommandName, GatewayName, Payload, RequestId, RunDigest};

/// One complete command line, with every byte fixed.
#[derive(Debug)]
pub struct Invocation {
    name: CommandName,
    argv: Vec<String>,
    run_as: RunAs,
    timeout: Span,
    output: Option<u64>,
    exclusive: bool,
    takes_payload: bool,
}

impl Invocation {
    /// Fills `values` into the command's templates.
    ///
    /// # Errors
    ///
    /// An argument that starts with a parameter would begin with `-`: the program would read it as an option.
    pub fn new(command: &Command, values: &Values) -> Result<Self, String> {
        let mut argv = Vec::with_capacity(command.argv.len());
        for template in &command.argv {
            let filled = template.fill(|name| values.get(name).map(String::as_str));
            argv.push(filled.ok_or_else(|| {
                let name = template.opening().map_or("a value", |name| name.as_str());
                format!("`{name}` may not begin with -")
            })?);
        }
        Ok(Self {
            name: command.name.clone(),
            argv,
            run_as: command.run_as.clone(),
            timeout: command.timeout,
            output: command.output.map(crate::config::Size::bytes),
            exclusive: command.exclusive,
            takes_payload: command.payload.is_some(),
        })
    }

    /// The command's name.
    pub fn name(&self) -> &CommandName {
        &self.name
    }

    /// The program and its arguments.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The account that it runs as.
    pub fn run_as(&self) -> &RunAs {
        &self.run_as
    }

    /// Its time limit.
    pub fn timeout(&self) -> Duration {
        self.timeout.as_duration()
    }

    /// How many bytes of its output are kept, if not the gateway's number.
    pub fn output(&self) -> Option<u64> {
        self.output
    }

    /// Whether one run at a time is allowed.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// The digest of this run, which approvers agree to.
    pub fn digest(&self, gateway: &GatewayName, request: &RequestId, payload: Option<&Payload>) -> RunDigest {
        let payload = payload.map(Payload::digest);
        RunDigest::of(gateway, request, &self.run_as.to_string(), &self.argv, payload)
    }

    /// Whether it may get a payload on standard input.
    pub fn takes_payload(&self) -> bool {
        self.takes_payload
    }

    /// The argument vector with its time limit in front. timeout(1) keeps the limit inside the sudo rule, because an
    /// unprivileged caller cannot end another user's process (docs/decisions/0007). In a sudo rule, `mailsudo begin` reports
    /// that the command begins (`execute/begin.rs`).
    pub fn time_limited(&self, execution: &Execution) -> Vec<String> {
        let mut vector = prefix(execution, self.timeout, self.takes_payload);
        vector.extend_from_slice(&self.argv);
        vector
    }
}

/// The words before every command: `timeout --kill-after=5s 30s mailsudo begin`, or `mailsudo begin-with-payload` for a command
/// with `[payload]`. No other command's standard input can be anything but /dev/null.
pub fn prefix(execution: &Execution, timeout: Span, takes_payload: bool) -> Vec<String> {
    let mut words = vec![
        execution.timeout.to_string_lossy().into_owned(),
        format!("--kill-after={}s", KILL_AFTER.as_secs()),
        format!("{}s", timeout.as_duration().as_secs()),
    ];
    if execution.run_via == RunVia::Sudo {
        let begin = if takes_payload { "begin-with-payload" } else { "begin" };
        words.extend([execution.mailsudo.to_string_lossy().into_owned(), begin.to_owned()]);
    }
    words
}
