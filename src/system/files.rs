//! Writes files whole or not at all, with the right owner and mode from the first moment. An existing file is
//! replaced only where that is intended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use rustix::fs::{CWD, RenameFlags};

use super::permissions::Permissions;

/// The owner and the mode of a file.
#[derive(Debug, Clone, Copy)]
pub struct Rights {
    /// The permission bits.
    pub mode: u32,
    /// Owner and group, where they are not the caller's.
    pub owner: Option<(u32, u32)>,
}

/// Creates an empty folder that only its owner may read.
///
/// # Errors
///
/// Something of that name exists, or the folder above is missing or not writable.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Creates `path` with `content`; it appears whole, and is on stable storage.
///
/// # Errors
///
/// Something of that name exists; or the folder is missing or not writable, or the disk is full.
pub fn create(path: &Path, content: &[u8], rights: Rights) -> Result<()> {
    match put(path, content, rights, RenameFlags::NOREPLACE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(anyhow!("{} exists already, and is not changed", path.display()))
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Puts `content` in the place of `path`, which exists or not, in one step.
///
/// # Errors
///
/// The folder is missing or not writable, or the disk is full; an existing file is unchanged.
pub fn replace(path: &Path, content: &[u8], rights: Rights) -> Result<()> {
    put(path, content, rights, RenameFlags::empty()).with_context(|| format!("cannot write {}", path.display()))
}

/// Puts `content` in the place of the existing file `path`, with the owner and mode that it has.
///
/// # Errors
///
/// As for [`replace`]; or there is no such file.
pub fn rewrite(path: &Path, content: &[u8]) -> Result<()> {
    let found = Permissions::from(&fs::metadata(path).with_context(|| path.display().to_string())?);
    let rights = Rights { mode: found.mode(), owner: Some((found.uid(), found.gid())) };
    replace(path, content, rights)
}

fn put(path: &Path, content: &[u8], rights: Rights, how: RenameFlags) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let result = write_temporary(&temporary, content, rights)
        .and_then(|()| Ok(rustix::fs::renameat_with(CWD, &temporary, CWD, path, how)?))
        .and_then(|()| File::open(folder)?.sync_all());
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_temporary(temporary: &Path, content: &[u8], rights: Rights) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    if let Some((uid, gid)) = rights.owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.set_permissions(fs::Permissions::from_mode(rights.mode))?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_once_and_change_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let rights = Rights { mode: 0o640, owner: None };
        create(&path, b"one", rights).expect("made");
        assert!(create(&path, b"two", rights).is_err());
        assert_eq!(fs::read(&path).expect("read"), b"one");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o7777, 0o640);
        rewrite(&path, b"three").expect("rewritten");
        assert_eq!(fs::read(&path).expect("read"), b"three");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o7777, 0o640);
        assert!(rewrite(&folder.path().join("b"), b"x").is_err(), "there is nothing to rewrite");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1, "no temporary file is left");
    }
}
