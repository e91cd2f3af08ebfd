//! Opening files that decide what may run. In: a folder and names below it. Out: the bytes of a file that only
//! root and trusted accounts could have written, checked on the opened descriptor.
//!
//! MUST: a file is checked by `fstat` of the descriptor that it is read from, never by its name; no symbolic link
//! is followed below the folder; every folder above is checked too, because a right to rename is a right to replace.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use zeroize::Zeroizing;

use super::Distrust;
use super::distrust::{Audience, unreadable};
use crate::limits::CONFIG_FILE;
use crate::system::permissions::{Fault, Permissions};

/// Who, besides root, may own the gateway's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Trusted {
    /// Root and the account that runs this process: right for `deliver`, which runs as the service user.
    pub fn caller() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self { uids: vec![uid.as_raw()], gids: vec![gid.as_raw()] }
    }

    /// And `uid` with its group too: for a command that root runs on files of the service user.
    pub fn and(mut self, uid: u32, gid: u32) -> Self {
        self.uids.push(uid);
        self.gids.push(gid);
        self
    }

    fn judge(&self, path: &Path, found: Permissions) -> Result<(), Distrust> {
        found.trust(&self.uids).map_err(|fault| Distrust::of(path, found, fault))
    }

    fn judge_secret(&self, path: &Path, found: Permissions) -> Result<(), Distrust> {
        found.trust_secret(&self.uids, &self.gids).map_err(|fault| Distrust::of(path, found, fault))
    }
}

/// An open folder. All its parents are trusted.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    descriptor: File,
    trusted: Trusted,
}

impl Folder {
    /// Opens the folder at `path` after checking it and every folder above it.
    pub fn open(path: &Path, trusted: Trusted) -> Result<Self, Distrust> {
        Self::open_for(path, trusted, Audience::All)
    }

    fn open_for(path: &Path, trusted: Trusted, audience: Audience) -> Result<Self, Distrust> {
        let full = path.canonicalize().map_err(|error| unreadable(path, error, audience))?;
        for above in full.ancestors().skip(1) {
            let stat = rustix::fs::stat(above).map_err(|errno| unreadable(above, errno.into(), audience))?;
            trusted.judge(above, Permissions::from(&stat))?;
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor =
            rustix::fs::open(&full, flags, Mode::empty()).map_err(|errno| unreadable(&full, errno.into(), audience))?;
        Self::held(full, descriptor.into(), trusted)
    }

    /// Opens the folder `name` inside this one.
    pub fn folder(&self, name: &str) -> Result<Self, Distrust> {
        let audience = if name == "secrets.d" { Audience::ServiceGroup } else { Audience::All };
        let descriptor = self.open_at(name, OFlags::DIRECTORY, audience)?;
        Self::held(self.path.join(name), descriptor, self.trusted.clone())
    }

    fn held(path: PathBuf, descriptor: File, trusted: Trusted) -> Result<Self, Distrust> {
        let stat = rustix::fs::fstat(&descriptor).map_err(|errno| unreadable(&path, errno.into(), Audience::All))?;
        trusted.judge(&path, Permissions::from(&stat))?;
        Ok(Self { path, descriptor, trusted })
    }

    /// Where the folder is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file `name` in this folder, wiped when dropped.
    pub fn read(&self, name: &str) -> Result<Zeroizing<String>, Distrust> {
        self.read_judged(name, Audience::All, |trusted, path, _, found| trusted.judge(path, found))
    }

    /// Like [`read`](Self::read), for a file that only root, its owner and the service group may read:
    /// root's with mode 0640 or tighter, or the service user's with mode 0600 or tighter.
    ///
    /// Nor may an access control list name another reader: the mode shows only the most that such a list gives to
    /// anybody, in the place of the group's rights (acl(5)).
    pub fn read_secret(&self, name: &str) -> Result<Zeroizing<String>, Distrust> {
        self.read_judged(name, Audience::ServiceGroup, |trusted, path, file, found| {
            trusted.judge_secret(path, found)?;
            // Where the mask lets nobody read, no entry does.
            if !found.is_private() && has_acl(file) { Err(Distrust::Listed(path.to_owned())) } else { Ok(()) }
        })
    }

    /// The text of the secret file `path`, which need not be in this folder; who may own it is the same.
    pub fn read_secret_elsewhere(&self, path: &Path) -> Result<Zeroizing<String>, Distrust> {
        Self::secret(path, self.trusted.clone())
    }

    /// The text of the secret file `path`. A path that is not absolute begins at the working folder.
    pub fn secret(path: &Path, trusted: Trusted) -> Result<Zeroizing<String>, Distrust> {
        let full = std::path::absolute(path).map_err(|error| unreadable(path, error, Audience::ServiceGroup))?;
        let (folder, name) = (full.parent().unwrap_or(&full), full.file_name().unwrap_or_default());
        Self::open_for(folder, trusted, Audience::ServiceGroup)?.read_secret(&name.to_string_lossy())
    }

    fn read_judged(
        &self,
        name: &str,
        audience: Audience,
        judge: impl FnOnce(&Trusted, &Path, &File, Permissions) -> Result<(), Distrust>,
    ) -> Result<Zeroizing<String>, Distrust> {
        let path = self.path.join(name);
        // Without NONBLOCK a FIFO of that name would block the delivery before it is checked.
        let mut file = self.open_at(name, OFlags::NONBLOCK, audience)?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| unreadable(&path, errno.into(), audience))?;
        let found = Permissions::from(&stat);
        if !found.is_file() {
            return Err(Distrust::Kind(path));
        }
        judge(&self.trusted, &path, &file, found)?;
        let size = usize::try_from(stat.st_size).unwrap_or_default();
        // The capacity is set first, because a text that grows leaves an unwiped copy of a secret behind.
        let mut text = Zeroizing::new(String::with_capacity(size + 1));
        match file.by_ref().take(CONFIG_FILE + 1).read_to_string(&mut text) {
            Ok(read) if read as u64 <= CONFIG_FILE => Ok(text),
            Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(unreadable(&path, error, audience)),
            _ => Err(Distrust::Content(path)),
        }
    }

    /// Checks the folder again, without the exception for sticky folders.
    pub fn check_private(&self) -> Result<(), Distrust> {
        let stat =
            rustix::fs::fstat(&self.descriptor).map_err(|errno| unreadable(&self.path, errno.into(), Audience::All))?;
        let found = Permissions::from(&stat);
        if found.others_may_write() { Err(Distrust::of(&self.path, found, Fault::Writable)) } else { Ok(()) }
    }

    /// Checks the file `name` without reading it, for a file that a library opens by its path.
    pub fn check(&self, name: &str) -> Result<(), Distrust> {
        let path = self.path.join(name);
        let stat = rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| unreadable(&path, errno.into(), Audience::All))?;
        let found = Permissions::from(&stat);
        if !found.is_file() {
            return Err(Distrust::Kind(path));
        }
        self.trusted.judge(&path, found)
    }

    /// The names in this folder that end in `.toml`, without that ending, sorted. Hidden files do not count.
    pub fn stems(&self) -> Result<Vec<String>, Distrust> {
        let stem = |name: String| name.strip_suffix(".toml").map(str::to_owned);
        let mut stems: Vec<_> = self.files()?.into_iter().filter_map(stem).collect();
        stems.sort_unstable();
        Ok(stems)
    }

    /// The names in this folder, sorted. Hidden files do not count, and neither do names that are not UTF-8.
    pub fn files(&self) -> Result<Vec<String>, Distrust> {
        let refuse = |errno: rustix::io::Errno| unreadable(&self.path, errno.into(), Audience::All);
        let mut files = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            if let Ok(name) = entry.file_name().to_str()
                && !name.starts_with('.')
            {
                files.push(name.to_owned());
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    fn open_at(&self, name: &str, kind: OFlags, audience: Audience) -> Result<File, Distrust> {
        let flags = kind | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| unreadable(&self.path.join(name), errno.into(), audience))
    }
}

/// Whether a file has an access control list. A file system without such lists has none.
fn has_acl(file: &File) -> bool {
    // No list fits.
    let mut byte = [0_u8];
    match rustix::fs::fgetxattr(file, "system.posix_acl_access", &mut byte) {
        Ok(size) => size > 0,
        Err(errno) => errno == rustix::io::Errno::RANGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn only_files_that_nobody_else_could_have_written_are_read() {
        let root = tempfile::tempdir().expect("a folder");
        set_mode(root.path(), 0o755);
        let file = root.path().join("a.toml");
        fs::write(&file, "x = 1").expect("a file");
        set_mode(&file, 0o644);
        let open = || Folder::open(root.path(), Trusted::caller());
        let folder = open().expect("a trusted folder");
        assert_eq!(folder.read("a.toml").expect("trusted").as_str(), "x = 1");
        assert_eq!(folder.stems().expect("a list"), ["a"]);
        assert!(matches!(folder.read("b.toml"), Err(Distrust::Missing(_))));
        for mode in [0o664, 0o646, 0o666] {
            set_mode(&file, mode);
            assert!(matches!(folder.read("a.toml"), Err(Distrust::Mode(..))), "{mode:o}");
        }
        set_mode(&file, 0o644);
        symlink(&file, root.path().join("link.toml")).expect("a link");
        assert!(matches!(folder.read("link.toml"), Err(Distrust::Link(_))));
        symlink(root.path(), root.path().join("linked")).expect("a link");
        assert!(matches!(folder.folder("linked"), Err(Distrust::Link(_))));
        fs::create_dir(root.path().join("d.toml")).expect("a folder");
        assert!(matches!(folder.read("d.toml"), Err(Distrust::Kind(_))));
        set_mode(root.path(), 0o777);
        assert!(matches!(open(), Err(Distrust::Mode(..))));
        set_mode(root.path(), 0o1777);
        assert!(open().is_ok(), "a sticky folder is an exception");
        let inner = root.path().join("inner");
        fs::create_dir(&inner).expect("a folder");
        set_mode(&inner, 0o755);
        set_mode(root.path(), 0o777);
        let error = Folder::open(&inner, Trusted::caller()).expect_err("a loose parent");
        assert!(matches!(error, Distrust::Mode(..)), "{error}");
    }

    #[test]
    fn secrets_are_nobody_elses_to_read() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("a.toml");
        fs::write(&file, "x = 1").expect("a file");
        let folder = Folder::open(root.path(), Trusted::caller()).expect("a trusted folder");
        set_mode(&file, 0o600);
        assert!(folder.read_secret("a.toml").is_ok());
        set_mode(&file, 0o644);
        assert!(matches!(folder.read_secret("a.toml"), Err(Distrust::Mode(..))));
    }
}
