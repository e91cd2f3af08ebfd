//! A mailbox on this machine. In: the path of a Maildir or an mbox file. Out: the messages that have come since it was
//! opened.
//!
//! It only reads: no message is moved or marked.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::intake::mbox;
use crate::limits::FILE_TIME;

/// A Maildir or an mbox file, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    /// The size of an mbox file: what comes later is behind it.
    size: u64,
    /// A Maildir's messages that are older than this are not looked at.
    since: SystemTime,
}

impl Files {
    /// The mailbox at `path`.
    ///
    /// # Errors
    ///
    /// It is a folder and no Maildir.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        // An mbox file is made with the first mail.
        let about = fs::metadata(&path).ok();
        let is_maildir = about.as_ref().is_some_and(fs::Metadata::is_dir);
        ensure!(
            !is_maildir || path.join("new").is_dir(),
            "{} is a folder and no Maildir: it has no folder new",
            path.display()
        );
        let size = about.filter(fs::Metadata::is_file).map_or(0, |about| about.len());
        let since = SystemTime::now().checked_sub(FILE_TIME).unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self { path, size, since })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The messages that have come since it was opened.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(super) fn messages(&self) -> Result<Vec<Vec<u8>>> {
        if self.path.is_dir() { self.maildir() } else { self.mbox() }
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
        Ok(mbox(&text))
    }
}
