//! Opening files that decide what may run. In: a folder and names below it. Out: the bytes of a file that only
//! root and trusted accounts could have written, checked on the opened descriptor.
//!
//! MUST: a file is checked by `fstat` of the descriptor that it is read from, never by its name; no symbolic link
//! is followed below the folder; every folder above is checked too, because a right to rename is a right to replace.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use zeroize::Zeroizing;

use crate::limits::CONFIG_FILE;
use crate::remedy::Remedy;
use crate::system::permissions::{Fault, Permissions};

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It does not exist.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The caller may not open it.
    #[error(
        "{path} cannot be read by uid {uid}, which runs this. If that uid is that of service_user: {remedy}. If not, run it as the \
         service user: the transport of `mailsudo postfix install` does, and an alias or .forward does not",
        remedy = to_open(.0), path = .0.display(), uid = rustix::process::geteuid().as_raw()
    )]
    Closed(PathBuf, io::Error),
    /// It cannot be opened or read.
    #[error("{path}: {1}", path = .0.display())]
    Unreadable(PathBuf, io::Error),
    /// It belongs to an account that may not decide what runs.
    #[error("{path} belongs to uid {1}, which may not own it: {remedy}", remedy = Remedy::Chown("root".to_owned(), .0.clone()), path = .0.display())]
    Owner(PathBuf, u32),
    /// Others may write to it (or read it, if it is a secret). Holds the mode found and the one wanted.
    #[error("{path} has mode {1:04o}, which gives others access: {remedy}", remedy = Remedy::Chmod(.2, .0.clone()), path = .0.display())]
    Mode(PathBuf, u32, &'static str),
    /// It is a secret, and a group other than the service user's may read it.
    #[error(
        "{path} can be read by the group {1}, which is not the service user's: {remedy}",
        remedy = Remedy::Chmod("0600", .0.clone()), path = .0.display()
    )]
    Group(PathBuf, u32),
    /// It is a secret, and an access control list lets other accounts read it.
    #[error(
        "{path} can be read by others through its access control list: {remedy}",
        remedy = Remedy::Words(format!("setfacl --remove-all {}", .0.display())), path = .0.display()
    )]
    Listed(PathBuf),
    /// It is not a regular file, or not a folder.
    #[error("{} is not a regular file or folder", .0.display())]
    Kind(PathBuf),
    /// It is larger than 1 MiB, or not UTF-8.
    #[error("{} is not UTF-8 text under 1 MiB", .0.display())]
    Content(PathBuf),
}

/// What lets the account that runs this open a file or folder: secrets by its group alone.
fn to_open(path: &Path) -> Remedy {
    let is_secret = path.iter().any(|part| part == "secrets.d");
    match (is_secret, path.is_dir()) {
        (false, false) => Remedy::Chmod("0644", path.to_owned()),
        (false, true) => Remedy::Chmod("0755", path.to_owned()),
        (true, is_folder) => {
            let group = rustix::process::getegid().as_raw().to_string();
            Remedy::ForGroup(group, if is_folder { "0750" } else { "0640" }, path.to_owned())
        }
    }
}

impl Distrust {
    fn of(path: &Path, found: Permissions, fault: Fault) -> Self {
        let path = path.to_owned();
        match fault {
            Fault::Owner => Self::Owner(path, found.uid()),
            Fault::Writable => Self::Mode(path, found.mode(), "go-w"),
            Fault::Readable(wanted) => Self::Mode(path, found.mode(), wanted),
            Fault::Group => Self::Group(path, found.gid()),
        }
    }

    /// Whether it exists, and the caller may not open it.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed(..))
    }
}

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
        let full = path.canonicalize().map_err(|error| unreadable(path, error))?;
        for above in full.ancestors().skip(1) {
            let stat = rustix::fs::stat(above).map_err(|errno| unreadable(above, errno.into()))?;
            trusted.judge(above, Permissions::from(&stat))?;
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let descriptor =
            rustix::fs::open(&full, flags, Mode::empty()).map_err(|errno| unreadable(&full, errno.into()))?;
        Self::held(full, descriptor.into(), trusted)
    }

    /// Opens the folder `name` inside this one.
    pub fn folder(&self, name: &str) -> Result<Self, Distrust> {
        let descriptor = self.open_at(name, OFlags::DIRECTORY)?;
        Self::held(self.path.join(name), descriptor, self.trusted.clone())
    }

    fn held(path: PathBuf, descriptor: File, trusted: Trusted) -> Result<Self, Distrust> {
        let stat = rustix::fs::fstat(&descriptor).map_err(|errno| unreadable(&path, errno.into()))?;
        trusted.judge(&path, Permissions::from(&stat))?;
        Ok(Self { path, descriptor, trusted })
    }

    /// Where the folder is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of the file `name` in this folder, wiped when dropped.
    pub fn read(&self, name: &str) -> Result<Zeroizing<String>, Distrust> {
        self.read_judged(name, |trusted, path, _, found| trusted.judge(path, found))
    }

    /// Like [`read`](Self::read), for a file that only root, its owner and the service group may read:
    /// root's with mode 0640 or tighter, or the service user's with mode 0600 or tighter.
    ///
    /// Nor may an access control list name another reader: the mode shows only the most that such a list gives to
    /// anybody, in the place of the group's rights (acl(5)).
    pub fn read_secret(&self, name: &str) -> Result<Zeroizing<String>, Distrust> {
        self.read_judged(name, |trusted, path, file, found| {
            trusted.judge_secret(path, found)?;
            // Where the mask lets nobody read, no entry does.
            if !found.is_private() && has_acl(file) { Err(Distrust::Listed(path.to_owned())) } else { Ok(()) }
        })
    }

    /// The text of the secret file `path`, which need not be in this folder; who may own it is the same.
    pub fn read_secret_elsewhere(&self, path: &Path) -> Result<Zeroizing<String>, Distrust> {
        let (folder, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        Self::open(folder, self.trusted.clone())?.read_secret(&name.to_string_lossy())
    }

    fn read_judged(
        &self,
        name: &str,
        judge: impl FnOnce(&Trusted, &Path, &File, Permissions) -> Result<(), Distrust>,
    ) -> Result<Zeroizing<String>, Distrust> {
        let path = self.path.join(name);
        // Without NONBLOCK a FIFO of that name would block the delivery before it is checked.
        let mut file = self.open_at(name, OFlags::NONBLOCK)?;
        let stat = rustix::fs::fstat(&file).map_err(|errno| unreadable(&path, errno.into()))?;
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
            Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(unreadable(&path, error)),
            _ => Err(Distrust::Content(path)),
        }
    }

    /// Checks the folder again, without the exception for sticky folders.
    pub fn check_private(&self) -> Result<(), Distrust> {
        let stat = rustix::fs::fstat(&self.descriptor).map_err(|errno| unreadable(&self.path, errno.into()))?;
        let found = Permissions::from(&stat);
        if found.others_may_write() { Err(Distrust::of(&self.path, found, Fault::Writable)) } else { Ok(()) }
    }

    /// Checks the file `name` without reading it, for a file that a library opens by its path.
    pub fn check(&self, name: &str) -> Result<(), Distrust> {
        let path = self.path.join(name);
        let stat = rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| unreadable(&path, errno.into()))?;
        let found = Permissions::from(&stat);
        if !found.is_file() {
            return Err(Distrust::Kind(path));
        }
        self.trusted.judge(&path, found)
    }

    /// The names in this folder that end in `.toml`, without that ending, sorted. Hidden files do not count.
    pub fn stems(&self) -> Result<Vec<String>, Distrust> {
        let refuse = |errno: rustix::io::Errno| unreadable(&self.path, errno.into());
        let mut stems = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.descriptor).map_err(refuse)? {
            let entry = entry.map_err(refuse)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".toml"))
                && !stem.starts_with('.')
            {
                stems.push(stem.to_owned());
            }
        }
        stems.sort_unstable();
        Ok(stems)
    }

    fn open_at(&self, name: &str, kind: OFlags) -> Result<File, Distrust> {
        let flags = kind | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.descriptor, name, flags, Mode::empty())
            .map(File::from)
            .map_err(|errno| unreadable(&self.path.join(name), errno.into()))
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

fn unreadable(path: &Path, error: io::Error) -> Distrust {
    match error.kind() {
        io::ErrorKind::NotFound => Distrust::Missing(path.to_owned()),
        io::ErrorKind::PermissionDenied => Distrust::Closed(path.to_owned(), error),
        _ => Distrust::Unreadable(path.to_owned(), error),
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
        assert!(matches!(folder.read("link.toml"), Err(Distrust::Unreadable(..))));
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
