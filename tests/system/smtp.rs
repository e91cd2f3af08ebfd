//! An SMTP client: sends one message to the Postfix on port 25 of the sandbox, or to another server.
//!
//! In: envelope and message with LF line ends. Out: Postfix's queue id for it, or the line with which it
//! refused. RFC 5321 as far as a test needs it: no extensions, one recipient.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::process::run;

const POSTFIX: u16 = 25;

/// Sends `message`; `Err` is the server's refusal, at whatever step.
pub(crate) fn send(from: &str, to: &str, message: &str) -> Result<String, String> {
    send_to(POSTFIX, from, to, message)
}

/// The same with the server on another port.
pub(crate) fn send_to(port: u16, from: &str, to: &str, message: &str) -> Result<String, String> {
    Session::open(port).send(from, to, message)
}

/// The same at another port, after logging in as `login` if there is one, with the password `secret`.
pub(crate) fn submit(port: u16, login: Option<&str>, from: &str, to: &str, message: &str) -> Result<String, String> {
    let mut session = Session::open(port);
    if let Some(login) = login {
        let plain = run("sh", &["-c", "printf '\\0%s\\0secret' \"$0\" | base64", login]);
        session.command(&format!("AUTH PLAIN {}", plain.trim()))?;
    }
    session.send(from, to, message)
}

/// Whether the server would take a message for `to`.
pub(crate) fn accepts(to: &str) -> Result<(), String> {
    let mut session = Session::open(POSTFIX);
    session.command("MAIL FROM:<someone@elsewhere.example>")?;
    session.command(&format!("RCPT TO:<{to}>")).map(drop)
}

/// The message as DATA takes it: CRLF, a dot before every opening dot, the closing dot.
fn stuffed(message: &str) -> String {
    let mut data = String::with_capacity(message.len() + message.len() / 32);
    for line in message.lines() {
        if line.starts_with('.') {
            data.push('.');
        }
        data.push_str(line);
        data.push_str("\r\n");
    }
    data + "."
}

struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("cannot connect to the mail server on port {port}: {error}"));
        let mut session = Self { stream: BufReader::new(stream) };
        let greeting = session.answer();
        assert!(greeting.is_ok(), "it greets with {greeting:?}");
        session.command("EHLO client.example").unwrap_or_else(|error| panic!("it answers EHLO with {error}"));
        session
    }

    fn send(&mut self, from: &str, to: &str, message: &str) -> Result<String, String> {
        self.command(&format!("MAIL FROM:<{from}>"))?;
        self.command(&format!("RCPT TO:<{to}>"))?;
        self.command("DATA")?;
        let queued = self.command(&stuffed(message))?;
        let _ = self.command("QUIT");
        // 250 2.0.0 Ok: queued as 4TxYz123
        let id = queued.rsplit(' ').next().unwrap_or_default();
        Ok(id.to_owned())
    }

    fn command(&mut self, line: &str) -> Result<String, String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())
            .unwrap_or_else(|error| panic!("cannot write to the mail server: {error}"));
        self.answer()
    }

    /// The last line of an answer, as `Ok` where it is a 2xx or 3xx.
    fn answer(&mut self) -> Result<String, String> {
        loop {
            let mut line = String::new();
            self.stream
                .read_line(&mut line)
                .unwrap_or_else(|error| panic!("cannot read from the mail server: {error}"));
            let line = line.trim_end().to_owned();
            // A line of an answer that goes on has a hyphen after its code.
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            return if line.starts_with(['2', '3']) { Ok(line) } else { Err(line) };
        }
    }
}
