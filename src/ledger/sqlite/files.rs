//! The ledger's file and the files beside it: whether they are trusted, their names, and the sync of their folder.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::config::{Distrust, Folder, Trusted};
use crate::ledger::LedgerError;

/// The ledger's path through a checked folder, with no link in it. If it `must_exist`, its file and the files beside it
/// are checked too. Its own folder may not even be sticky: an account that may make files there may make a write-ahead
/// log.
pub(super) fn checked_path(path: &Path, trusted: Trusted, must_exist: bool) -> Result<PathBuf, LedgerError> {
    let distrust = |distrust| match distrust {
        Distrust::Missing(_) => LedgerError::Missing(path.to_owned()),
        other => LedgerError::Distrust(other),
    };
    let folder = Folder::open(path.parent().unwrap_or(Path::new("/")), trusted).map_err(distrust)?;
    folder.check_private().map_err(distrust)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for side in ["", "-wal", "-shm", "-claims"] {
        match folder.check(&format!("{name}{side}")) {
            Ok(()) => {}
            Err(Distrust::Missing(_)) if !(must_exist && side.is_empty()) => {}
            Err(other) => return Err(distrust(other)),
        }
    }
    Ok(folder.path().join(name))
}

/// The file beside the ledger at `path` with this ending.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

/// Names are on stable storage only when their folder is.
pub(super) fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(folder, error))
}

/// The error for a failed operation on the file `path`.
pub(super) fn failed(path: &Path, what: impl fmt::Display) -> LedgerError {
    LedgerError::Backend(format!("{}: {what}", path.display()))
}
