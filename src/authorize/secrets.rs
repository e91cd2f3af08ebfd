//! Which of a request's arguments may be shown. In: the request and the command's file. Out: its arguments as log,
//! ledger and mail have them, with a mark for each value that may be secret; and the values again, for a request that
//! was approved.
//!
//! MUST: where it is not known which arguments are secret, none is shown: a command that does not exist or that the
//! user may not run (both look the same), a parameter that the command does not have (a secret under a misspelled
//! name, or one that was meant for another command than the built-in one).

use zeroize::Zeroizing;

use super::is_visible;
use crate::authenticate::Identified;
use crate::config::{Command, REASON, built_in_parameters};
use crate::protocol::{Arguments, Key, ParameterName, RequestId, mark, sealed_in, unseal};

/// The arguments of `identified`, `name=value`, one on a line, with a mark for each value that may be secret. `command`
/// is the configured command of the name that was requested, if there is one that can be read.
pub fn shown_arguments(identified: &Identified, command: Option<&Command>) -> String {
    let request = identified.request();
    let built_in = built_in_parameters(request.command().as_str());
    let command = command.filter(|command| is_visible(command, identified.roles()));
    let shown = |(name, value): (ParameterName, String)| {
        if built_in.is_some_and(|known| known.contains(&name.as_str()))
            || command.is_some_and(|command| may_show(command, &name))
        {
            return format!("{name}={value}");
        }
        format!("{name}={}", mark(identified.key(), &identified.id(), &name, &value))
    };
    request.arguments().unwrap_or_default().into_iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// Whether the value of `name` may be shown: `command` has such a parameter and it is not secret, or it is the
/// requester's reason.
pub fn may_show(command: &Command, name: &ParameterName) -> bool {
    match command.parameters.get(name) {
        Some(parameter) => !parameter.secret,
        None if name.as_str() == REASON && command.approval.is_some() => true,
        None => !command.has_secrets(),
    }
}

/// The arguments of a request that waited for approval, with the values that are sealed in `argv`, and the one of
/// `keys` that had sealed them.
///
/// # Errors
///
/// Why a value cannot be used.
pub(super) fn unsealed<'k>(
    command: &Command,
    id: &RequestId,
    keys: &[&'k Key],
    arguments: &Arguments,
    argv: &str,
) -> Result<(Arguments, Option<&'k Key>), String> {
    let mut opened = Arguments::new();
    let mut used = None;
    for (name, text) in arguments {
        let is_secret = command.parameters.get(name).is_some_and(|parameter| parameter.secret);
        let value = match (is_secret, sealed_in(argv, text)) {
            (false, None) => text.clone(),
            (true, Some(sealed)) => {
                let read = |key: &&'k Key| unseal(key, id, name, sealed).map(|value| (*key, value));
                let found: Option<(&'k Key, Zeroizing<String>)> = keys.iter().find_map(read);
                let (key, value) = found.ok_or_else(|| {
                    format!("the requester's key was replaced since, and the secret value of `{name}` cannot be read")
                })?;
                used = Some(key);
                value.to_string()
            }
            _ => return Err(format!("the gateway's configuration has changed since: whether `{name}` is secret")),
        };
        opened.push((name.clone(), value));
    }
    Ok((opened, used.or(keys.first().copied())))
}
