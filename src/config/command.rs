//! `commands.d/NAME.toml`: one configured command.
//! In: text. Out: a [`Command`] with parts that fit each other. `authorize` and `sudoers` rely on that.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::approval::Approval;
use super::built_in::{BUILT_IN, REASON};
use super::parameter::{Kind, Parameter, Scalar};
use super::payload::PayloadRule;
use super::settings::{RunVia, Settings};
use super::{ConfigError, RunAs, Size, Source, Span, Template};
use crate::limits::{MAX_AGE, OUTPUT};
use crate::ordered;
use crate::protocol::{CommandName, ParameterName, is_unsafe};

/// One command that mail may run.
#[derive(Debug)]
pub struct Command {
    /// The name that requests use.
    pub name: CommandName,
    /// One line that describes it.
    pub summary: String,
    /// The account that it runs as.
    pub run_as: RunAs,
    /// The program's absolute path, then its arguments.
    pub argv: Vec<Template>,
    /// Its time limit.
    pub timeout: Span,
    /// How old a request for it may be, if the gateway's limit does not apply.
    pub max_age: Option<Span>,
    /// How much of its output is kept, if the gateway's limit does not apply.
    pub output: Option<Size>,
    /// Whether one run at a time is allowed.
    pub exclusive: bool,
    /// Whether a request for it must have an SSH signature.
    pub require_signature: bool,
    /// Its parameters.
    pub parameters: BTreeMap<ParameterName, Parameter>,
    /// For each role, the values that it may give; any value for a parameter that is not named.
    pub allow: BTreeMap<String, BTreeMap<ParameterName, Vec<String>>>,
    /// What it takes on standard input; `None`: nothing.
    pub payload: Option<PayloadRule>,
    /// Who must agree before it runs; `None`: it runs at once.
    pub approval: Option<Approval>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    summary: Spanned<String>,
    run_as: RunAs,
    argv: Spanned<Vec<Template>>,
    timeout: Option<Spanned<Span>>,
    max_age: Option<Spanned<Span>>,
    output: Option<Size>,
    exclusive: Option<bool>,
    #[serde(default)]
    require_signature: bool,
    #[serde(default)]
    parameters: BTreeMap<ParameterName, Spanned<Parameter>>,
    #[serde(default)]
    allow: BTreeMap<String, Spanned<BTreeMap<ParameterName, Vec<Scalar>>>>,
    payload: Option<Spanned<PayloadRule>>,
    approval: Option<Spanned<Approval>>,
}

/// The time limit of a command that sets none.
const DEFAULT_TIMEOUT: Span = Span::seconds(60);

impl Command {
    pub(super) fn parse(name: &CommandName, source: &Source<'_>, settings: &Settings) -> Result<Self, ConfigError> {
        let file: File = source.parse()?;
        let checks = Checks { source, file: &file, settings };
        checks.limits(name)?;
        checks.argv()?;
        checks.allow()?;
        checks.approval()?;
        let list = |values: Vec<Scalar>| values.iter().map(Scalar::text).collect();
        let span = file.argv.span();
        let command = Self {
            name: name.clone(),
            summary: file.summary.into_inner(),
            run_as: file.run_as,
            argv: file.argv.into_inner(),
            timeout: file.timeout.map_or(DEFAULT_TIMEOUT, Spanned::into_inner),
            max_age: file.max_age.map(Spanned::into_inner),
            output: file.output,
            exclusive: file.exclusive.unwrap_or(true),
            require_signature: file.require_signature,
            parameters: ordered::collect(file.parameters.into_iter().map(|(n, p)| (n, p.into_inner()))),
            allow: ordered::collect(file.allow.into_iter().map(|(role, given)| {
                (role, ordered::collect(given.into_inner().into_iter().map(|(n, v)| (n, list(v)))))
            })),
            payload: file.payload.map(Spanned::into_inner),
            approval: file.approval.map(|approval| approval.into_inner().signed(file.require_signature)),
        };
        if settings.execution.run_via == RunVia::Sudo {
            command
                .check_for_sudo()
                .map_err(|what| source.error(Some(span), format!("with run_via = \"sudo\": {what}")))?;
        }
        Ok(command)
    }

    /// Whether sudo can distinguish this command's arguments: it matches all of them as one string joined by spaces,
    /// so nothing may hold white space or be empty (docs/measurements.md#sudo-matches-arguments-as-one-string).
    ///
    /// # Errors
    ///
    /// What is wrong, and what to write instead.
    pub fn check_for_sudo(&self) -> Result<(), String> {
        let loose = |text: &str| text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control());
        if self.argv.iter().flat_map(Template::literals).any(loose) {
            return Err(
                "no argument may be empty or hold white space: sudo could not tell it from two; put it into a \
                        script of its own"
                    .to_owned(),
            );
        }
        for (name, parameter) in &self.parameters {
            match &parameter.kind {
                Kind::OneOf(values) if values.iter().any(|value| loose(value)) => {
                    return Err(format!("{name}: no value may be empty or hold white space"));
                }
                Kind::Pattern(pattern, _) => pattern.check_for_sudo().map_err(|what| format!("{name}: {what}"))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Every role that it names: those that may run it, may approve it, or are excepted from approval.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.allow.keys().map(String::as_str).chain(self.approval.iter().flat_map(Approval::roles))
    }

    /// Whether any of its parameters is secret.
    pub fn has_secrets(&self) -> bool {
        self.parameters.values().any(|parameter| parameter.secret)
    }

    /// The absolute path of its program.
    pub fn program(&self) -> &str {
        self.argv.first().and_then(|first| first.literals().next()).unwrap_or_default()
    }
}

/// What the type of a single key cannot check: whether the parts of a file fit each other and the gateway.
struct Checks<'c> {
    source: &'c Source<'c>,
    file: &'c File,
    settings: &'c Settings,
}

impl Checks<'_> {
    fn limits(&self, name: &CommandName) -> Result<(), ConfigError> {
        let error = |span, what: String| Err(self.source.error(span, what));
        if BUILT_IN.contains(&name.as_str()) {
            return error(None, format!("`{name}` is a built-in command; rename the file"));
        }
        let summary = self.file.summary.get_ref();
        if summary.trim().is_empty() || summary.chars().any(is_unsafe) {
            return error(Some(self.file.summary.span()), "summary is one line of plain text".to_owned());
        }
        let longest = self.settings.execution.longest;
        let timeout = self.file.timeout.as_ref().map_or(DEFAULT_TIMEOUT, |timeout| *timeout.get_ref());
        if timeout > longest {
            let what =
                format!("timeout {timeout} is above execution.longest, {longest}; Postfix's limit is set from that");
            return error(self.file.timeout.as_ref().map(Spanned::span), what);
        }
        if self.file.output.is_some_and(|output| output.bytes() > OUTPUT) {
            return Err(self.source.error_at("output", "output is at most 4MiB"));
        }
        if let Some(payload) = &self.file.payload
            && payload.get_ref().max > self.settings.limits.message
        {
            let what = "[payload] max is above [limits] message, so no such mail would be read".to_owned();
            return error(Some(payload.span()), what);
        }
        match &self.file.max_age {
            Some(max_age) if max_age.get_ref().as_duration() > MAX_AGE => {
                error(Some(max_age.span()), "max_age is at most 7d".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn argv(&self) -> Result<(), ConfigError> {
        let span = Some(self.file.argv.span());
        let error = |what: String| Err(self.source.error(span.clone(), what));
        let argv = self.file.argv.get_ref();
        let program = argv.first().filter(|first| first.placeholders().next().is_none());
        let is_path = |path: &str| path.starts_with('/') && Path::new(path).file_name().is_some();
        if !program.and_then(|program| program.literals().next()).is_some_and(is_path) {
            return error("argv begins with the absolute path of a program, without {…}".to_owned());
        }
        if argv.iter().flat_map(Template::literals).any(|text| text.chars().any(char::is_control)) {
            return error("argv holds a control character".to_owned());
        }
        let used = |name: &ParameterName| argv.iter().any(|template| template.placeholders().any(|p| p == name));
        for name in argv.iter().flat_map(Template::placeholders) {
            if !self.file.parameters.contains_key(name) {
                return error(format!("{{{name}}} is not declared; add [parameters.{name}]"));
            }
        }
        match self.file.parameters.iter().find(|(name, _)| !used(name)) {
            Some((name, parameter)) => Err(self.source.error(
                Some(parameter.span()),
                format!("the parameter `{name}` has no place in argv; add {{{name}}} or remove it"),
            )),
            None => Ok(()),
        }
    }

    fn approval(&self) -> Result<(), ConfigError> {
        let Some(approval) = &self.file.approval else {
            return Ok(());
        };
        let error = |what: String| Err(self.source.error(Some(approval.span()), format!("[approval] {what}")));
        if let Err(what) = approval.get_ref().check() {
            return error(what);
        }
        if self.file.parameters.keys().any(|name| name.as_str() == REASON) {
            return error(format!("takes `{REASON}` for the requester's reason; rename the parameter"));
        }
        Ok(())
    }

    fn allow(&self) -> Result<(), ConfigError> {
        for (role, given) in &self.file.allow {
            let error = |what: String| Err(self.source.error(Some(given.span()), what));
            for (name, values) in given.get_ref() {
                let Some(parameter) = self.file.parameters.get(name) else {
                    return error(format!("[allow.{role}] names `{name}`, which is not a parameter"));
                };
                if parameter.get_ref().secret {
                    return error(format!("[allow.{role}] {name}: a secret parameter has no list of values"));
                }
                for value in values {
                    let value = value.text();
                    let kind = &parameter.get_ref().kind;
                    if !kind.accepts(&value) {
                        return error(format!("[allow.{role}] {name}: `{value}` is not {kind}"));
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(run_via: &str, text: &str) -> Result<Command, String> {
        let file = Path::new("restart.toml");
        // The old names `fence` and `none` must stay valid.
        let settings = format!("gateway = \"g\"\naddress = \"g@x\"\n[execution]\nfence = \"{run_via}\"\n");
        let settings: Settings = toml::from_str(&settings).expect("settings");
        let name = CommandName::try_from("restart").expect("a name");
        Command::parse(&name, &Source { file, text }, &settings).map_err(|error| error.to_string())
    }

    const HEAD: &str = "summary = \"s\"\nrun_as = \"root\"\n";

    #[test]
    fn the_documented_example_is_read() {
        let text = r#"
            summary   = "Restart one of the web services"
            run_as    = "root:adm"
            argv      = ["/usr/bin/systemctl", "restart", "{service}", "{{x}}"]
            timeout   = "30s"
            max_age   = "10m"
            output    = "64KiB"
            exclusive = true
            [parameters.service]
            one_of = ["nginx", "php8.2-fpm"]
            default = "nginx"
            [allow.oncall]
            [allow.web]
            service = ["nginx"]
        "#;
        let command = command("sudo", text).expect("a command");
        assert_eq!(command.program(), "/usr/bin/systemctl");
        assert_eq!(command.run_as.to_string(), "root:adm");
        assert_eq!(command.timeout, Span::seconds(30));
        assert!(command.exclusive);
        assert!(command.allow["oncall"].is_empty());
        let service = ParameterName::try_from("service").expect("a name");
        assert_eq!(command.allow["web"][&service], ["nginx"]);
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let p = "[parameters.p]\n";
        for (text, wanted) in [
            ("argv = []".to_owned(), "absolute path"),
            ("argv = [\"ls\"]".to_owned(), "absolute path"),
            ("argv = [\"/\"]".to_owned(), "absolute path"),
            (format!("argv = [\"/bin/{{p}}\"]\n{p}one_of = [\"a\"]"), "absolute path"),
            ("argv = [\"/bin/ls\", \"{p}\"]".to_owned(), "restart.toml:3: {p} is not declared"),
            ("argv = [\"/bin/ls\", \"{p\"]".to_owned(), "restart.toml:3: a lone {"),
            (format!("argv = [\"/bin/ls\"]\n{p}one_of = [\"a\"]"), "has no place in argv"),
            (format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}one_of = []"), "a parameter has one_of"),
            (format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}integer = {{ min = 2, max = 1 }}"), "a parameter has"),
            (format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}pattern = \"^a$\""), "a parameter has"),
            (format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}one_of = [\"a\"]\ndefault = \"b\""), "the default `b`"),
            (
                format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}one_of = [\"a\"]\n[allow.r]\np = [\"b\"]"),
                "[allow.r] p: `b` is not one of a",
            ),
            ("argv = [\"/bin/ls\"]\n[allow.r]\nq = [\"b\"]".to_owned(), "which is not a parameter"),
            ("argv = [\"/bin/ls\"]\ntimeout = \"11m\"".to_owned(), "restart.toml:4: timeout 11m is above"),
            ("argv = [\"/bin/ls\"]\nmax_age = \"8d\"".to_owned(), "max_age is at most 7d"),
            ("argv = [\"/bin/ls\"]\nshell = true".to_owned(), "restart.toml:4: unknown field `shell`"),
        ] {
            let error = command("none", &format!("{HEAD}{text}")).expect_err(&text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn run_via_sudo_allows_no_white_space_and_nothing_empty() {
        let p = "[parameters.p]\n";
        for text in [
            "argv = [\"/bin/ls\", \"a b\"]".to_owned(),
            "argv = [\"/bin/ls\", \"\"]".to_owned(),
            format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}one_of = [\"a b\"]"),
            format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}one_of = [\"\"]"),
            format!("argv = [\"/bin/ls\", \"{{p}}\"]\n{p}pattern = \"^[a-z ]+$\"\nmax_length = 9"),
        ] {
            assert!(command("sudo", &format!("{HEAD}{text}")).is_err(), "{text}");
            assert!(command("none", &format!("{HEAD}{text}")).is_ok(), "{text}");
        }
    }
}
