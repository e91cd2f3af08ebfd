//! How the gateway knows that a command began.
//!
//! Standard input of sudo is one end of a socket pair. Inside the sudo rule, between timeout(1) and the command, is
//! `mailsudo begin`. It writes one byte to that socket, puts /dev/null in its place, and executes the command. So:
//!
//! - the byte arrived: the command began, even if sudo reports an error later;
//! - the socket is closed at its other end and no byte arrived: the command did not begin, and never will;
//! - neither: the gateway shuts the socket down for reading. A byte that was written before arrives; none can be
//!   written after. So the start is known in each case, even if sudo itself cannot be ended: it has root's user id
//!   while it reads its rules.
//!
//! For a command with `[payload]` it is `mailsudo begin-with-payload`, which first takes the command's standard input
//! from the socket (`input.rs`) and puts that in the socket's place instead of /dev/null.
//!
//! MUST: `mailsudo begin` never executes the command unless the byte was written.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use super::input;

/// The subcommand's name in the sudo rule.
pub const BEGIN: &str = "begin";

/// The same, for a command that may get a payload.
pub const BEGIN_WITH_PAYLOAD: &str = "begin-with-payload";

/// What is written before the command is executed.
const BEGINS: u8 = b'B';

/// What is written when it could not be executed; the error's number (errno(3)) follows in four bytes, the highest
/// first.
const FAILED: u8 = b'F';

/// EX_USAGE of sysexits(3).
const USAGE: u8 = 64;

/// EX_OSERR of sysexits(3): the start could not be reported, because no process reads it.
pub const NOT_REPORTED: u8 = 71;

/// Reports that the command begins, and executes it: `words` are the program and its arguments. If it `takes_payload`,
/// its standard input comes over the socket. It returns only where the command was not executed.
pub fn begin(words: &[OsString], takes_payload: bool) -> ExitCode {
    let Some((program, arguments)) = words.split_first() else {
        return fail("usage: mailsudo begin PROGRAM [ARGUMENT]...", USAGE);
    };
    let mut report = match socket() {
        Ok(report) => report,
        Err(error) => return fail(&format!("{error}; nothing was run"), USAGE),
    };
    let input = if takes_payload { input::receive(&report) } else { input::descriptor(None) };
    let opened = input.and_then(|input| Ok(rustix::stdio::dup2_stdin(&input)?));
    if let Err(error) = opened.and_then(|()| report.write_all(&[BEGINS])) {
        return fail(&format!("{error}; nothing was run"), NOT_REPORTED);
    }
    let error = Command::new(program).args(arguments).exec();
    let number = error.raw_os_error().unwrap_or_default().to_be_bytes();
    let _ = report.write_all(&[&[FAILED], number.as_slice()].concat());
    // As a shell does (POSIX, section 2.8.2).
    let status = if error.kind() == ErrorKind::NotFound { 127 } else { 126 };
    fail(&format!("cannot run {}: {error}", program.to_string_lossy()), status)
}

fn fail(what: &str, status: u8) -> ExitCode {
    let _ = writeln!(io::stderr(), "mailsudo begin: {what}");
    ExitCode::from(status)
}

/// Descriptor 0, closed by execve(2).
fn socket() -> io::Result<UnixStream> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode);
    if kind != rustix::fs::FileType::Socket {
        let what = "descriptor 0 is not the gateway's socket: only `mailsudo deliver` calls this, through sudo, and \
                    `Defaults log_input` in sudoers must not be set for the service user";
        return Err(io::Error::other(what));
    }
    Ok(socket.into())
}

/// Whether the command has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Not yet, as far as is known.
    NotYet,
    /// It began; this is when that was seen.
    Since(Instant),
    /// It could not be executed; the error's number.
    Failed(i32),
    /// It did not begin, and never will.
    Never,
}

/// The gateway's end of the socket pair.
pub(super) struct Report {
    socket: UnixStream,
    begun: Begun,
    error: Vec<u8>,
    is_open: bool,
}

impl Report {
    /// A socket pair: the gateway's end, and standard input for sudo. `input` is the command's own, if it takes a
    /// payload.
    pub(super) fn pair(input: Option<&OwnedFd>) -> io::Result<(Self, Stdio)> {
        let (ours, theirs) = UnixStream::pair()?;
        if let Some(input) = input {
            input::send(&ours, input)?;
        }
        ours.set_nonblocking(true)?;
        let report = Self { socket: ours, begun: Begun::NotYet, error: Vec::new(), is_open: true };
        Ok((report, OwnedFd::from(theirs).into()))
    }

    /// What is known so far.
    pub(super) fn begun(&self) -> Begun {
        self.begun
    }

    /// The descriptor to wait on; `None` when nothing more can arrive.
    pub(super) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        self.is_open.then(|| self.socket.as_fd())
    }

    /// Reads what has arrived.
    ///
    /// # Errors
    ///
    /// It could not be read: whether the command has begun is not known.
    pub(super) fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 8];
        while self.is_open {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.close(),
                Ok(read) => buffer.get(..read).unwrap_or_default().iter().for_each(|&byte| self.take(byte)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The other end was closed with something unread in it. All that it wrote was read before.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.close(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forbids the command to begin, unless it has begun already: no byte can be written after this (unix(7),
    /// shutdown(2)), and `mailsudo begin` executes nothing without having written it.
    pub(super) fn forbid(&mut self) -> io::Result<()> {
        self.read()?;
        if self.begun == Begun::NotYet {
            self.socket.shutdown(Shutdown::Read)?;
            self.read()?;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.is_open = false;
        if self.begun == Begun::NotYet {
            self.begun = Begun::Never;
        }
    }

    fn take(&mut self, byte: u8) {
        if self.begun == Begun::NotYet {
            self.begun = Begun::Since(Instant::now());
            return;
        }
        self.error.push(byte);
        if let [FAILED, number @ ..] = self.error.as_slice()
            && let Ok(number) = <[u8; 4]>::try_from(number)
        {
            self.begun = Begun::Failed(i32::from_be_bytes(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(bytes: &[u8], close: bool) -> Begun {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        let mut report = Report { socket: ours, begun: Begun::NotYet, error: Vec::new(), is_open: true };
        theirs.write_all(bytes).expect("written");
        if close {
            drop(theirs);
        }
        report.read().expect("read");
        report.begun()
    }

    #[test]
    fn what_is_forbidden_cannot_begin_later() {
        let (mut report, stdin) = Report::pair(None).expect("a pair");
        report.forbid().expect("forbidden");
        assert_eq!(report.begun(), Begun::Never);
        let mut child =
            Command::new("sh").args(["-c", "echo B >&0"]).stdin(stdin).stderr(Stdio::null()).spawn().expect("a shell");
        assert!(!child.wait().expect("its end").success(), "nothing can be written any more");

        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("set");
        let mut report = Report { socket: ours, begun: Begun::NotYet, error: Vec::new(), is_open: true };
        theirs.write_all(b"B").expect("written");
        report.forbid().expect("too late");
        assert!(matches!(report.begun(), Begun::Since(_)), "what was written before arrives");
    }

    #[test]
    fn a_byte_is_the_start_and_a_close_without_one_is_none() {
        assert_eq!(report(b"", false), Begun::NotYet);
        assert_eq!(report(b"", true), Begun::Never);
        assert!(matches!(report(b"B", false), Begun::Since(_)));
        assert!(matches!(report(b"B", true), Begun::Since(_)));
        assert_eq!(report(b"BF\0\0\0\x02", true), Begun::Failed(2));
        assert!(matches!(report(b"BF\0\0", true), Begun::Since(_)), "cut short: it may have begun");
    }
}
