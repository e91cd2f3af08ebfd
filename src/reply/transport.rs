//! Sends a finished reply. In: a [`StoredReply`]. Out: the proof that a mail server or the caller has taken it, or a
//! deferral. The ledger records it as replied only after the proof. sendmail never ends by itself where its spool is
//! broken (docs/measurements.md#a-sendmail-that-never-ends), so it gets a process group of its own and a time limit.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::fs::{MemfdFlags, memfd_create};

use super::smtp;
use crate::error::Deferral;
use crate::ledger::StoredReply;
use crate::limits::Timeouts;
use crate::system::child::{end_group, isolated, wait_until};

/// How replies are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTransport {
    /// To standard output, for a shell or a wrapper.
    Stdout,
    /// Into this sendmail(1).
    Sendmail(PathBuf),
    /// To the mail server of this host that listens there.
    Smtp(SocketAddr),
}

impl ReplyTransport {
    /// The transport that `--reply-via` names: `smtp://IP:PORT`, or a program.
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

    /// Sends `reply`.
    ///
    /// # Errors
    ///
    /// A deferral: the reply is stored, and the next delivery of the same request sends it.
    pub fn send(&self, reply: &StoredReply, timeouts: &Timeouts) -> Result<(), Deferral> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                let written = out.write_all(&reply.message).and_then(|()| out.flush());
                written.map_err(|error| Deferral::new("output", format!("standard output: {error}")))
            }
            Self::Smtp(place) => smtp::send(*place, reply, timeouts.reply)
                .map_err(|error| Deferral::new("smtp", format!("the mail server at {place}: {error}"))),
            Self::Sendmail(program) => {
                let failed = |what: String| Deferral::new("sendmail", format!("{}: {what}", program.display()));
                let (message, mut reader) =
                    whole(&reply.message).map_err(|error| failed(format!("no message: {error}")))?;
                let mut child = sendmail(program, &reply.to, message).map_err(|error| failed(error.to_string()))?;
                match wait_until(&mut child, Instant::now() + timeouts.reply) {
                    Ok(Some(status)) if status.success() => match reader.stream_position() {
                        Ok(read) if read >= reply.message.len() as u64 => Ok(()),
                        Ok(read) => Err(failed(format!("{status}, but it has read only {read} bytes of the reply"))),
                        Err(error) => Err(failed(error.to_string())),
                    },
                    Ok(Some(status)) => Err(failed(format!("{status}; the mail log says why"))),
                    Ok(None) => {
                        end_group(&mut child, timeouts.kill_grace);
                        Err(failed(format!("did not end within {} s", timeouts.reply.as_secs())))
                    }
                    Err(error) => Err(failed(error.to_string())),
                }
            }
        }
    }
}

/// The message as a file in memory, for sendmail to read, and a descriptor that shows how far it has read (both share
/// one offset, dup(2)). Through a pipe, sendmail would take a delivery that dies while it writes for the end of the
/// message, and send the user the half of it, or nothing.
fn whole(message: &[u8]) -> io::Result<(File, File)> {
    let mut file = File::from(memfd_create("reply", MemfdFlags::CLOEXEC)?);
    file.write_all(message)?;
    file.rewind()?;
    Ok((file.try_clone()?, file))
}

/// The one variable of the caller that sendmail(1) gets. It names the configuration of the Postfix instance that
/// the mail came through (pipe(8) sets it), and the reply belongs into the queue of the same instance.
const INSTANCE: &str = "MAIL_CONFIG";

/// `sendmail -i -f '<>' -- ADDRESS`: dots stand for themselves, bounces go nowhere, one recipient from argv alone.
fn sendmail(program: &Path, to: &str, message: File) -> io::Result<Child> {
    isolated(program)
        .args(["-i", "-f", "<>", "--", to])
        .envs(std::env::var_os(INSTANCE).map(|folder| (INSTANCE, folder)))
        .stdin(message)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}
