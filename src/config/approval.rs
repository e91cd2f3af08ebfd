//! `[approval]` of a command: who must agree before it runs. In: the table. Out: an [`Approval`].
//! Whether enough such users exist is for `check` to say; this reads one file.

use std::fmt;
use std::num::NonZeroU32;

use serde::Deserialize;

use super::{Span, User};
use crate::limits::MAX_AGE;
use crate::protocol::UserName;

/// Who must agree before a command runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The users who may approve, by name or by role.
    pub by: Vec<Approver>,
    /// How many of them must.
    #[serde(default = "one")]
    pub needed: NonZeroU32,
    /// How long they have.
    #[serde(default = "default_within")]
    pub within: Span,
    /// How long after the last approval the command may still start.
    #[serde(default = "default_run_within")]
    pub run_within: Span,
    /// Whether the requester must give a reason.
    #[serde(default)]
    pub reason: bool,
    /// The roles whose holders need no approval.
    #[serde(default)]
    pub except: Vec<String>,
    /// Whether the last approver's reply has the command's output.
    #[serde(default = "yes")]
    pub show_output: bool,
    /// Whether an approval must have an SSH signature, as a request for the command must: the command's
    /// `require_signature`.
    #[serde(skip)]
    pub require_signature: bool,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn default_within() -> Span {
    Span::seconds(2 * 3600)
}

fn default_run_within() -> Span {
    Span::seconds(15 * 60)
}

fn yes() -> bool {
    true
}

/// One entry of `by`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Approver {
    /// A user.
    User(UserName),
    /// Every holder of a role.
    Role(String),
}

impl TryFrom<String> for Approver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.strip_prefix("role:") {
            Some("") => Err("`role:` names no role".to_owned()),
            Some(role) => Ok(Self::Role(role.to_owned())),
            None => UserName::try_from(text.as_str()).map(Self::User).map_err(|bad| format!("`{text}`: {bad}")),
        }
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            Self::Role(role) => write!(f, "role:{role}"),
        }
    }
}

impl Approval {
    /// The same, of a command with this `require_signature`.
    pub(super) fn signed(self, require_signature: bool) -> Self {
        Self { require_signature, ..self }
    }

    /// What does not fit together in this table.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.by.is_empty() {
            return Err("by names the users who may approve: by = [\"carol\", \"role:oncall\"]".to_owned());
        }
        if let Some(twice) = self.by.iter().enumerate().find(|(at, one)| self.by.iter().take(*at).any(|by| by == *one))
        {
            return Err(format!("by names {} twice", twice.1));
        }
        for (key, span) in [("within", self.within), ("run_within", self.run_within)] {
            if span.as_duration() > MAX_AGE {
                return Err(format!("{key} is at most 7d"));
            }
        }
        Ok(())
    }

    /// Whether `user`, whose name is `name`, may approve now, and has a key to do so where a signature is required.
    pub fn is_open_to(&self, name: &UserName, user: &User) -> bool {
        self.permits(name, user) && !(self.require_signature && user.ssh.keys.is_empty())
    }

    /// Whether `user`, whose name is `name`, may approve now.
    pub fn permits(&self, name: &UserName, user: &User) -> bool {
        user.enabled
            && self.by.iter().any(|by| match by {
                Approver::User(named) => named == name,
                Approver::Role(role) => user.roles.contains(role),
            })
    }

    /// The role of `except` that one of `roles` is: its holders need no approval.
    pub fn exception<'r>(&self, roles: &'r [String]) -> Option<&'r String> {
        roles.iter().find(|role| self.except.contains(role))
    }

    /// Every role that it names.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        let by = self.by.iter().filter_map(|by| match by {
            Approver::Role(role) => Some(role.as_str()),
            Approver::User(_) => None,
        });
        by.chain(self.except.iter().map(String::as_str))
    }

    /// Who may approve, in words: `carol, role:oncall`.
    pub fn approvers(&self) -> String {
        let names = self.by.iter().map(Approver::to_string).collect::<Vec<_>>().join(", ");
        if self.require_signature { format!("{names} (with an SSH signature)") } else { names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval(text: &str) -> Result<Approval, String> {
        let approval: Approval = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        approval.check().map(|()| approval)
    }

    #[test]
    fn defaults_are_as_documented() {
        let approval = approval("by = [\"carol\", \"role:oncall\"]").expect("an approval");
        assert_eq!(approval.approvers(), "carol, role:oncall");
        assert_eq!((approval.needed.get(), approval.reason, approval.show_output), (1, false, true));
        assert_eq!((approval.within.to_string(), approval.run_within.to_string()), ("2h".to_owned(), "15m".to_owned()));
        assert!(approval.except.is_empty());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (text, wanted) in [
            ("by = []", "by names the users"),
            ("", "missing field `by`"),
            ("by = [\"carol\", \"carol\"]", "by names carol twice"),
            ("by = [\"role:\"]", "names no role"),
            ("by = [\"Carol\"]", "`Carol`: not a user name"),
            ("by = [\"carol\"]\nneeded = 0", "nonzero"),
            ("by = [\"carol\"]\nwithin = \"8d\"", "within is at most 7d"),
            ("by = [\"carol\"]\nrun_within = \"8d\"", "run_within is at most 7d"),
            ("by = [\"carol\"]\nwhy = true", "unknown field `why`"),
        ] {
            let error = approval(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
