//! Connections to several servers at once. In: the servers, and the first message for each. Out: one after the other,
//! the connections on which a server has answered.
//!
//! The next server is tried when the one before it has failed, or has not answered for [`DATABASE_NEXT`] (RFC 8305,
//! section 5). Those that were tried before may still answer. So a server that was stopped or cut off holds a delivery
//! up for that time, and a server that works is asked alone.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send};

use super::socket::{Socket, timed_out};
use crate::config::PostgresHost;
use crate::limits::{DATABASE_NEXT, DATABASE_POLL};

/// The servers that are tried.
pub(super) struct Attempts<'h> {
    waiting: std::slice::Iter<'h, PostgresHost>,
    open: Vec<Attempt<'h>>,
    /// When the next server is tried, whatever the others do.
    next_at: Instant,
    failed: Vec<String>,
}

struct Attempt<'h> {
    host: &'h PostgresHost,
    socket: OwnedFd,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A Unix socket that takes no more connections: it is tried again after a while.
    Full,
    Connecting,
    /// The first message was sent.
    Asked,
}

impl<'h> Attempts<'h> {
    /// None was tried yet. They are tried in this order.
    pub(super) fn new(hosts: &'h [PostgresHost]) -> Self {
        Self { waiting: hosts.iter(), open: Vec::new(), next_at: Instant::now(), failed: Vec::new() }
    }

    /// The next server that answers `first`, its first message, with a socket of which all of the answer is still to be
    /// read; `None` where there is none until `deadline`.
    pub(super) fn next(
        &mut self,
        first: impl Fn(&PostgresHost) -> Vec<u8>,
        deadline: Instant,
    ) -> Option<(&'h PostgresHost, Socket)> {
        loop {
            let now = Instant::now();
            if now >= deadline {
                let late: Vec<_> =
                    self.open.drain(..).map(|attempt| attempt.host).chain(self.waiting.by_ref()).collect();
                for host in late {
                    self.failed(host, &timed_out());
                }
                return None;
            }
            if (self.open.is_empty() || now >= self.next_at)
                && let Some(host) = self.waiting.next()
            {
                self.next_at = now + DATABASE_NEXT;
                match Attempt::new(host) {
                    Ok(attempt) => self.open.push(attempt),
                    Err(error) => self.failed(host, &error),
                }
                continue;
            }
            if self.open.is_empty() {
                return None;
            }
            let until = if self.waiting.len() > 0 { self.next_at.min(deadline) } else { deadline };
            let answered = self.wait(until.saturating_duration_since(now));
            let at = match answered {
                Ok(at) => at,
                Err(error) => {
                    let open: Vec<_> = self.open.drain(..).map(|attempt| attempt.host).collect();
                    for host in open {
                        self.failed(host, &error);
                    }
                    continue;
                }
            };
            let Some(mut attempt) = at.and_then(|at| (at < self.open.len()).then(|| self.open.remove(at))) else {
                continue;
            };
            if attempt.state == State::Asked {
                match attempt.blocking() {
                    Ok(answered) => return Some(answered),
                    Err((host, error)) => self.failed(host, &error),
                }
            } else {
                match attempt.go_on(&first) {
                    Ok(()) => self.open.push(attempt),
                    Err(error) => self.failed(attempt.host, &error),
                }
            }
        }
    }

    /// How many may still answer.
    pub(super) fn left(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    /// Notes what is wrong with a server.
    pub(super) fn failed(&mut self, host: &PostgresHost, what: &impl std::fmt::Display) {
        self.failed.push(format!("{host}: {what}"));
    }

    /// What was wrong with each server.
    pub(super) fn failures(&self) -> String {
        self.failed.join("; ")
    }

    /// Waits until an attempt can go on, and gives its index.
    fn wait(&self, most: Duration) -> io::Result<Option<usize>> {
        let is_full = |attempt: &Attempt<'_>| attempt.state == State::Full;
        let full = self.open.iter().position(is_full);
        let most = if full.is_some() { most.min(DATABASE_POLL) } else { most };
        let wanted = |attempt: &Attempt<'_>| match attempt.state {
            // It is not connected, and would be ready at once.
            State::Full => PollFlags::empty(),
            State::Connecting => PollFlags::OUT,
            State::Asked => PollFlags::IN,
        };
        let polled: Vec<_> = (0..).zip(&self.open).filter(|(_, attempt)| !is_full(attempt)).collect();
        let mut descriptors: Vec<_> =
            polled.iter().map(|(_, attempt)| PollFd::new(&attempt.socket, wanted(attempt))).collect();
        let timeout = Timespec::try_from(most).map_err(io::Error::other)?;
        match poll(&mut descriptors, Some(&timeout)) {
            Ok(0) => Ok(full),
            Ok(_) => {
                let ready = descriptors.iter().position(|descriptor| !descriptor.revents().is_empty());
                Ok(ready.and_then(|at| polled.get(at)).map(|(at, _)| *at))
            }
            Err(Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl<'h> Attempt<'h> {
    /// Begins to connect.
    fn new(host: &'h PostgresHost) -> io::Result<Self> {
        let family = match host {
            PostgresHost::Socket(_) => AddressFamily::UNIX,
            PostgresHost::Address { address, .. } if address.is_ipv4() => AddressFamily::INET,
            PostgresHost::Address { .. } => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        let mut attempt = Self { host, socket, state: State::Full };
        attempt.connect()?;
        Ok(attempt)
    }

    /// connect(2) waits without a limit for a Unix socket on which nothing is accepted; without blocking it is EAGAIN.
    fn connect(&mut self) -> io::Result<()> {
        let connected = match self.host {
            PostgresHost::Socket(path) => connect(&self.socket, &SocketAddrUnix::new(path)?),
            PostgresHost::Address { address, port, .. } => connect(&self.socket, &SocketAddr::new(*address, *port)),
        };
        self.state = match connected {
            Err(Errno::AGAIN) => State::Full,
            Ok(()) | Err(Errno::INPROGRESS) => State::Connecting,
            Err(errno) => return Err(errno.into()),
        };
        Ok(())
    }

    /// Connects again, or says the first words on a new connection.
    fn go_on(&mut self, first: impl Fn(&PostgresHost) -> Vec<u8>) -> io::Result<()> {
        if self.state == State::Full {
            return self.connect();
        }
        rustix::net::sockopt::socket_error(&self.socket)??;
        let message = first(self.host);
        // A new connection has room for a message that is this short.
        if send(&self.socket, &message, SendFlags::NOSIGNAL)? != message.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.state = State::Asked;
        Ok(())
    }

    /// The socket, which blocks from now on.
    fn blocking(self) -> Result<(&'h PostgresHost, Socket), (&'h PostgresHost, io::Error)> {
        let host = self.host;
        let socket = || match host {
            PostgresHost::Socket(_) => {
                let stream = UnixStream::from(self.socket);
                stream.set_nonblocking(false)?;
                Ok(Socket::Unix(stream))
            }
            PostgresHost::Address { .. } => {
                let stream = TcpStream::from(self.socket);
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
        };
        socket().map(|socket| (host, socket)).map_err(|error| (host, error))
    }
}
