//! Waiting for a child that may hang, flood or leave a daemon behind. In: a child and a deadline. Out: how it ended, or
//! none when the deadline came first. A descriptor that some grandchild keeps open holds nothing up: the child's own
//! end (pidfd_open(2)) is what is waited for.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::capture::Capture;

/// How much may still be in the pipe when the child has ended: the largest pipe that Linux lets a user make.
const LAST_GULP: usize = 1 << 20;

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
    mut pipe: PipeReader,
    deadline: Instant,
    mercy: Duration,
    capture: &mut Capture,
) -> io::Result<Option<Ended>> {
    let ended = pidfd_open(pid(child), PidfdFlags::empty())?;
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    let mut buffer = vec![0; 1 << 16];
    let mut open = true;
    loop {
        let Some(patience) = left(deadline) else {
            return Ok(None);
        };
        let mut waits = [PollFd::new(&ended, PollFlags::IN), PollFd::new(&pipe, PollFlags::IN)];
        // A pipe that everybody has closed would be ready for ever; then only the child's end is of interest.
        let waits = if open { &mut waits[..] } else { &mut waits[..1] };
        match poll(waits, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let has_ended = waits.first().is_some_and(|wait| !wait.revents().is_empty());
        let mut gulps = if has_ended { LAST_GULP / buffer.len() } else { 1 };
        while open && gulps > 0 {
            gulps -= 1;
            match pipe.read(&mut buffer) {
                Ok(0) => open = false,
                Ok(read) => capture.take(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if has_ended {
            let status = child.wait()?;
            let was_killed = status.signal().is_some();
            let is_survived = open && !(was_killed && closes(&mut pipe, Instant::now() + mercy, capture)?);
            return Ok(Some(Ended { status, is_survived }));
        }
    }
}

/// Whether everybody closes the output before `deadline`.
fn closes(pipe: &mut PipeReader, deadline: Instant, capture: &mut Capture) -> io::Result<bool> {
    let mut buffer = vec![0; 1 << 12];
    while let Some(patience) = left(deadline) {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(read) => capture.take(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(&*pipe, PollFlags::IN)], Some(&patience)) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Waits for a child whose output is nobody's business.
///
/// # Errors
///
/// The kernel has no pidfd_open(2) (before Linux 5.3), or the child is not ours to wait for.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let ended = pidfd_open(pid(child), PidfdFlags::empty())?;
    loop {
        let Some(patience) = left(deadline) else {
            return Ok(None);
        };
        let mut waits = [PollFd::new(&ended, PollFlags::IN)];
        match poll(&mut waits, Some(&patience)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return child.wait().map(Some),
            Err(errno) => return Err(errno.into()),
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

/// The time left until `deadline`, for poll(2); `None` when it has come.
fn left(deadline: Instant) -> Option<Timespec> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    Timespec::try_from(left).ok()
}
