//! A command with its values filled in: the argument vector, alone and with the time limit in front. `execute` runs
//! what `sudoers` permits, because both take it from here.

use std::fmt;
use std::time::Duration;

use super::Values;
use crate::config::{Command, Execution, RunAs, RunVia, Span, Template};
use crate::limits::KILL_AFTER;
use crate::protocol::{
    CommandName, GatewayName, Key, ParameterName, Payload, RequestId, RunDigest, SECRET, mark, seal,
};

/// One complete command line, with every byte fixed.
pub struct Invocation {
    name: CommandName,
    argv: Vec<String>,
    /// The argument vector with marks for secret values.
    shown: Vec<String>,
    /// The secret values.
    secrets: Vec<(ParameterName, String)>,
    run_as: RunAs,
    timeout: Span,
    output: Option<u64>,
    exclusive: bool,
    takes_payload: bool,
}

impl fmt::Debug for Invocation {
    /// Without secret values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invocation {{ {} as {} }}", self.shown.join(" "), self.run_as)
    }
}

impl Invocation {
    /// Fills `values` into the command's templates.
    ///
    /// # Errors
    ///
    /// An argument that starts with a parameter would begin with `-`: the program would read it as an option.
    pub fn new(command: &Command, values: &Values) -> Result<Self, String> {
        Self::with_marks(command, values, |_, _| SECRET.to_owned())
    }

    /// The same for the request `id`, which `key` has signed: its secret values have marks by which they can be
    /// compared.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`].
    pub fn of_request(command: &Command, values: &Values, key: &Key, id: &RequestId) -> Result<Self, String> {
        Self::with_marks(command, values, |name, value| mark(key, id, name, value))
    }

    fn with_marks(
        command: &Command,
        values: &Values,
        mark: impl Fn(&ParameterName, &str) -> String,
    ) -> Result<Self, String> {
        let mut argv = Vec::with_capacity(command.argv.len());
        for template in &command.argv {
            let filled = template.fill(|name| values.get(name).map(String::as_str));
            argv.push(filled.ok_or_else(|| {
                let name = template.opening().map_or("a value", |name| name.as_str());
                format!("`{name}` may not begin with -")
            })?);
        }
        let mut shown = argv.clone();
        let mut secrets = Vec::new();
        if command.has_secrets() {
            let mut marked = values.clone();
            for (name, value) in &mut marked {
                if command.parameters.get(name).is_some_and(|parameter| parameter.secret) {
                    secrets.push((name.clone(), std::mem::replace(value, mark(name, value))));
                }
            }
            let fill = |template: &Template| template.fill(|name| marked.get(name).map(String::as_str));
            shown = command.argv.iter().map(|template| fill(template).unwrap_or_else(|| SECRET.to_owned())).collect();
        }
        Ok(Self {
            name: command.name.clone(),
            argv,
            shown,
            secrets,
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

    /// The same with marks for secret values. All but the start of the command uses this one.
    pub fn shown(&self) -> &[String] {
        &self.shown
    }

    /// The same as one text, one argument on a line, with the secret values sealed in it, for a request that waits for
    /// approval.
    pub fn sealed(&self, key: &Key, id: &RequestId) -> String {
        let seal = |text: String, (name, value): &(ParameterName, String)| {
            let mark = mark(key, id, name, value);
            seal(key, id, name, value).map_or_else(|| text.clone(), |sealed| text.replace(&mark, &sealed))
        };
        self.secrets.iter().fold(self.shown.join("\n"), seal)
    }

    /// The secret values in it.
    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(|(_, value)| value.as_str()).collect()
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

    /// The digest of this run, which approvers agree to. A secret value counts by its mark, as it is shown to them.
    pub fn digest(&self, gateway: &GatewayName, request: &RequestId, payload: Option<&Payload>) -> RunDigest {
        let payload = payload.map(Payload::digest);
        RunDigest::of(gateway, request, &self.run_as.to_string(), &self.shown, payload)
    }

    /// Whether it may get a payload on standard input.
    pub fn takes_payload(&self) -> bool {
        self.takes_payload
    }

    /// The argument vector with its time limit in front. timeout(1) keeps the limit inside the sudo rule, because an
    /// unprivileged caller cannot end another user's process (docs/decisions/0007). In a sudo rule, `mailsudo begin`
    /// reports that the command begins (`execute/begin.rs`).
    pub fn time_limited(&self, execution: &Execution) -> Vec<String> {
        let mut vector = prefix(execution, self.timeout, self.takes_payload);
        vector.extend_from_slice(&self.argv);
        vector
    }

    /// The same with marks for secret values.
    pub fn time_limited_shown(&self, execution: &Execution) -> Vec<String> {
        let mut vector = prefix(execution, self.timeout, self.takes_payload);
        vector.extend_from_slice(&self.shown);
        vector
    }
}

/// `text` with [`SECRET`] in the place of each of `secrets` that has at least `shortest` bytes, the longest first.
pub fn conceal(text: &str, secrets: &[&str], shortest: usize) -> String {
    let mut secrets: Vec<_> = secrets.iter().filter(|secret| secret.len() >= shortest.max(1)).collect();
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, SECRET))
}

/// The words before every command: `timeout --kill-after=5s 30s mailsudo begin`, or `mailsudo begin-with-payload` for a
/// command with `[payload]`. No other command's standard input can be anything but /dev/null.
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
