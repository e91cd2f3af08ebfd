//! Handing a finished reply over. In: a [`Reply`]. Out: the certainty that somebody else has it, or a deferral; the
//! ledger marks it only after the former. sendmail never gives up by itself where its spool is broken (FACTS.md), so it
//! gets a process group of its own and a limit.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Reply, smtp};
use crate::error::Deferral;
use crate::execute::{CLEAN_ENVIRONMENT, end_group, in_root, wait_until};
use crate::patience::Patience;

/// How replies leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Road {
    /// To standard output, for a shell or a wrapper.
    Stdout,
    /// Into this sendmail(1).
    Sendmail(PathBuf),
    /// To the mail server of this host that listens there.
    Smtp(SocketAddr),
}

impl Road {
    /// The road that `--reply-via` names: `smtp://IP:PORT`, or a program.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL.
    pub fn via(name: PathBuf) -> Result<Self, String> {
        match name.to_str().filter(|name| name.starts_with("smtp://")) {
            Some(url) => smtp::address(url).map(Self::Smtp),
            None => Ok(Self::Sendmail(name)),
        }
    }

    /// Hands `reply` over.
    ///
    /// # Errors
    ///
    /// A deferral: the reply is stored, and the next delivery of the same request sends it.
    pub fn hand_over(&self, reply: &Reply, patience: &Patience) -> Result<(), Deferral> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = out.write_all(&reply.message).and_then(|()| out.flush());
                written.map_err(|error| Deferral::new("output", format!("standard output: {error}")))
            }
            Self::Smtp(place) => smtp::send(*place, reply, patience.sendmail)
                .map_err(|error| Deferral::new("smtp", format!("the mail server at {place}: {error}"))),
            Self::Sendmail(program) => {
                let failed = |what: String| Deferral::new("sendmail", format!("{}: {what}", program.display()));
                let mut child = sendmail(program, &reply.to).map_err(|error| failed(error.to_string()))?;
                let deadline = Instant::now() + patience.sendmail;
                if let Some(mut pipe) = child.stdin.take()
                    && let Err(error) = feed(&mut pipe, &reply.message, deadline)
                {
                    // Ended before the pipe is closed: to sendmail a closed pipe is the end of a whole message.
                    end_group(&mut child, patience.mercy);
                    return Err(failed(format!("takes no message: {error}")));
                }
                match wait_until(&mut child, deadline) {
                    Ok(Some(status)) if status.success() => Ok(()),
                    Ok(Some(status)) => Err(failed(format!("{status}; the mail log says why"))),
                    Ok(None) => {
                        end_group(&mut child, patience.mercy);
                        Err(failed(format!("did not end within {} s", patience.sendmail.as_secs())))
                    }
                    Err(error) => Err(failed(error.to_string())),
                }
            }
        }
    }
}

/// The one variable that sendmail(1) gets from whoever called us: it names the configuration of the Postfix instance that
/// the mail came through (pipe(8) sets it), and the reply belongs into the same one's queue.
const INSTANCE: &str = "MAIL_CONFIG";

/// `sendmail -i -f '<>' -- ADDRESS`: dots stand for themselves, bounces go nowhere, one recipient from argv alone.
fn sendmail(program: &PathBuf, to: &str) -> io::Result<Child> {
    let mut command = Command::new(program);
    command
        .args(["-i", "-f", "<>", "--", to])
        .env_clear()
        .envs(CLEAN_ENVIRONMENT)
        .envs(std::env::var_os(INSTANCE).map(|folder| (INSTANCE, folder)))
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    in_root(&mut command);
    command.spawn()
}

/// Writes the message without ever blocking past `deadline`.
fn feed(pipe: &mut ChildStdin, message: &[u8], deadline: Instant) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&*pipe)?;
    rustix::fs::fcntl_setfl(&*pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
    let mut rest = message;
    while !rest.is_empty() {
        match pipe.write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::TimedOut)?;
                if poll(&mut [PollFd::new(&*pipe, PollFlags::OUT)], Some(&left))? == 0 {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
