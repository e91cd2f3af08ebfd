//! The user's own mailbox, where replies come: `sign --send --wait-reply` waits for one there. In: a Maildir or an mbox file, and a
//! request's id. Out: the checked reply.
//!
//! It only reads. It must never take a message for a reply that the key does not prove.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::verify::{Checked, Finding, Statement, check};
use super::{KeyFile, folder};
use crate::limits::REPLY_POLL;
use crate::protocol::RequestId;
use crate::system::clock::Clock;

/// The client's settings, beside the key files; its name does not end like theirs.
const FILE: &str = "client.conf";

/// A mailbox, as it is before the request is sent.
#[derive(Debug)]
pub struct Mailbox {
    path: PathBuf,
    /// The size of an mbox file: what comes later is behind it.
    size: u64,
    /// A Maildir's messages that are older than this are not looked at.
    since: SystemTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mailbox: PathBuf,
}

impl Mailbox {
    /// The mailbox at `path`, or the one that the client's settings name.
    ///
    /// # Errors
    ///
    /// None is named, or it is neither a Maildir nor a file.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => configured()?,
        };
        // An mbox file is made with the first mail.
        let about = fs::metadata(&path).ok();
        let is_maildir = about.as_ref().is_some_and(fs::Metadata::is_dir);
        ensure!(
            !is_maildir || path.join("new").is_dir(),
            "{} is a folder and no Maildir: it has no folder new",
            path.display()
        );
        let size = about.filter(fs::Metadata::is_file).map_or(0, |about| about.len());
        // File systems keep times with less precision than the clock.
        let since = SystemTime::now().checked_sub(Duration::from_secs(2)).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self { path, size, since })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits up to `within` for the reply to the request `id` under `key`; `None` if it does not come.
    ///
    /// # Errors
    ///
    /// The mailbox cannot be read.
    pub fn wait(&self, id: &RequestId, key: &KeyFile, within: Duration, clock: &dyn Clock) -> Result<Option<Checked>> {
        let deadline = clock.instant() + within;
        loop {
            if let Some(found) = self.find(id, key)? {
                return Ok(Some(found));
            }
            if clock.instant() >= deadline {
                return Ok(None);
            }
            clock.sleep(REPLY_POLL);
        }
    }

    /// The reply to the request `id`, if it is there.
    fn find(&self, id: &RequestId, key: &KeyFile) -> Result<Option<Checked>> {
        let messages = if self.path.is_dir() { self.maildir()? } else { self.mbox()? };
        let is_reply = |checked: &Checked| match &checked.finding {
            Finding::Genuine(said) | Finding::WithMore(said) | Finding::Altered(said) => {
                matches!(said, Statement::Reply(block) if block.request == *id)
            }
            Finding::OlderThanKey(_) | Finding::Encrypted(_) | Finding::NotGenuine => false,
        };
        let keys = std::slice::from_ref(key);
        Ok(messages.iter().map(|message| check(message, keys)).find(is_reply))
    }

    /// The new messages of a Maildir; one may be moved from `new` to `cur` meanwhile.
    fn maildir(&self) -> Result<Vec<Vec<u8>>> {
        let mut messages = Vec::new();
        for part in ["new", "cur"] {
            let folder = self.path.join(part);
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
                let is_new =
                    fs::metadata(&path).and_then(|about| about.modified()).is_ok_and(|time| time >= self.since);
                if is_new && let Ok(message) = fs::read(&path) {
                    messages.push(message);
                }
            }
        }
        Ok(messages)
    }

    /// What has come to an mbox file; all of it, if it became smaller: somebody has rewritten it.
    fn mbox(&self) -> Result<Vec<Vec<u8>>> {
        let problem = || format!("cannot read {}", self.path.display());
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(problem)?,
        };
        let size = file.metadata().with_context(problem)?.len();
        let from = if size < self.size { 0 } else { self.size };
        file.seek(SeekFrom::Start(from)).with_context(problem)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(problem)?;
        Ok(split(&text))
    }
}

/// The mailbox that the client's settings name.
fn configured() -> Result<PathBuf> {
    let path = folder()?.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: write mailbox = \"/PATH/OF/YOUR/Maildir\" into it (or the path of an mbox file), or use --mailbox",
            path.display()
        )
    })?;
    let settings: Settings =
        toml::from_str(&text).with_context(|| format!("{}: it has one key, mailbox", path.display()))?;
    ensure!(settings.mailbox.is_absolute(), "{}: mailbox must be an absolute path", path.display());
    Ok(settings.mailbox)
}

/// The messages of an mbox file, each without its From_ line (RFC 4155).
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    let mut is_after_empty = true;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if is_after_empty && line.starts_with(b"From ") {
            messages.push(Vec::new());
        } else if let Some(message) = messages.last_mut() {
            message.extend_from_slice(line);
        }
        is_after_empty = matches!(line, b"\n" | b"\r\n");
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mbox_is_split_at_its_from_lines() {
        let text = b"From a@x Mon\nSubject: one\n\nFrom here on\n>From x\n\nFrom b@x Tue\nSubject: two\n\ntext\n";
        let messages = split(text);
        assert_eq!(messages.len(), 3, "a text line after an empty one cannot be told apart");
        assert!(messages.iter().any(|message| message.starts_with(b"Subject: two\n")));
        assert!(split(b"no mbox\n").is_empty());
    }
}
