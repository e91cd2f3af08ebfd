//! The configured commands as sudoers text. In: commands. Out: the fragment that permits exactly these commands.
//!
//! MUST: a rule comes from the same argument vectors that `execute` runs ([`Invocation::time_limited`]); it is the
//! union of what roles may use, no wider; every rule says `NOPASSWD: EXEC: NOSETENV:`; what a dialect cannot express
//! exactly is an error and never an approximation.
//!
//! sudo matches all arguments as one string joined by spaces, and reads literal arguments as fnmatch(3) patterns
//! (docs/measurements.md#sudo-matches-arguments-as-one-string), so literals are escaped, and nothing in them may hold
//! white space (`config` checks that).

mod dialect;
mod install;
mod listing;
mod range;

use std::collections::BTreeSet;

pub use dialect::Dialect;
pub use install::{FOLDER, Tools, drift, install, owner, place};
pub use listing::drift_in_force;

use install::OPENING;

use crate::authorize::{Invocation, Values, prefix};
use crate::config::{Command, Kind, Parameter, Part, RunAs, Settings, Template};
use crate::limits::{ARGUMENT_VECTORS, SUDO_EXPRESSION, SUDO_RS_WORD};
use crate::protocol::ParameterName;

/// Something that a dialect cannot express exactly.
#[derive(Debug, thiserror::Error)]
#[error("commands.d/{command}.toml: {what}")]
pub struct Inexpressible {
    command: String,
    what: String,
}

/// The fragment for all of `commands`.
///
/// # Errors
///
/// What `dialect` cannot express, with the remedies.
pub fn fragment(commands: &[Command], settings: &Settings, dialect: Dialect) -> Result<String, Inexpressible> {
    let mut text =
        format!("{OPENING}{}` may run. Written by `mailsudo sudoers`; changes here are lost.\n", settings.gateway);
    for command in commands {
        text.push_str(&format!("\n# {}: {}\n", command.name, command.summary));
        let lines = command
            .check_for_sudo()
            .and_then(|()| rules(command, settings, dialect))
            .map_err(|what| Inexpressible { command: command.name.to_string(), what })?;
        if lines.is_empty() {
            text.push_str("# no role may run it\n");
        }
        for line in lines {
            let run_as = run_as(&command.run_as);
            text.push_str(&format!("{} ALL = ({run_as}) NOPASSWD: EXEC: NOSETENV: {line}\n", settings.service_user));
        }
    }
    Ok(text)
}

fn run_as(run_as: &RunAs) -> String {
    match &run_as.group {
        Some(group) => format!("{} : {group}", run_as.user),
        None => run_as.user.clone(),
    }
}

/// The command part of each rule: program, then arguments or one expression for all of them.
fn rules(command: &Command, settings: &Settings, dialect: Dialect) -> Result<Vec<String>, String> {
    if let Some(vectors) = vectors(command) {
        let mut lines = Vec::with_capacity(vectors.len());
        for values in vectors {
            // A value that would start an argument with a dash is refused at run time, so it needs no rule.
            if let Ok(invocation) = Invocation::new(command, &values) {
                lines.push(literal(&invocation.time_limited(&settings.execution), dialect)?);
            }
        }
        return Ok(lines);
    }
    if dialect == Dialect::SudoRs {
        return Err(format!(
            "{} need a regular expression, which sudo-rs does not support: list the values in one_of, give each role \
             a list of them, narrow the range to {ARGUMENT_VECTORS} values in all, or use sudo 1.9.10 or later",
            unlisted(command)
        ));
    }
    let mut lines = BTreeSet::new();
    for limits in command.allow.values() {
        lines.extend(expression(command, limits, settings)?);
    }
    Ok(lines.into_iter().collect())
}

/// The parameters that have too many values for some role.
fn unlisted(command: &Command) -> String {
    let is_open = |(name, parameter): &(&ParameterName, &Parameter)| {
        command.allow.values().any(|limits| listed(parameter, limits.get(*name)).is_none())
    };
    let open: Vec<_> = command.parameters.iter().filter(is_open).map(|(name, _)| format!("`{name}`")).collect();
    let names = if open.is_empty() { "its parameters together".to_owned() } else { open.join(", ") };
    format!("the values of {names} are too many to write out; they")
}

type Limits = std::collections::BTreeMap<ParameterName, Vec<String>>;

/// Values for each rule of the command: every combination that is written out, or else one for each role.
pub fn samples(command: &Command) -> Vec<Values> {
    let of = |limits: &Limits| {
        let value = |name: &ParameterName, parameter: &Parameter| match limits.get(name) {
            Some(values) => values.first().cloned(),
            None => parameter.kind.sample().filter(|value| parameter.kind.accepts(value)),
        };
        let mut values = Values::new();
        for (name, parameter) in &command.parameters {
            values.insert(name.clone(), value(name, parameter)?);
        }
        Some(values)
    };
    match vectors(command) {
        Some(all) => all.into_iter().collect(),
        None => command.allow.values().filter_map(of).collect(),
    }
}

/// Every combination of values that some role permits, if they can be written out.
pub fn vectors(command: &Command) -> Option<BTreeSet<Values>> {
    let mut all = BTreeSet::new();
    for limits in command.allow.values() {
        let mut combinations = vec![Values::new()];
        for (name, parameter) in &command.parameters {
            let listed = listed(parameter, limits.get(name))?;
            if combinations.len().checked_mul(listed.len()).is_none_or(|count| count > ARGUMENT_VECTORS) {
                return None;
            }
            combinations = combinations
                .iter()
                .flat_map(|values| {
                    listed.iter().map(|value| {
                        let mut values = values.clone();
                        values.insert(name.clone(), value.clone());
                        values
                    })
                })
                .collect();
        }
        all.extend(combinations);
    }
    (all.len() <= ARGUMENT_VECTORS).then_some(all)
}

fn listed(parameter: &Parameter, limit: Option<&Vec<String>>) -> Option<Vec<String>> {
    match (limit, &parameter.kind) {
        (Some(values), _) | (None, Kind::OneOf(values)) => Some(values.clone()),
        (None, Kind::Integer { min, max }) => {
            let few = max
                .checked_sub(*min)
                .is_some_and(|span| usize::try_from(span).is_ok_and(|span| span < ARGUMENT_VECTORS));
            few.then(|| (*min..=*max).map(|number| number.to_string()).collect())
        }
        (None, Kind::Pattern(..)) => None,
    }
}

/// One argument vector, each argument escaped: sudoers(5) requires a backslash before `,`, `:`, `=` and `\`, `#` begins
/// a comment, and fnmatch(3) reads `*`, `?` and `[`.
fn literal(vector: &[String], dialect: Dialect) -> Result<String, String> {
    let mut words = Vec::with_capacity(vector.len());
    for argument in vector {
        let strange = |c: char| "*?[]\\\"!^".contains(c) || !c.is_ascii_graphic();
        if dialect == Dialect::SudoRs && argument.contains(strange) {
            return Err(format!(
                "sudo-rs cannot match the argument `{argument}` literally: leave out * ? [ ] \\ \" ! ^ and what is \
                 not ASCII, or put it into a script of its own"
            ));
        }
        let mut word = String::with_capacity(argument.len());
        for c in argument.chars() {
            match c {
                // sudo's parser removes one half of them, and fnmatch(3) the other.
                '\\' => word.push_str(r"\\\\"),
                ',' | ':' | '=' | '#' | '*' | '?' | '[' | ']' | '!' => word.extend(['\\', c]),
                c => word.push(c),
            }
        }
        if dialect == Dialect::SudoRs && word.len() > SUDO_RS_WORD {
            return Err(format!("sudo-rs takes no argument of more than {SUDO_RS_WORD} characters: `{argument}`"));
        }
        words.push(word);
    }
    Ok(words.join(" "))
}

/// One regular expression for all that a role with `limits` may give (sudoers(5), "Regular expressions"); none if a
/// list leaves no value.
fn expression(command: &Command, limits: &Limits, settings: &Settings) -> Result<Option<String>, String> {
    let prefix = prefix(&settings.execution, command.timeout, command.payload.is_some());
    let (program, options) = prefix.split_first().ok_or("there is no timeout to run it by")?;
    let mut arguments: Vec<String> = options.iter().map(|option| quote(option)).collect();
    for template in &command.argv {
        let mut argument = String::new();
        for part in template.parts() {
            match part {
                Part::Literal(text) => argument.push_str(&quote(text)),
                Part::Placeholder(name) => match values(command, limits, template, name)? {
                    Some(choice) => argument.push_str(&choice),
                    None => return Ok(None),
                },
            }
        }
        arguments.push(argument);
    }
    let program = literal(std::slice::from_ref(program), Dialect::Sudo)?;
    let length: usize = 2 + arguments.iter().map(|argument| argument.len() + 1).sum::<usize>();
    if length > SUDO_EXPRESSION {
        return Err(format!(
            "its rule needs a regular expression of {length} bytes, and sudo matches none above {SUDO_EXPRESSION}: list the \
             values in one_of, or shorten the pattern or the arguments"
        ));
    }
    Ok(Some(format!("{program} {}", escape_expression(&format!("^{}$", arguments.join(" "))))))
}

/// What a parameter may be in one place of one argument, as a POSIX extended expression; none if there is no permitted
/// value.
fn values(
    command: &Command,
    limits: &Limits,
    template: &Template,
    name: &ParameterName,
) -> Result<Option<String>, String> {
    let opens = template.opening() == Some(name);
    let Some(parameter) = command.parameters.get(name) else {
        return Err(format!("`{name}` is not declared"));
    };
    let listed = match (limits.get(name), &parameter.kind) {
        (Some(values), _) | (None, Kind::OneOf(values)) => Some(values),
        _ => None,
    };
    let places = command.argv.iter().flat_map(Template::placeholders).filter(|place| *place == name).count();
    if places > 1 && listed.is_none_or(|values| values.len() > 1) {
        return Err(format!(
            "`{name}` stands in {places} places, and an expression cannot require that they are equal: list few enough values \
             to be written out, or put the command into a script of its own"
        ));
    }
    match (listed, &parameter.kind) {
        (Some(values), _) => {
            let fit = values.iter().filter(|value| !(opens && value.starts_with('-')));
            let quoted: Vec<_> = fit.map(|value| quote(value)).collect();
            Ok((!quoted.is_empty()).then(|| format!("({})", quoted.join("|"))))
        }
        (None, Kind::Integer { min, max }) => {
            let min = if opens { (*min).max(0) } else { *min };
            Ok(range::expression(min, *max))
        }
        (None, Kind::Pattern(pattern, _)) if opens && pattern.may_begin_with_dash() => Err(format!(
            "the pattern of `{name}` lets a value begin with -, which would be an option; begin it like ^[a-z0-9]"
        )),
        (None, Kind::Pattern(pattern, _)) => pattern.to_posix().map(Some),
        (None, Kind::OneOf(_)) => Ok(None),
    }
}

/// Literal text in a POSIX extended expression (regex(7)): a bracket removes the special meaning of all but `^`, `$`
/// and `\`.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '.' | '[' | ']' | '(' | ')' | '*' | '+' | '?' | '{' | '}' | '|' => quoted.extend(['[', c, ']']),
            '^' | '$' | '\\' => quoted.extend(['\\', c]),
            c => quoted.push(c),
        }
    }
    quoted
}

/// An expression inside sudoers: `,`, `:`, `=` and `#` would end it, except in a bracket. There sudo leaves a backslash
/// in the expression, which would then match a backslash (measured: sudo 1.9.13).
fn escape_expression(expression: &str) -> String {
    let mut escaped = String::with_capacity(expression.len());
    let mut characters = expression.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '[' => {
                escaped.push('[');
                // A `]` that comes first is a member; the next one ends the bracket.
                let mut first = true;
                for member in characters.by_ref() {
                    escaped.push(member);
                    if member == ']' && !first {
                        break;
                    }
                    first = false;
                }
            }
            '\\' => escaped.extend(std::iter::once(c).chain(characters.next())),
            ',' | ':' | '=' | '#' => escaped.extend(['\\', c]),
            c => escaped.push(c),
        }
    }
    escaped
}
