//! Completions for a shell: the names of commands, users and parameters of the gateway that the line is about, as far
//! as the caller may read its files. It gives no error and no secret; if it cannot read a file, it gives no completion.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap_complete::engine::CompletionCandidate;

use crate::config::{DEFAULT_FOLDER, Gateway, Kind, Trusted};
use crate::protocol::CommandName;

/// The names of users.
pub(super) fn users(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = gateway().and_then(|gateway| gateway.user_names().ok()).unwrap_or_default();
    offer(names.into_iter().map(|name| CompletionCandidate::new(name.as_str())), current)
}

/// The names of commands.
pub(super) fn commands(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(gateway) = gateway() else {
        return Vec::new();
    };
    let names = gateway.command_names().unwrap_or_default();
    let candidate = |name: CommandName| {
        let summary = gateway.command(&name).ok().flatten().map(|command| command.summary.into());
        CompletionCandidate::new(name.as_str()).help(summary)
    };
    offer(names.into_iter().map(candidate), current)
}

/// `name=` of the parameters of the command earlier on the line, then `name=value` where values are listed.
pub(super) fn arguments(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(gateway) = gateway() else {
        return Vec::new();
    };
    let mut names = words().filter_map(|word| CommandName::try_from(word).ok());
    let Some(command) = names.find_map(|name| gateway.command(&name).ok().flatten()) else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    for (name, parameter) in &command.parameters {
        match &parameter.kind {
            Kind::OneOf(values) => texts.extend(values.iter().map(|value| format!("{name}={value}"))),
            Kind::Integer { .. } | Kind::Pattern(..) => texts.push(format!("{name}=")),
        }
    }
    offer(texts.into_iter().map(CompletionCandidate::new), current)
}

fn offer(candidates: impl Iterator<Item = CompletionCandidate>, current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    candidates.filter(|candidate| candidate.get_value().to_string_lossy().starts_with(&*typed)).collect()
}

/// The words of the line that is being completed: the shell's own call has them after `--`.
fn words() -> impl Iterator<Item = String> {
    std::env::args().skip_while(|word| word != "--").skip(2)
}

fn gateway() -> Option<Gateway> {
    let mut words = words();
    let folder = words.find_map(|word| match word.strip_prefix("--config") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix('=').map(|folder| Some(folder.to_owned())),
        None => None,
    });
    let folder = match folder {
        None => PathBuf::from(DEFAULT_FOLDER),
        Some(Some(folder)) => folder.into(),
        Some(None) => words.next()?.into(),
    };
    Gateway::open(&folder, Trusted::caller()).ok()
}
