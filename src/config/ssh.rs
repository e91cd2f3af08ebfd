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
