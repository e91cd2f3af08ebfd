//! A connection's bytes. In: a socket on which a host answers, and the moment until which it may take. Out: a stream of
//! which every read and write ends at that moment, with TLS where the host is across a network.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, RootCertStore, StreamOwned};

use crate::config::PostgresHost;
use crate::system::tls;

/// A stream with a deadline.
pub(super) enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Stream {
    /// The connection to `host`, to which the request for TLS was sent where there is to be TLS; makes sure of its name
    /// where there are `root_certificates` (PEM).
    pub(super) fn open(
        socket: Socket,
        host: &PostgresHost,
        root_certificates: Option<&str>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let stream = Timed { socket, deadline };
        match host.name().zip(root_certificates) {
            Some((name, pem)) => secured(stream, name, pem),
            None => Ok(Self::Plain(stream)),
        }
    }

    /// Sets the moment until which reads and writes may take.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Self::Plain(stream) => stream.deadline = deadline,
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket of which every read and write ends at the deadline.
pub(super) struct Timed {
    socket: Socket,
    deadline: Instant,
}

/// A connected socket.
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let socket = &mut self.socket;
        timed(self.deadline, |left| match socket {
            Socket::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
            Socket::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(buffer)),
        })
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = &mut self.socket;
        timed(self.deadline, |left| match socket {
            Socket::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
            Socket::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads or writes with the time that is left. What a signal interrupts is called again: with a timeout, the kernel does not
/// do that, also not for a process that was stopped and continued (signal(7)).
fn timed(deadline: Instant, mut call: impl FnMut(Option<Duration>) -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call(Some(left(deadline)?)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // So the socket's own timeout is told (socket(7)).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(timed_out()),
            done => return done,
        }
    }
}

pub(super) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// The time until `deadline`, which is more than none.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timed_out()) } else { Ok(left) }
}

/// Reads the answer to the request for TLS, and begins it (PostgreSQL manual, "SSL Session Encryption").
fn secured(mut stream: Timed, name: &str, pem: &str) -> io::Result<Stream> {
    // One byte and no more: what follows it unencrypted could be anybody's.
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err(io::Error::other("the server does not offer TLS: set ssl = on in postgresql.conf"));
    }
    let connection = tls(name, pem).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Stream::Tls(Box::new(stream)))
}

fn tls(name: &str, pem: &str) -> Result<ClientConnection, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("sslrootcert: {error:?}"))?;
        roots.add(certificate).map_err(|error| format!("sslrootcert: {error}"))?;
    }
    let name = ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))?;
    let config = tls::client(roots).map_err(|error| error.to_string())?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}
