//! The SSH keys of a user, as `users.d/NAME.toml` gives them: who may sign, and what is required of a signature.

use serde::Deserialize;

use super::{ConfigError, Source};
use crate::protocol::{SshKey, Timestamp};

/// What a user's file says of SSH signatures.
#[derive(Debug, Default)]
pub struct SshFactor {
    /// The keys that the user may sign with.
    pub keys: Vec<SshKey>,
    /// The keys from before a rotation, while it overlaps.
    pub previous: Option<PreviousSshKeys>,
    /// Whether each request of the user must have a signature.
    pub require_signature: bool,
    /// Whether a signature counts only if a FIDO key verified the user.
    pub require_verification: bool,
}

/// SSH keys from before a rotation.
#[derive(Debug)]
pub struct PreviousSshKeys {
    /// The keys.
    pub keys: Vec<SshKey>,
    /// The last signed time for which they are valid.
    pub until: Timestamp,
}

/// `[previous]` of a user's file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Former {
    ssh_keys: Vec<String>,
    until: toml::value::Datetime,
}

impl SshFactor {
    /// The keys that may sign at `time`, and whether each is from before a rotation.
    pub fn keys_at(&self, time: Timestamp) -> impl Iterator<Item = (&SshKey, bool)> {
        let previous = self.previous.as_ref().filter(|previous| time <= previous.until);
        let previous = previous.into_iter().flat_map(|previous| &previous.keys);
        self.keys.iter().map(|key| (key, false)).chain(previous.map(|key| (key, true)))
    }
}

/// Reads keys. An error shows which of them it is about, and nothing of it.
pub(super) fn keys(source: &Source<'_>, texts: &[String]) -> Result<Vec<SshKey>, ConfigError> {
    let mut keys: Vec<SshKey> = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let error = |what: String| source.error_at("ssh_keys", format!("ssh_keys, key {}: {what}", at + 1));
        let key = SshKey::parse(text).map_err(|bad| error(bad.to_string()))?;
        if keys.contains(&key) {
            return Err(error("the key is given twice: remove one".to_owned()));
        }
        keys.push(key);
    }
    Ok(keys)
}

pub(super) fn previous(source: &Source<'_>, former: Option<Former>) -> Result<Option<PreviousSshKeys>, ConfigError> {
    let read = |former: Former| {
        let until = source.until(&former.until)?;
        Ok(PreviousSshKeys { keys: keys(source, &former.ssh_keys)?, until })
    };
    former.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::User;
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBKv+nwN53YYSBIwZuyeYYwdaJCA28HOCYkC0zOIEsWN";

    fn user(more: &str) -> Result<User, String> {
        let text = format!("address = \"a@x\"\nroles = []\n{more}\n");
        User::parse(&Source { file: Path::new("users.d/u"), text: &text }).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_count_from_their_own_list_and_the_previous_until_a_time() {
        let more = format!("ssh_keys = []\n[previous]\nssh_keys = [\"{KEY} old\"]\nuntil = 2026-12-01T00:00:00Z");
        let ssh = user(&more).expect("a user").ssh;
        let count = |time: &str| ssh.keys_at(Timestamp::parse(time).expect("a time")).count();
        assert_eq!((count("2026-12-01T00:00:00Z"), count("2026-12-01T00:00:01Z")), (1, 0));
        assert!(!ssh.require_signature && !ssh.require_verification);
        assert!(user("").expect("a user").ssh.keys.is_empty(), "none is needed");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (more, wanted) in [
            (format!("ssh_keys = [\"{KEY}\", \"{KEY} again\"]"), "u:3: ssh_keys, key 2: the key is given twice"),
            ("ssh_keys = [\"x\"]".to_owned(), "u:3: ssh_keys, key 1: an SSH key is given as in its .pub file"),
            (format!("ssh_keys = \"{KEY}\""), "u:3: invalid type"),
            (format!("[previous]\nssh_keys = [\"{KEY}\"]"), "missing field `until`"),
            (format!("[previous]\nuntil = 2026-12-01\nssh_keys = [\"{KEY}\"]"), "u:4: until: write it like"),
            ("[previous]\nhmac_key = 1".to_owned(), "unknown field `hmac_key`"),
            (
                format!("[previous]\nssh_keys = [\"{KEY}\"]\nuntil = 2026-12-01T00:00:00Z\nrequire_signature = true"),
                "write it above the first section",
            ),
        ] {
            let error = user(&more).map(|_| ()).expect_err(&more);
            assert!(error.contains(wanted), "{more}: {error}");
        }
    }
}
