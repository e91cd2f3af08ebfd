//! Completions where there is no gateway, whose names could be offered: none.

use std::ffi::OsStr;

use clap_complete::engine::CompletionCandidate;

/// The names of commands.
pub(super) fn commands(_current: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}

/// The parameters of a command.
pub(super) fn arguments(_current: &OsStr) -> Vec<CompletionCandidate> {
    Vec::new()
}
