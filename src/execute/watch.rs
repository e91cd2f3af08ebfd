//! Watches a started command line that may hang, print without end or leave processes behind. In: the child and its
//! output. Out: whether the command began, and how the child ended. A descriptor that some other process keeps open
//! delays nothing: only the child's own end is waited for.

use std::io::{self, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::begin::{Begun, Report};
use super::capture::Capture;
use crate::limits::{PIPE_READ, PIPE_READS};
use crate::system::child::{ChildWatcher, end_group, kill_group, time_left};

/// How a child ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// Whether another process still holds its output open: one that it started and did not wait for.
    pub(super) has_survivors: bool,
}

/// A started command line.
pub(super) struct Watch<'w> {
    child: Child,
    watcher: ChildWatcher,
    pipe: PipeReader,
    is_open: bool,
    report: Option<Report>,
    capture: &'w mut Capture,
    kill_grace: Duration,
}

impl<'w> Watch<'w> {
    /// Watches `child`, whose output is `pipe`. A `report` says when the command begins; without one it began with the
    /// child.
    pub(super) fn new(
        child: Child,
        pipe: PipeReader,
        report: Option<Report>,
        capture: &'w mut Capture,
        kill_grace: Duration,
    ) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&pipe)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
        Ok(Self { watcher: ChildWatcher::of(&child), child, pipe, is_open: true, report, capture, kill_grace })
    }

    /// Whether the command has begun, as far as is known.
    pub(super) fn begun(&self) -> Begun {
        self.report.as_ref().map_or(Begun::NotYet, Report::begun)
    }

    /// Waits until the command begins, or is known never to begin, or the child ends, or `deadline` comes.
    pub(super) fn until_begun(&mut self, deadline: Instant) -> io::Result<Option<Ended>> {
        while let Some(timeout) = time_left(deadline)
            && self.begun() == Begun::NotYet
        {
            if self.wait(timeout)? {
                return self.ended().map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the output until the child ends; `None` when `deadline` comes first.
    pub(super) fn until_ended(&mut self, deadline: Instant) -> io::Result<Option<Ended>> {
        while let Some(timeout) = time_left(deadline) {
            if self.wait(timeout)? {
                return self.ended().map(Some);
            }
        }
        Ok(None)
    }

    /// Forbids the command to begin, unless it has begun already, and kills what it may kill. It may not kill sudo
    /// itself while sudo reads its rules; then sudo ends later, and starts nothing.
    pub(super) fn forbid(&mut self) -> io::Result<()> {
        if let Some(report) = &mut self.report {
            report.forbid()?;
        }
        if self.begun() == Begun::Never {
            kill_group(&self.child);
            let _ = self.until_ended(Instant::now() + self.kill_grace)?;
        }
        Ok(())
    }

    /// Ends the child and its process group.
    pub(super) fn end(&mut self) {
        end_group(&mut self.child, self.kill_grace);
    }

    /// Waits for the next event; returns whether the child has ended.
    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        // A pipe that all processes have closed would always be ready.
        let mut readable: Vec<_> = self.is_open.then(|| self.pipe.as_fd()).into_iter().collect();
        readable.extend(self.report.as_ref().and_then(Report::waits_on));
        let has_ended = self.watcher.wait(&mut self.child, &readable, timeout)?;
        if let Some(report) = &mut self.report {
            report.read()?;
        }
        self.is_open = self.is_open && drain(&self.pipe, if has_ended { PIPE_READS } else { 1 }, self.capture)?;
        Ok(has_ended)
    }

    fn ended(&mut self) -> io::Result<Ended> {
        let status = self.child.wait()?;
        let was_killed = status.signal().is_some();
        let has_survivors = self.is_open && !(was_killed && self.closes(Instant::now() + self.kill_grace)?);
        Ok(Ended { status, has_survivors })
    }

    /// Whether every process closes the output before `deadline`.
    fn closes(&mut self, deadline: Instant) -> io::Result<bool> {
        while let Some(timeout) = time_left(deadline) {
            if !drain(&self.pipe, 1, self.capture)? {
                return Ok(true);
            }
            let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(false)
    }
}

/// Reads what `pipe` holds, with at most so many reads; returns whether any process can still write to it.
fn drain(pipe: &PipeReader, reads: usize, capture: &mut Capture) -> io::Result<bool> {
    let mut buffer = Vec::with_capacity(PIPE_READ);
    for _ in 0..reads {
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
