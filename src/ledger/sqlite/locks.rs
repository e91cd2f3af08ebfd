//! Which process works on a request: locks on single bytes of a file beside the ledger, which the kernel releases with
//! the process. In: a request id. Out: a [`RequestLock`], or whether a process holds one.
//!
//! MUST: no dead process holds one, and no reused process id can; open-file-description locks (fcntl(2)) end with the
//! descriptor and know no process id.

use std::fs::{File, OpenOptions};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::files::failed;
use crate::ledger::{LedgerError, RequestLock};
use crate::protocol::RequestId;

/// The last byte that can stand for a request.
const REQUESTS: i64 = i64::MAX >> 1;

/// The byte that stands for no request, but for the turn to begin a transaction.
pub(super) const TURN: i64 = REQUESTS + 1;

/// Locks the request for this process; `None` while another process holds the lock.
pub(super) fn lock(path: &Path, id: &RequestId) -> Result<Option<RequestLock>, LedgerError> {
    let held = Held::on(path, offset_of(id))?;
    match fcntl(&held.lock, FcntlArg::F_OFD_SETLK(&held.byte)) {
        Ok(_) => Ok(Some(RequestLock { held: Box::new(held) })),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(errno) => Err(failed(path, errno)),
    }
}

/// Whether a living process holds the lock.
pub(super) fn is_locked(path: &Path, id: &RequestId) -> Result<bool, LedgerError> {
    let mut lock = byte(offset_of(id));
    fcntl(&open(path)?, FcntlArg::F_OFD_GETLK(&mut lock)).map_err(|errno| failed(path, errno))?;
    Ok(i32::from(lock.l_type) != libc::F_UNLCK)
}

fn open(path: &Path) -> Result<File, LedgerError> {
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| failed(path, error))
}

/// The one byte that stands for a request: 62 bits of its id. Two ids with the same byte would only wait for each
/// other.
fn offset_of(id: &RequestId) -> i64 {
    let mut offset = [0; 8];
    offset.copy_from_slice(id.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    i64::from_be_bytes(offset) & REQUESTS
}

/// A write lock on one byte.
#[expect(clippy::cast_possible_truncation, reason = "the C library's own small constants")]
fn byte(offset: i64) -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: offset,
        l_len: 1,
        l_pid: 0,
    }
}

/// A byte that is locked or about to be. It is unlocked explicitly, and not only by closing the descriptor, because a
/// child that has not yet called execve(2) has a copy of it.
pub(super) struct Held {
    pub(super) lock: File,
    pub(super) byte: libc::flock,
}

impl Held {
    /// Opens the file at `path` for a lock on the byte at `offset`.
    pub(super) fn on(path: &Path, offset: i64) -> Result<Self, LedgerError> {
        Ok(Self { lock: open(path)?, byte: byte(offset) })
    }
}

impl Drop for Held {
    #[expect(clippy::cast_possible_truncation, reason = "the C library's own small constants")]
    fn drop(&mut self) {
        self.byte.l_type = libc::F_UNLCK as libc::c_short;
        let _ = fcntl(&self.lock, FcntlArg::F_OFD_SETLK(&self.byte));
    }
}
