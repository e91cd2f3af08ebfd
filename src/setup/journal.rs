//! What setup has changed, so that `mailsudo setup --undo` can put it back. In: files as they were and as they are now.
//! Out: one file in the gateway's folder that only root may read.
//!
//! MUST: a file that somebody has changed since is never overwritten.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::system::changes::Former;
use crate::system::files::{Rights, replace};

/// The file, in the gateway's folder.
const FILE: &str = ".setup-undo.json";

/// What was changed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    /// The files, in the order in which they were changed first.
    files: Vec<Entry>,
    /// The ledger that was made.
    pub(super) ledger: Option<PathBuf>,
    /// The ledger in PostgreSQL that was made.
    #[serde(default)]
    pub(super) database: Option<String>,
    /// The timers that were enabled.
    #[serde(default)]
    pub(super) timers: Vec<String>,
    /// Postfix's transport.
    pub(super) transport: Option<String>,
    /// The mail server, by its name.
    pub(super) server: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: PathBuf,
    /// `None`: it did not exist.
    before: Option<Before>,
    /// The SHA-256 of its content after the change; `None`: it was removed.
    after: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Before {
    /// In hex digits.
    content: String,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Journal {
    /// The journal of the gateway in `folder`; `None` where setup has changed nothing.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Adds files that are changed now; of one that was changed before, the first state stays.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub(super) fn add(&mut self, formers: &[Former]) -> Result<()> {
        for former in formers {
            let after = digest(&Former::of(&former.path)?);
            if let Some(entry) = self.files.iter_mut().find(|entry| entry.path == former.path) {
                entry.after = after;
                continue;
            }
            let before = former.state.as_ref().map(|(content, mode, (uid, gid))| Before {
                content: hex::encode(content),
                mode: *mode,
                uid: *uid,
                gid: *gid,
            });
            self.files.push(Entry { path: former.path.clone(), before, after });
        }
        Ok(())
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The folder is not writable.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        replace(&folder.join(FILE), text.as_bytes(), Rights { mode: 0o600, owner: None })
    }

    /// Removes it.
    ///
    /// # Errors
    ///
    /// The folder is not writable.
    pub(super) fn remove(folder: &Path) -> Result<()> {
        fs::remove_file(folder.join(FILE)).context("cannot remove the journal of setup")
    }

    /// The files as they were, and the paths of those that were changed since by somebody else.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or the journal is damaged.
    pub(super) fn formers(&self) -> Result<(Vec<Former>, Vec<PathBuf>)> {
        let (mut formers, mut changed) = (Vec::new(), Vec::new());
        for entry in &self.files {
            let now = Former::of(&entry.path)?;
            let before = match &entry.before {
                None => None,
                Some(before) => {
                    let content = hex::decode(&before.content).context("the journal of setup is damaged")?;
                    Some((content, before.mode, (before.uid, before.gid)))
                }
            };
            if digest(&now) == entry.after {
                formers.push(Former { path: entry.path.clone(), state: before });
            } else if now.state.as_ref().map(|(content, ..)| content) != before.as_ref().map(|(content, ..)| content) {
                changed.push(entry.path.clone());
            }
        }
        Ok((formers, changed))
    }
}

fn digest(former: &Former) -> Option<String> {
    former.state.as_ref().map(|(content, ..)| hex::encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::changes::{Changes, restore};

    #[test]
    fn what_was_changed_is_put_back_unless_somebody_changed_it_since() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let rights = Rights { mode: 0o644, owner: None };
        fs::write(path("a"), "a was\n").expect("a file");
        let mut first = Changes::default();
        first.write(&path("a"), "a is\n", rights);
        first.write(&path("b"), "b is\n", rights);
        let mut journal = Journal::default();
        journal.add(&first.apply().expect("applied")).expect("added");
        let mut again = Changes::default();
        again.write(&path("a"), "a is again\n", rights);
        journal.add(&again.apply().expect("applied")).expect("added");
        journal.write(folder.path()).expect("written");
        let read = Journal::read(folder.path()).expect("read").expect("a journal");
        let (old, edited) = read.formers().expect("formers");
        assert_eq!((old.len(), edited.len()), (2, 0));
        fs::write(path("b"), "b is edited\n").expect("a file");
        let (old, edited) = read.formers().expect("formers");
        assert_eq!(edited, [path("b")]);
        restore(&old).expect("restored");
        assert_eq!(fs::read_to_string(path("a")).expect("a file"), "a was\n");
        Journal::remove(folder.path()).expect("removed");
        assert!(Journal::read(folder.path()).expect("read").is_none());
    }
}
