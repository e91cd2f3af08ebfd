//! Why a file of the gateway is not used, and what to do about it. In: the file and what was found. Out: one line.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

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
        remedy = to_open(.0, *.2), path = .0.display(), uid = rustix::process::geteuid().as_raw()
    )]
    Closed(PathBuf, io::Error, Audience),
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
    /// It is a symbolic link.
    #[error("{} is a symbolic link, and none is followed: put the file or folder itself in its place", .0.display())]
    Link(PathBuf),
    /// It is not a regular file, or not a folder.
    #[error("{} is not a regular file or folder", .0.display())]
    Kind(PathBuf),
    /// It is larger than 1 MiB, or not UTF-8.
    #[error("{} is not UTF-8 text under 1 MiB", .0.display())]
    Content(PathBuf),
}

/// Who may read a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every account.
    All,
    /// The service user by its group, and root: it is a secret, or a folder of secrets.
    ServiceGroup,
}

/// What lets the account that runs this open a file or folder.
fn to_open(path: &Path, audience: Audience) -> Remedy {
    let above: Vec<_> = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    if let Some(closed) = above.into_iter().rev().find(|folder| access(*folder, Access::EXEC_OK).is_err()) {
        return Remedy::Words(format!("put it into a folder that this uid may enter: {} is closed", closed.display()));
    }
    match (audience, path.is_dir()) {
        (Audience::All, false) => Remedy::Chmod("0644", path.to_owned()),
        (Audience::All, true) => Remedy::Chmod("0755", path.to_owned()),
        (Audience::ServiceGroup, is_folder) => {
            let group = rustix::process::getegid().as_raw().to_string();
            Remedy::ForGroup(group, if is_folder { "0750" } else { "0640" }, path.to_owned())
        }
    }
}

impl Distrust {
    pub(super) fn of(path: &Path, found: Permissions, fault: Fault) -> Self {
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

/// Why `path`, which is for `audience`, could not be opened or read.
pub(super) fn unreadable(path: &Path, error: io::Error, audience: Audience) -> Distrust {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => Distrust::Missing(path),
        io::ErrorKind::PermissionDenied => Distrust::Closed(path, error, audience),
        // open(2) with O_NOFOLLOW: ELOOP, and with O_DIRECTORY, ENOTDIR.
        _ if path.is_symlink() => Distrust::Link(path),
        _ => Distrust::Unreadable(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_remedy_opens_a_secret_to_every_account() {
        let closed =
            |audience| unreadable(Path::new("/etc/password"), io::ErrorKind::PermissionDenied.into(), audience);
        assert!(closed(Audience::All).to_string().contains(" 0644 /etc/password"));
        let secret = closed(Audience::ServiceGroup).to_string();
        assert!(secret.contains(" 0640 /etc/password") && !secret.contains("0644"), "{secret}");
    }
}
