//! The reply by SMTP (RFC 5321) to this host's own mail server: a fifth of what sendmail(1) costs, which starts two more
//! processes. In: a finished reply and where the server listens. Out: its 250, after which the reply is in its queue.
//!
//! MUST: nothing but the server's 250 to the whole message counts as taken. Where a 250 gets lost, the next delivery hands
//! over the same bytes under the same Message-ID. It never talks to another host: nothing here would protect what it says.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use lettre::address::{Address, Envelope};
use lettre::{SmtpTransport, Transport};

use crate::ledger::StoredReply;

/// Where a server listens, as `--reply-via` names it.
pub(super) fn address(url: &str) -> Result<SocketAddr, String> {
    let place = url.strip_prefix("smtp://").unwrap_or(url);
    let place = place.parse().or_else(|_| place.parse().map(|ip| SocketAddr::new(ip, 25)));
    match place {
        Ok(place) if place.ip().is_loopback() => Ok(place),
        Ok(place) => {
            Err(format!("{} is another host's: replies go unprotected, so only to 127.0.0.1 or [::1]", place.ip()))
        }
        Err(_) => Err(format!("`{url}` is not like smtp://127.0.0.1:25: an address of this host, and a port")),
    }
}

/// Hands `reply` to the server at `place`, with the null sender, within `timeout`.
///
/// # Errors
///
/// Why the server has not taken it, as far as is known.
pub(super) fn send(place: SocketAddr, reply: &StoredReply, timeout: Duration) -> Result<(), String> {
    let to: Address = reply.to.parse().map_err(|error| format!("{}: {error}", reply.to))?;
    let envelope = Envelope::new(None, vec![to]).map_err(|error| error.to_string())?;
    let message = with_crlf(&reply.message);
    let server =
        SmtpTransport::builder_dangerous(place.ip().to_string()).port(place.port()).timeout(Some(timeout)).build();
    // Each answer may take that long, and there are many: all of them together are waited for out here. A conversation that
    // is given up ends with the process.
    let (done, outcome) = mpsc::channel();
    std::thread::spawn(move || done.send(server.send_raw(&envelope, &message).map(drop)));
    match outcome.recv_timeout(timeout) {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", timeout.as_secs())),
    }
}

/// Lines end in CRLF on the wire (RFC 5321 section 2.3.8); lettre ends the last one itself.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let lines: Vec<_> = message.strip_suffix(b"\n").unwrap_or(message).split(|&byte| byte == b'\n').collect();
    lines.join(b"\r\n".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_is_talked_to() {
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
    fn lines_end_as_smtp_wants() {
        assert_eq!(with_crlf(b"a\n\nb\n"), b"a\r\n\r\nb");
    }
}
