//! Waiting for a child that may hang, flood or leave a daemon behind. In: a child and a deadline. Out: how it ended, or
//! none when the deadline came first. A descriptor that some grandchild keeps open holds nothing up: the child's own
//! end is what is waited for.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::capture::Capture;

/// How much is read at once, in bytes: what a pipe holds.
const GULP: usize = 1 << 16;

/// How often it is read once the child has ended: as much as the largest pipe holds that Linux lets a user make, 1 MiB.
const LAST_GULPS: usize = (1 << 20) / GULP;

/// How often a child is looked at that no descriptor tells of.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// How a child ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Whether somebody still holds its output open: what it started and did not wait for.
    pub(super) is_survived: bool,
}

/// Takes in the child's output until it ends or `deadline` comes. What a killed child leaves behind has until `mercy` is over
/// to end as well.
pub(super) fn watch(
    child: &mut Child,
    pipe: PipeReader,
    deadline: Instant,
    mercy: Duration,
    capture: &mut Capture,
) -> io::Result<Option<Ended>> {
    let sentinel = Sentinel::of(child);
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    let mut open = true;
    while let Some(patience) = left(deadline) {
        // A pipe that everybody has closed would be ready for ever; then only the child's end is of interest.
        let has_ended = sentinel.look(child, open.then(|| pipe.as_fd()), patience)?;
        open = open && drain(&pipe, if has_ended { LAST_GULPS } else { 1 }, capture)?;
        if has_ended {
            let status = child.wait()?;
            let was_killed = status.signal().is_some();
            let is_survived = open && !(was_killed && closes(&pipe, Instant::now() + mercy, capture)?);
            return Ok(Some(Ended { status, is_survived }));
        }
    }
    Ok(None)
}

/// Takes in what `pipe` holds, with at most so many gulps; whether anybody can still write to it.
fn drain(pipe: &PipeReader, gulps: usize, capture: &mut Capture) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(GULP);
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
    while let Some(patience) = left(deadline) {
        if !drain(pipe, 1, capture)? {
            return Ok(true);
        }
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(false)
}

/// Waits for a child whose output is nobody's business.
///
/// # Errors
///
/// The child is not ours to wait for.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let sentinel = Sentinel::of(child);
    while let Some(patience) = left(deadline) {
        if sentinel.look(child, None, patience)? {
            return child.wait().map(Some);
        }
    }
    Ok(None)
}

/// What tells that a child has ended: a descriptor of it (pidfd_open(2)), or, where the kernel has none to give (before
/// Linux 5.3), a look at it again and again.
struct Sentinel(Option<OwnedFd>);

impl Sentinel {
    fn of(child: &Child) -> Self {
        Self(pidfd_open(pid(child), PidfdFlags::empty()).ok())
    }

    /// Waits until the child has ended, `pipe` has something to read, or `patience` is over; whether the child has ended.
    fn look(&self, child: &mut Child, pipe: Option<BorrowedFd<'_>>, patience: Duration) -> io::Result<bool> {
        let descriptors = self.0.as_ref().map(AsFd::as_fd).into_iter().chain(pipe);
        let mut waits: Vec<_> =
            descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
        let patience = if self.0.is_some() { patience } else { patience.min(BETWEEN_LOOKS) };
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        match poll(&mut waits, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match (&self.0, waits.first()) {
            (Some(_), Some(ended)) => Ok(!ended.revents().is_empty()),
            _ => Ok(child.try_wait()?.is_some()),
        }
    }
}

/// Ends a child and its process group: TERM, which sudo relays to what it runs, then, after `mercy`, KILL.
pub fn end_group(child: &mut Child, mercy: Duration) {
    let group = pid(child);
    let _ = kill_process_group(group, Signal::TERM);
    if matches!(wait_until(child, Instant::now() + mercy), Ok(Some(_))) {
        return;
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = wait_until(child, Instant::now() + mercy);
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The time left until `deadline`; `None` when it has come.
fn left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// As on a kernel without pidfd_open(2).
    #[test]
    fn a_child_that_no_descriptor_tells_of_is_seen_to_end() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a child");
        let blind = Sentinel(None);
        assert!(!blind.look(&mut child, None, Duration::from_millis(1)).expect("a look"), "it waits for its input");
        drop(child.stdin.take());
        while !blind.look(&mut child, None, Duration::from_secs(10)).expect("a look") {}
        assert!(child.wait().expect("its status").success());
    }
}
