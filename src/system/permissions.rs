//! Who may read, change or run a file. In: the type, mode, owner and group that stat(2) gives. Out: yes, no, or the
//! fault.
//!
//! It is pure: it opens nothing and asks for no account, so that the caller decides whether it judges a path or an open
//! descriptor. No other module compares mode bits or owners (`tests/integration/import_order.rs` checks it). An access
//! control list shows in the group's bits, which then are the mask of all that it grants (acl(5)): so nobody writes
//! unseen. Who may read through one does not show: `config::trust` asks for the list of a secret.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

#[cfg(feature = "gateway")]
use rustix::fs::Stat;

#[cfg(feature = "gateway")]
use super::accounts::Account;

/// The bits of the mode that chmod(2) sets.
const MODE: u32 = 0o7777;
/// The type of a file in st_mode, and two of the types (inode(7)).
const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
/// The rights of group and others.
const OTHERS: u32 = 0o077;

/// Type, mode, owner and group of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    raw_mode: u32,
    uid: u32,
    gid: u32,
}

/// What an account may do with a file, as one bit of a class of the mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Read it, or list a folder.
    Read = 4,
    /// Write to it, or make and remove files in a folder.
    Write = 2,
    /// Execute it, or open what is in a folder.
    Search = 1,
}

/// Why a file may not be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its owner is none of those that may own it.
    Owner,
    /// Group or others can change it.
    Writable,
    /// Group or others can read a secret; the mode that it should have at most.
    Readable(&'static str),
    /// A group that may not read a secret can read it.
    Group,
}

impl From<&Metadata> for Permissions {
    fn from(found: &Metadata) -> Self {
        Self { raw_mode: found.mode(), uid: found.uid(), gid: found.gid() }
    }
}

#[cfg(feature = "gateway")]
impl From<&Stat> for Permissions {
    fn from(found: &Stat) -> Self {
        Self { raw_mode: found.st_mode, uid: found.st_uid, gid: found.st_gid }
    }
}

impl Permissions {
    /// The permission bits, with setuid, setgid and sticky.
    pub fn mode(self) -> u32 {
        self.raw_mode & MODE
    }

    /// The owner's user id.
    pub fn uid(self) -> u32 {
        self.uid
    }

    /// The group.
    pub fn gid(self) -> u32 {
        self.gid
    }

    /// Whether `account` owns it.
    #[cfg(feature = "gateway")]
    pub fn is_owned_by(self, account: Account) -> bool {
        self.uid == account.uid
    }

    /// Whether it is a regular file.
    pub fn is_file(self) -> bool {
        self.raw_mode & TYPE == REGULAR
    }

    /// Whether it is a folder.
    pub fn is_folder(self) -> bool {
        self.raw_mode & TYPE == FOLDER
    }

    /// Whether it is a regular file that some account may execute.
    pub fn is_program(self) -> bool {
        self.is_file() && self.mode() & 0o111 != 0
    }

    /// Whether a program runs as root, whoever starts it.
    pub fn is_setuid_root(self) -> bool {
        self.uid == 0 && self.mode() & 0o4000 != 0
    }

    /// Whether no account but the owner and root has any right on it.
    pub fn is_private(self) -> bool {
        self.mode() & OTHERS == 0
    }

    /// Whether group or others may write to it.
    pub fn others_may_write(self) -> bool {
        self.mode() & 0o022 != 0
    }

    /// Whether group or others can change what is there already. In a sticky folder they can make files, but cannot
    /// rename or remove those of another owner (unlink(2), EPERM).
    pub fn others_may_change(self) -> bool {
        self.others_may_write() && !(self.is_folder() && self.mode() & 0o1000 != 0)
    }

    /// Whether `account` has the right. One class of the mode applies: the owner's, else the group's, else the others'
    /// (path_resolution(7)). Only the primary group counts: pipe(8) sets no other. Not for root, who may do everything.
    #[cfg(feature = "gateway")]
    pub fn allows(self, account: Account, right: Right) -> bool {
        let class = if self.is_owned_by(account) {
            6
        } else if self.gid == account.gid {
            3
        } else {
            0
        };
        self.raw_mode >> class & right as u32 != 0
    }

    /// That only root and `owners` could have written it.
    ///
    /// # Errors
    ///
    /// [`Fault::Owner`] or [`Fault::Writable`].
    pub fn trust(self, owners: &[u32]) -> Result<(), Fault> {
        if self.uid != 0 && !owners.contains(&self.uid) {
            return Err(Fault::Owner);
        }
        if self.others_may_change() { Err(Fault::Writable) } else { Ok(()) }
    }

    /// As [`trust`](Self::trust), and that only they and `groups` can read it: root's with mode 0640 or tighter, or an
    /// owner's with mode 0600 or tighter.
    ///
    /// # Errors
    ///
    /// Every [`Fault`].
    pub fn trust_secret(self, owners: &[u32], groups: &[u32]) -> Result<(), Fault> {
        self.trust(owners)?;
        let (forbidden, wanted) = if self.uid == 0 { (0o037, "0640") } else { (0o077, "0600") };
        if self.mode() & forbidden != 0 {
            return Err(Fault::Readable(wanted));
        }
        if self.mode() & 0o040 != 0 && self.gid != 0 && !groups.contains(&self.gid) {
            return Err(Fault::Group);
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "gateway"))]
mod tests {
    use super::*;

    const SERVICE: Account = Account { uid: 990, gid: 980 };

    fn file(mode: u32, uid: u32, gid: u32) -> Permissions {
        Permissions { raw_mode: REGULAR | mode, uid, gid }
    }

    fn folder(mode: u32, uid: u32) -> Permissions {
        Permissions { raw_mode: FOLDER | mode, uid, gid: 0 }
    }

    #[test]
    fn a_trusted_file_has_a_trusted_owner_and_no_other_writer() {
        assert_eq!(file(0o644, 0, 0).trust(&[]), Ok(()), "root may always own it");
        assert_eq!(file(0o644, 990, 0).trust(&[990]), Ok(()));
        assert_eq!(file(0o600, 1000, 0).trust(&[990]), Err(Fault::Owner));
        for mode in [0o664, 0o646, 0o620, 0o602] {
            assert_eq!(file(mode, 0, 0).trust(&[990]), Err(Fault::Writable), "{mode:o}");
        }
        assert_eq!(folder(0o777, 0).trust(&[]), Err(Fault::Writable));
        assert_eq!(folder(0o1777, 0).trust(&[]), Ok(()), "a sticky folder is an exception");
        assert_eq!(file(0o1666, 0, 0).trust(&[]), Err(Fault::Writable), "the exception is for folders only");
        assert!(folder(0o1777, 0).others_may_write());
    }

    #[test]
    fn a_secret_is_readable_by_its_owner_and_the_service_group_only() {
        let secret = |mode, uid, gid| file(mode, uid, gid).trust_secret(&[990], &[980]);
        assert_eq!(secret(0o600, 0, 0), Ok(()));
        assert_eq!(secret(0o640, 0, 980), Ok(()));
        assert_eq!(secret(0o640, 0, 100), Err(Fault::Group));
        assert_eq!(secret(0o600, 0, 100), Ok(()), "a group without rights is no reader");
        assert_eq!(secret(0o644, 0, 980), Err(Fault::Readable("0640")));
        assert_eq!(secret(0o650, 0, 980), Err(Fault::Readable("0640")));
        assert_eq!(secret(0o600, 990, 980), Ok(()));
        assert_eq!(secret(0o640, 990, 980), Err(Fault::Readable("0600")));
        assert_eq!(secret(0o600, 1000, 980), Err(Fault::Owner));
        assert_eq!(secret(0o660, 0, 980), Err(Fault::Writable));
    }

    #[test]
    fn one_class_of_the_mode_applies_to_an_account() {
        assert!(file(0o400, 990, 0).allows(SERVICE, Right::Read));
        assert!(!file(0o044, 990, 980).allows(SERVICE, Right::Read), "the owner has the owner's rights only");
        assert!(file(0o640, 0, 980).allows(SERVICE, Right::Read));
        assert!(!file(0o604, 0, 980).allows(SERVICE, Right::Read), "a member has the group's rights only");
        assert!(file(0o604, 0, 0).allows(SERVICE, Right::Read));
        assert!(!file(0o644, 0, 0).allows(SERVICE, Right::Write));
        assert!(file(0o200, 990, 0).allows(SERVICE, Right::Write));
        assert!(folder(0o711, 0).allows(SERVICE, Right::Search));
        assert!(!folder(0o750, 0).allows(SERVICE, Right::Search));
    }

    #[test]
    fn a_key_file_is_private_and_a_program_can_be_executed() {
        assert!(file(0o600, 1000, 1000).is_private());
        for mode in [0o640, 0o604, 0o610, 0o601, 0o620, 0o602] {
            assert!(!file(mode, 1000, 1000).is_private(), "{mode:o}");
        }
        assert!(file(0o755, 0, 0).is_program());
        assert!(!file(0o644, 0, 0).is_program());
        assert!(!folder(0o755, 0).is_program());
        assert!(file(0o4755, 0, 0).is_setuid_root());
        assert!(!file(0o755, 0, 0).is_setuid_root());
        assert!(!file(0o4755, 1000, 0).is_setuid_root());
    }
}
