//! The ledger's file, and those that stand beside it: whether they may be trusted, their names, and the folder that keeps these.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::config::{Distrust, Folder, Trusted};
use crate::ledger::LedgerError;

/// The ledger's path through a folder that has been judged, with no link in it; where it `must_exist`, its file and those
/// that stand beside it are judged too. Its own folder may not even be sticky: whoever may make files there may make a
/// write-ahead log.
pub(super) fn judged(path: &Path, trusted: Trusted, must_exist: bool) -> Result<PathBuf, LedgerError> {
    let distrust = |distrust| match distrust {
        Distrust::Missing(_) => LedgerError::Missing(path.to_owned()),
        other => LedgerError::Distrust(other),
    };
    let folder = Folder::open(path.parent().unwrap_or(Path::new("/")), trusted).map_err(distrust)?;
    folder.judge_private().map_err(distrust)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    for side in ["", "-wal", "-shm", "-claims"] {
        match folder.judge(&format!("{name}{side}")) {
            Ok(()) => {}
            Err(Distrust::Missing(_)) if !(must_exist && side.is_empty()) => {}
            Err(other) => return Err(distrust(other)),
        }
    }
    Ok(folder.path().join(name))
}

/// The file beside the ledger at `path` whose name ends so.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}

/// Names are on disk only when their folder is.
pub(super) fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| failed(folder, error))
}

/// What the operating system did not do with the file `path`.
pub(super) fn failed(path: &Path, what: impl fmt::Display) -> LedgerError {
    LedgerError::Backend(format!("{}: {what}", path.display()))
}
