//! The values of one request against one command. In: the arguments. Out: a value for every parameter, all of them
//! permitted by the same role; or a text that helps the user and does not reveal what other roles may do.

use std::collections::BTreeMap;

use crate::config::{Command, Parameter};
use crate::protocol::{Arguments, ParameterName};

/// Whether any of `roles` may run `command` with some values.
pub fn is_visible(command: &Command, roles: &[String]) -> bool {
    roles.iter().any(|role| command.allow.contains_key(role))
}

/// A value for each of a command's parameters.
pub type Values = BTreeMap<ParameterName, String>;

/// Values that one role permits together.
#[derive(Debug)]
pub struct Choice<'r> {
    /// A value for each parameter.
    pub values: Values,
    /// The first of the user's roles that permits all of them.
    pub role: &'r str,
}

/// Determines the values of all parameters of `command`.
///
/// # Errors
///
/// Names every parameter that is missing, unknown, of the wrong type or not permitted.
pub fn choose<'r>(command: &Command, roles: &'r [String], arguments: &Arguments) -> Result<Choice<'r>, String> {
    let mut faults = Vec::new();
    for (name, _) in arguments {
        if !command.parameters.contains_key(name) {
            faults.push(format!("there is no parameter `{name}`"));
        }
    }
    let mut values = Values::new();
    for (name, parameter) in &command.parameters {
        let given = arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        match given.or(parameter.default.as_ref()) {
            None => faults.push(format!("`{name}` is missing: {}", wanted(command, roles, name, parameter))),
            // A value that only other roles may give looks like a value that no role may give.
            Some(value) if !parameter.kind.accepts(value) || !may_give(command, roles, name, value) => {
                faults.push(format!("`{name}` must be {}", wanted(command, roles, name, parameter)));
            }
            Some(value) => {
                values.insert(name.clone(), value.clone());
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    match roles.iter().find(|role| permits(command, role, &values)) {
        Some(role) => Ok(Choice { values, role }),
        None => Err("none of your roles permits these values together; `help` shows what you may do".to_owned()),
    }
}

/// Whether one of `roles` permits the value by itself.
fn may_give(command: &Command, roles: &[String], name: &ParameterName, value: &String) -> bool {
    let mut limits = roles.iter().filter_map(|role| command.allow.get(role));
    limits.any(|limits| limits.get(name).is_none_or(|permitted| permitted.contains(value)))
}

fn permits(command: &Command, role: &str, values: &Values) -> bool {
    command.allow.get(role).is_some_and(|limits| {
        limits.iter().all(|(name, permitted)| values.get(name).is_some_and(|value| permitted.contains(value)))
    })
}

/// The text for what a user with `roles` may give for a parameter. Values that only other roles may give are left out.
pub(crate) fn wanted(command: &Command, roles: &[String], name: &ParameterName, parameter: &Parameter) -> String {
    let mut permitted: Vec<&str> = Vec::new();
    for role in roles {
        match command.allow.get(role).map(|limits| limits.get(name)) {
            Some(None) => return parameter.kind.to_string(),
            Some(Some(values)) => permitted.extend(values.iter().map(String::as_str)),
            None => {}
        }
    }
    permitted.sort_unstable();
    permitted.dedup();
    format!("one of {}", permitted.join(", "))
}
