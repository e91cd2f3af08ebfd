//! The gateway that is checked, with everything of it that can be read.

use crate::config::{Command, Gateway, RunVia, Settings, User};
use crate::protocol::{Timestamp, UserName};
use crate::system::accounts::Account;

/// How much of the ledger is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Its state.
    Quick,
    /// All of it.
    Deep,
}

/// What the checks share. It is read once.
pub(super) struct CheckedGateway<'h> {
    pub(super) gateway: &'h Gateway,
    pub(super) service: Option<Account>,
    pub(super) commands: Vec<Command>,
    pub(super) users: Vec<(UserName, User)>,
    /// Whether these are all. A check that needs all of them is skipped if a file cannot be read.
    pub(super) complete: bool,
    /// How much of the ledger is read.
    pub(super) depth: Depth,
    /// The time of the check.
    pub(super) now: Timestamp,
}

impl CheckedGateway<'_> {
    pub(super) fn settings(&self) -> &Settings {
        self.gateway.settings()
    }

    pub(super) fn uses_sudo(&self) -> bool {
        self.settings().execution.run_via == RunVia::Sudo
    }
}
