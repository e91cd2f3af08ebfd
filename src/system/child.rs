//! Child processes that inherit nothing, and that always end. In: a command line or a child. Out: the prepared
//! command, or how the child ended.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::limits::{CHILD_POLL, KILL_GRACE};

/// The whole environment of a child, whatever this process has.
const ENVIRONMENT: [(&str, &str); 2] = [("LC_ALL", "C.UTF-8"), ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")];

/// A command that inherits only its arguments and descriptors: a process group of its own, `/` as working
/// directory, a clean environment.
pub fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(ENVIRONMENT).process_group(0);
    // posix_spawn(3), which does not copy the address space, cannot change the directory. So nothing is set when it is
    // `/` already, as under Postfix.
    if !std::env::current_dir().is_ok_and(|here| here == Path::new("/")) {
        command.current_dir("/");
    }
    command
}

/// What a program printed, each up to 1 MiB, and how it ended.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `command` to its end. `None` when it does not end within `timeout`, and then it is ended. Processes that it
/// leaves behind delay nothing.
///
/// # Errors
///
/// It cannot be run.
pub fn output_within(command: &mut Command, timeout: Duration) -> io::Result<Option<Answer>> {
    // Files in memory: a pipe would have to be read while it is written to, and closed by every process that has it.
    let file = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let (out, err) = (file("stdout")?, file("stderr")?);
    let mut child = command.stdout(out.try_clone()?).stderr(err.try_clone()?).process_group(0).spawn()?;
    let Some(status) = wait_until(&mut child, Instant::now() + timeout)? else {
        end_group(&mut child, timeout.min(KILL_GRACE));
        return Ok(None);
    };
    let read = |mut file: File| -> io::Result<String> {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Some(Answer { status, out: read(out)?, err: read(err)? }))
}

/// Waits for a child whose output is not read; `None` when `deadline` comes first.
///
/// # Errors
///
/// It is not a child of this process.
pub fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let watcher = ChildWatcher::of(child);
    while let Some(left) = time_left(deadline) {
        if watcher.wait(child, &[], left)? {
            return child.wait().map(Some);
        }
    }
    Ok(None)
}

/// Ends a child and its process group: SIGTERM, which sudo relays to what it runs, then, after `kill_grace`, SIGKILL.
pub fn end_group(child: &mut Child, kill_grace: Duration) {
    let group = Pid::from_child(child);
    let _ = kill_process_group(group, Signal::TERM);
    if matches!(wait_until(child, Instant::now() + kill_grace), Ok(Some(_))) {
        return;
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = wait_until(child, Instant::now() + kill_grace);
}

/// Kills a child and its process group at once.
pub fn kill_group(child: &Child) {
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

/// Notices the end of a child: by a descriptor of it (pidfd_open(2)) or, before Linux 5.3, by polling.
pub struct ChildWatcher {
    pidfd: Option<OwnedFd>,
    poll: Duration,
}

impl ChildWatcher {
    /// A watcher of `child`.
    pub fn of(child: &Child) -> Self {
        Self { pidfd: pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok(), poll: CHILD_POLL }
    }

    /// Waits until the child has ended, one of `readable` has something to read, or `timeout` is over; returns whether
    /// the child has ended.
    ///
    /// # Errors
    ///
    /// poll(2) failed, or it is not a child of this process.
    pub fn wait(&self, child: &mut Child, readable: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<bool> {
        let descriptors = self.pidfd.as_ref().map(AsFd::as_fd).into_iter().chain(readable.iter().copied());
        let mut waits: Vec<_> =
            descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
        let timeout = if self.pidfd.is_some() { timeout } else { timeout.min(self.poll) };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut waits, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        match (&self.pidfd, waits.first()) {
            (Some(_), Some(ended)) => Ok(!ended.revents().is_empty()),
            _ => Ok(child.try_wait()?.is_some()),
        }
    }
}

/// The time left until `deadline`; `None` when it has come.
pub fn time_left(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// As on a kernel without pidfd_open(2).
    #[test]
    fn a_child_without_a_descriptor_is_seen_to_end() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a child");
        let watcher = ChildWatcher { pidfd: None, poll: Duration::from_millis(5) };
        assert!(!watcher.wait(&mut child, &[], Duration::from_millis(1)).expect("a wait"), "it waits for its input");
        drop(child.stdin.take());
        while !watcher.wait(&mut child, &[], Duration::from_secs(10)).expect("a wait") {}
        assert!(child.wait().expect("its status").success());
    }
}
