//! The reply by SMTP (RFC 5321) to this host's own mail server: a fifth of the cost of sendmail(1), which starts two
//! more processes. In: a finished reply and where the server listens. Out: its 250, after which the reply is in its
//! queue.
//!
//! MUST: nothing but the server's 250 to the whole message counts as sent. If a 250 is lost, the next delivery sends
//! the same bytes under the same Message-ID. It never connects to another host, because nothing here protects the reply
//! on the way. The length of each of the server's replies is limited, and so is the time for all of them.
//!
//! It is written here because lettre 0.11 sends the message and the final dot in two segments, and so waits 40 ms for
//! each mail (Nagle's algorithm against delayed ACK, docs/measurements.md#lettre-and-the-40-ms-stall). Message and dot
//! are one write here, without that delay.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::ledger::StoredReply;
use crate::limits::SMTP_REPLY;
use crate::system::child::time_left;

/// Where a server listens, as `--reply-via` names it.
pub(super) fn address(url: &str) -> Result<SocketAddr, String> {
    let place = url.strip_prefix("smtp://").unwrap_or(url);
    let place = place.parse().or_else(|_| place.parse().map(|ip| SocketAddr::new(ip, 25)));
    match place {
        Ok(place) if place.ip().is_loopback() => Ok(place),
        Ok(place) => Err(format!(
            "{} is another host's: replies are not protected on the way, so only 127.0.0.1 or [::1]",
            place.ip()
        )),
        Err(_) => Err(format!("`{url}` is not like smtp://127.0.0.1:25: an address of this host, and a port")),
    }
}

/// Sends `reply` to the server at `place`, with the null sender, within `timeout`.
///
/// # Errors
///
/// Why the server has not taken it, as far as is known.
pub(super) fn send(place: SocketAddr, reply: &StoredReply, timeout: Duration) -> Result<(), String> {
    if reply.to.contains(|c: char| c.is_control() || "<> ".contains(c)) {
        return Err(format!("`{}` cannot stand in RCPT TO", reply.to));
    }
    let mut session = Session::connect(place, timeout)?;
    session.expect(220)?;
    let extensions = session.commands(&[("EHLO localhost", 250)])?;
    let recipient = format!("RCPT TO:<{}>", reply.to);
    let envelope = [("MAIL FROM:<>", 250), (recipient.as_str(), 250), ("DATA", 354)];
    // Each wait for an answer costs as much as the answer (docs/decisions/0065).
    let at_once = if extensions.iter().any(|line| is_pipelining(line)) { envelope.len() } else { 1 };
    for commands in envelope.chunks(at_once) {
        session.commands(commands)?;
    }
    session.write(&stuffed(&reply.message))?;
    session.expect(250)?;
    // The reply is in the queue. Whether the server gets this changes nothing.
    let _ = session.write(b"QUIT\r\n");
    Ok(())
}

/// Whether a line of the reply to EHLO says that commands may be sent before the ones before them are answered (RFC 2920).
fn is_pipelining(line: &[u8]) -> bool {
    line.get(4..).is_some_and(|keyword| keyword.trim_ascii().eq_ignore_ascii_case(b"PIPELINING"))
}

/// A conversation with a deadline.
struct Session {
    stream: TcpStream,
    deadline: Instant,
    timeout: Duration,
    read: Vec<u8>,
}

impl Session {
    fn connect(place: SocketAddr, timeout: Duration) -> Result<Self, String> {
        let deadline = Instant::now() + timeout;
        let stream = TcpStream::connect_timeout(&place, timeout).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream, deadline, timeout, read: Vec::new() })
    }

    /// Sends all of `commands`, then reads their replies, each with the code that is wanted; the lines of the last one.
    fn commands(&mut self, commands: &[(&str, u16)]) -> Result<Vec<Vec<u8>>, String> {
        let words: String = commands.iter().flat_map(|(words, _)| [*words, "\r\n"]).collect();
        self.write(words.as_bytes())?;
        let mut reply = Vec::new();
        for (words, wanted) in commands {
            reply = self.expect(*wanted).map_err(|error| format!("after {words}: {error}"))?;
        }
        Ok(reply)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = self.left()?;
            let written = self.stream.set_write_timeout(Some(left)).and_then(|()| self.stream.write(rest));
            match written {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) => self.failed(&error)?,
            }
        }
        Ok(())
    }

    /// Reads the lines of one reply (RFC 5321 section 4.2), whose last one has a space after the code.
    fn expect(&mut self, wanted: u16) -> Result<Vec<Vec<u8>>, String> {
        let (mut lines, mut length) = (Vec::new(), 0);
        loop {
            let line = self.line()?;
            length += line.len();
            if length > SMTP_REPLY {
                return Err(format!("a reply of more than {SMTP_REPLY} bytes"));
            }
            let code =
                line.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse::<u16>().ok());
            let is_last = !matches!(line.get(3), Some(b'-'));
            if code != Some(wanted) {
                return Err(format!("it said: {}", String::from_utf8_lossy(&line).trim_end()));
            }
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                return Ok(self.read.drain(..=end).collect());
            }
            if self.read.len() > SMTP_REPLY {
                return Err(format!("a line of more than {SMTP_REPLY} bytes"));
            }
            let left = self.left()?;
            let mut buffer = [0; 512];
            match self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut buffer)) {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(read) => self.read.extend_from_slice(buffer.get(..read).unwrap_or_default()),
                Err(error) => self.failed(&error)?,
            }
        }
    }

    fn left(&self) -> Result<Duration, String> {
        time_left(self.deadline).ok_or_else(|| format!("no answer within {} s", self.timeout.as_secs()))
    }

    /// [`Self::left`] checks for a timeout, and an interrupted call is repeated.
    fn failed(&self, error: &io::Error) -> Result<(), String> {
        match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.left().map(drop),
            _ => Err(error.to_string()),
        }
    }
}

/// The message as DATA carries it, with the final dot: lines end in CRLF (RFC 5321 section 2.3.8), and a line that
/// begins with a dot gets another one (section 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + message.len() / 32 + 8);
    for line in message.strip_suffix(b"\n").unwrap_or(message).split(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_connected_to() {
        for (url, place) in [
            ("smtp://127.0.0.1:25", "127.0.0.1:25"),
            ("smtp://127.0.0.2", "127.0.0.2:25"),
            ("smtp://[::1]:10025", "[::1]:10025"),
        ] {
            assert_eq!(address(url).map(|place| place.to_string()).as_deref(), Ok(place), "{url}");
        }
        for url in
            ["smtp://", "smtp://localhost:25", "smtp://192.0.2.1:25", "smtp://127.0.0.1:0x", "smtp://127.0.0.1:25/x"]
        {
            assert!(address(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_message_is_carried_as_smtp_wants() {
        assert_eq!(stuffed(b"a\n\n.b\n..\nc\n"), b"a\r\n\r\n..b\r\n...\r\nc\r\n.\r\n");
    }
}
