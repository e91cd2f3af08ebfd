//! The account of a command, `user` or `user:group`. In: text. Out: names that sudo(8) reads as an account and nothing
//! else.

use std::fmt;

use serde::Deserialize;

use super::settings::is_account;

/// `user` or `user:group`, for sudo's `-u` and `-g`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RunAs {
    /// The account.
    pub user: String,
    /// The group, where it is not the account's own.
    pub group: Option<String>,
}

impl TryFrom<String> for RunAs {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text.as_str(), None),
        };
        if is_account(user) && group.is_none_or(is_account) {
            Ok(Self { user: user.to_owned(), group: group.map(str::to_owned) })
        } else {
            Err(format!("`{text}` is not an account: write run_as = \"user\" or \"user:group\""))
        }
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => f.write_str(&self.user),
        }
    }
}
