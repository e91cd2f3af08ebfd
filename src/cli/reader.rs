//! The reader of standard output, which may go away while nothing is printed.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::stdout::StdoutError;

/// Waits for `span`; an error as soon as the reader of a pipe has closed it.
pub(super) fn wait(span: Duration) -> Result<(), StdoutError> {
    let stdout = io::stdout();
    // No event is asked for: an error is always reported (poll(2)).
    let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
    let timeout = Timespec::try_from(span).map_err(|error| StdoutError(io::Error::other(error)))?;
    match poll(&mut descriptors, Some(&timeout)) {
        Ok(0) | Err(Errno::INTR) => Ok(()),
        Ok(_) => Err(StdoutError(ErrorKind::BrokenPipe.into())),
        Err(errno) => Err(StdoutError(errno.into())),
    }
}
