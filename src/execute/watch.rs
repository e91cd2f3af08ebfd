//! Waiting for a child that may hang, flood or leave a daemon behind. In: a child and a deadline. Out: how it ended, or
//! none when the deadline came first. A descriptor that some grandchild keeps open holds nothing up: the child's own
//! end is what is waited for.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::capture::Capture;
use crate::limits::{PIPE_READ, PIPE_READS};
use crate::system::child::{ChildWatcher, time_left};

/// How a child ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Whether somebody still holds its output open: what it started and did not wait for.
    pub(super) has_survivors: bool,
}

/// Takes in the child's output until it ends or `deadline` comes. What a killed child leaves behind has until `mercy` is over
/// to end as well.
pub(super) fn watch(
    child: &mut Child,
    pipe: PipeReader,
    deadline: Instant,
    kill_grace: Duration,
    capture: &mut Capture,
) -> io::Result<Option<Ended>> {
    let watcher = ChildWatcher::of(child);
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    let mut open = true;
    while let Some(timeout) = time_left(deadline) {
        // A pipe that everybody has closed would be ready for ever; then only the child's end is of interest.
        let has_ended = watcher.wait(child, open.then(|| pipe.as_fd()), timeout)?;
        open = open && drain(&pipe, if has_ended { PIPE_READS } else { 1 }, capture)?;
        if has_ended {
            let status = child.wait()?;
            let was_killed = status.signal().is_some();
            let has_survivors = open && !(was_killed && closes(&pipe, Instant::now() + kill_grace, capture)?);
            return Ok(Some(Ended { status, has_survivors }));
        }
    }
    Ok(None)
}

/// Takes in what `pipe` holds, with at most so many gulps; whether anybody can still write to it.
fn drain(pipe: &PipeReader, gulps: usize, capture: &mut Capture) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(PIPE_READ);
    for _ in 0..gulps {
        buffer.clear();
        match rustix::io::read(pipe, rustix::buffer::spare_capacity(&mut buffer)) {
            Ok(0) => return Ok(false),
            Ok(_) => capture.take(&buffer),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

/// Whether everybody closes the output before `deadline`.
fn closes(pipe: &PipeReader, deadline: Instant, capture: &mut Capture) -> io::Result<bool> {
    while let Some(timeout) = time_left(deadline) {
        if !drain(pipe, 1, capture)? {
            return Ok(true);
        }
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}
