//! Whose turn it is to begin a transaction where several deliveries wait for one: a lock on one byte of the file beside
//! the ledger. The kernel gives it to one delivery after the other, in the order in which they asked, and takes it from
//! a dead one. In: that file, and how long to wait. Out: a [`Turn`].
//!
//! After two tries, only the delivery whose turn it is tries to begin. If all of them tried, each millisecond, fifty of
//! them could keep the one that writes from ending for seconds (docs/measurements.md#waits-and-syncs).

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::locks::{Held, TURN};
use crate::limits::LEDGER_POLL;

/// The stack of the thread that waits, in bytes: it makes one system call.
const STACK: usize = 64 << 10;

/// The turn, until it is dropped.
pub(super) struct Turn {
    _held: Held,
}

impl Turn {
    /// Waits for the turn until `deadline`. `None` if it does not come, or cannot be waited for: then the caller tries
    /// without it.
    pub(super) fn wait(locks: &Path, deadline: Instant) -> Option<Self> {
        let held = Held::on(locks, TURN).ok()?;
        match fcntl(&held.lock, FcntlArg::F_OFD_SETLK(&held.byte)) {
            Ok(_) => return Some(Self { _held: held }),
            Err(Errno::EAGAIN | Errno::EACCES) => {}
            Err(_) => return None,
        }
        // The call has no limit in time, so a thread makes it. If the time is over first, the thread gives back what it
        // then gets.
        let (sender, receiver) = mpsc::channel();
        let wait = move || {
            while fcntl(&held.lock, FcntlArg::F_OFD_SETLKW(&held.byte)) == Err(Errno::EINTR) {}
            let _ = sender.send(held);
        };
        thread::Builder::new().stack_size(STACK).spawn(wait).ok()?;
        let left = deadline.saturating_duration_since(Instant::now()).max(LEDGER_POLL);
        receiver.recv_timeout(left).ok().map(|held| Self { _held: held })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn wait(locks: &Path, timeout: Duration) -> Option<Turn> {
        Turn::wait(locks, Instant::now() + timeout)
    }

    #[test]
    fn one_has_the_turn_and_the_next_gets_it_after() {
        let locks = tempfile::NamedTempFile::new().expect("a file");
        let turn = wait(locks.path(), Duration::ZERO).expect("nobody has it");
        let next = thread::scope(|scope| {
            let next = scope.spawn(|| wait(locks.path(), Duration::from_mins(1)));
            assert!(!next.is_finished());
            drop(turn);
            next.join().expect("it ends")
        });
        assert!(next.is_some());
    }

    #[test]
    fn a_turn_that_comes_too_late_is_given_back() {
        let locks = tempfile::NamedTempFile::new().expect("a file");
        let turn = wait(locks.path(), Duration::ZERO).expect("nobody has it");
        assert!(wait(locks.path(), Duration::from_millis(10)).is_none());
        drop(turn);
        assert!(wait(locks.path(), Duration::from_mins(1)).is_some());
    }

    #[test]
    fn without_the_file_there_is_no_turn() {
        assert!(wait(Path::new("/nowhere/ledger.db-claims"), Duration::from_mins(1)).is_none());
    }
}
