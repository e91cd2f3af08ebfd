//! A lockdown: while `lockdown.toml` is in the gateway's folder, requests of all users but the named ones are refused.

use serde::Deserialize;

use super::{ConfigError, Source};
use crate::protocol::UserName;

/// What `lockdown.toml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockdown {
    /// The users whose requests are still accepted.
    users: Vec<UserName>,
}

impl Lockdown {
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, ConfigError> {
        source.parse()
    }

    /// The text of the file that excepts `users`.
    pub fn text(users: &[UserName]) -> String {
        let names: Vec<_> = users.iter().map(|user| format!("\"{user}\"")).collect();
        format!(
            "# Written by `mailsudo lockdown`; `mailsudo lockdown --end` removes it.\nusers = [{}]\n",
            names.join(", ")
        )
    }

    /// Whether requests of `user` are still accepted.
    pub fn permits(&self, user: &UserName) -> bool {
        self.users.contains(user)
    }

    /// The users whose requests are still accepted.
    pub fn users(&self) -> &[UserName] {
        &self.users
    }
}
