//! The user's own files, on every system: written whole, and closed to other accounts. On Unix by their mode; on
//! Windows the folders of the user's profile are closed already, and files inherit that.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Creates a folder that only the user may read, in a folder that exists.
///
/// # Errors
///
/// Something of that name exists, or the folder above is missing or not writable.
pub fn create_folder(path: &Path) -> io::Result<()> {
    builder().create(path)
}

/// Creates a folder that only the user may read, with those above it, as far as they are missing.
///
/// # Errors
///
/// A folder above is not writable, or is no folder.
pub fn create_folders(path: &Path) -> io::Result<()> {
    builder().recursive(true).create(path)
}

/// Creates a new file that only the user may read.
///
/// # Errors
///
/// Something of that name exists, or the folder is missing or not writable, or the disk is full.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = options().create_new(true).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Opens a file for a lock, and creates it if it is missing.
///
/// # Errors
///
/// The folder is missing or not writable.
pub fn lock_file(path: &Path) -> io::Result<fs::File> {
    options().create(true).truncate(false).open(path)
}

/// Puts `content` in the place of `path`, which exists or not, in one step; only the user may read it.
///
/// # Errors
///
/// The folder is missing or not writable, or the disk is full; an existing file is unchanged.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let result = create(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result.with_context(|| format!("cannot write {}", path.display()))
}

fn builder() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_created_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("a/b");
        create_folders(&inner).expect("made");
        create_folders(&inner).expect("there already");
        assert!(create_folder(&inner).is_err());
        let path = inner.join("file");
        replace(&path, b"one").expect("written");
        replace(&path, b"two").expect("written over it");
        assert!(create(&path, b"three").is_err());
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(&inner).expect("a list").count(), 1, "no temporary file is left");
        assert!(replace(&inner.join("missing/file"), b"x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_user_may_read_what_is_made() {
        use crate::system::permissions::Permissions;

        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        create_folder(&inner).expect("made");
        let path = inner.join("file");
        replace(&path, b"x").expect("written");
        drop(lock_file(&inner.join("lock")).expect("made"));
        for path in [&inner, &path, &inner.join("lock")] {
            assert!(Permissions::from(&fs::metadata(path).expect("metadata")).is_private(), "{}", path.display());
        }
    }
}
