//! IMAP4rev1 (RFC 3501), the few commands that reading new messages needs. In: a stream to the server, encrypted
//! already. Out: the answers, read by imap-proto.
//!
//! MUST: what the server says is bounded: each answer in size, and each wait by the stream's own limit. It only reads:
//! EXAMINE and BODY.PEEK change nothing in the mailbox.

use std::fmt;
use std::io::{self, Read, Write};

use imap_proto::{AttributeValue, MailboxDatum, Outcome, Response, ResponseCode, Status};

use zeroize::Zeroizing;

use crate::limits::IMAP_ANSWER;

/// A connection after the server's greeting.
pub(super) struct Session<S> {
    stream: S,
    /// What came and is not parsed yet.
    unread: Vec<u8>,
    /// The number of the last command.
    count: u32,
}

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImapError {
    /// The connection is lost.
    #[error("the connection is lost: {0}")]
    Lost(#[from] io::Error),
    /// The server says no, in its own words.
    #[error("the server says: {0}")]
    Refused(String),
    /// The server says something that is not IMAP.
    #[error("the server gives an answer that is not IMAP4rev1")]
    Protocol,
}

/// Where the folder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Folder {
    /// It changes when the numbers of messages begin anew.
    pub(super) validity: u32,
    /// The number that the next message gets.
    pub(super) next: u32,
}

/// At least as long as what comes behind a literal: a blank, the next literal's length, the line's end.
const REST: usize = 32;

/// A part of a command: words as they are, or text as a literal, which may hold any byte but NUL.
enum Part<'p> {
    Words(&'p str),
    Literal(&'p str),
}

impl<S: Read + Write> Session<S> {
    /// Reads the server's greeting.
    pub(super) fn greet(stream: S) -> Result<Self, ImapError> {
        let mut session = Self { stream, unread: Vec::new(), count: 0 };
        let mut greeting = Err(ImapError::Protocol);
        session.next(|response| {
            greeting = match response {
                Response::Data { status: Status::Ok, .. } => Ok(()),
                Response::Data { outcome, .. } => Err(refused(outcome)),
                _ => Err(ImapError::Protocol),
            };
        })?;
        greeting.map(|()| session)
    }

    /// Logs in. Literals carry every character of a password, and every server reads them.
    pub(super) fn log_in(&mut self, login: &str, password: &str) -> Result<(), ImapError> {
        let parts = [Part::Words("LOGIN "), Part::Literal(login), Part::Words(" "), Part::Literal(password)];
        self.command(&parts, |_| ()).map(drop)
    }

    /// Opens the folder for reading.
    pub(super) fn examine(&mut self, folder: &str) -> Result<Folder, ImapError> {
        let (mut validity, mut next) = (None, None);
        self.command(&[Part::Words("EXAMINE "), Part::Literal(folder)], |response| {
            if let Response::Data { outcome: Outcome { code: Some(code), .. }, .. } = response {
                match code {
                    ResponseCode::UidValidity(number) => validity = Some(*number),
                    ResponseCode::UidNext(number) => next = Some(*number),
                    _ => {}
                }
            }
        })?;
        match (validity, next) {
            (Some(validity), Some(next)) => Ok(Folder { validity, next }),
            _ => Err(ImapError::Refused(String::from("nothing about UIDVALIDITY and UIDNEXT of the folder"))),
        }
    }

    /// The numbers of the messages from `first` on that are no larger than `size` bytes.
    pub(super) fn search(&mut self, first: u32, size: usize) -> Result<Vec<u32>, ImapError> {
        // With NOOP, a server says what has come.
        self.command(&[Part::Words("NOOP")], |_| ())?;
        let mut found = Vec::new();
        self.command(&[Part::Words(&format!("UID SEARCH UID {first}:* SMALLER {}", size + 1))], |response| {
            if let Response::MailboxData(MailboxDatum::Search(numbers)) = response {
                found.extend_from_slice(numbers);
            }
        })?;
        // `*` is the last message, also where that has a smaller number.
        found.retain(|number| *number >= first);
        found.sort_unstable();
        Ok(found)
    }

    /// The message with this number; `None` where it is gone.
    pub(super) fn fetch(&mut self, number: u32) -> Result<Option<Vec<u8>>, ImapError> {
        let mut message = None;
        self.command(&[Part::Words(&format!("UID FETCH {number} (UID BODY.PEEK[])"))], |response| {
            if let Response::Fetch(_, values) = response
                && values.contains(&AttributeValue::Uid(number))
            {
                message = values.iter().find_map(|value| match value {
                    AttributeValue::BodySection { section: None, data: Some(data), .. } => Some(data.to_vec()),
                    _ => None,
                });
            }
        })?;
        Ok(message)
    }

    /// Sends a command, and gives each answer to `each` until the one that ends it.
    fn command(&mut self, parts: &[Part<'_>], mut each: impl FnMut(&Response<'_>)) -> Result<(), ImapError> {
        self.count += 1;
        let tag = format!("m{}", self.count);
        let mut line = Zeroizing::new(format!("{tag} "));
        for part in parts {
            match part {
                Part::Words(words) => line.push_str(words),
                Part::Literal(text) => {
                    line.push_str(&format!("{{{}}}\r\n", text.len()));
                    self.send(&line)?;
                    self.until(&tag, true, &mut each)?;
                    // It may be the password: with room for the rest of the command, no copy of it is left behind.
                    line = Zeroizing::new(String::with_capacity(text.len() + REST));
                    line.push_str(text);
                }
            }
        }
        line.push_str("\r\n");
        self.send(&line)?;
        self.until(&tag, false, &mut each)
    }

    fn send(&mut self, text: &str) -> Result<(), ImapError> {
        self.stream.write_all(text.as_bytes())?;
        Ok(self.stream.flush()?)
    }

    /// Reads up to the end of the command `tag`, or up to the server's wish for more.
    fn until(&mut self, tag: &str, wants_more: bool, each: &mut impl FnMut(&Response<'_>)) -> Result<(), ImapError> {
        loop {
            let mut end = None;
            self.next(|response| {
                end = match response {
                    Response::Continue(_) if wants_more => Some(Ok(())),
                    Response::Continue(_) => Some(Err(ImapError::Protocol)),
                    Response::Done { tag: of, status: Status::Ok, .. } if of.0 == tag && !wants_more => Some(Ok(())),
                    Response::Done { outcome, .. } => Some(Err(refused(outcome))),
                    // The server ends the connection (RFC 3501, section 7.1.5).
                    Response::Data { status: Status::Bye, outcome } => {
                        Some(Err(io::Error::other(words(outcome)).into()))
                    }
                    other => {
                        each(other);
                        None
                    }
                };
            })?;
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Reads the next answer.
    fn next(&mut self, take: impl FnOnce(&Response<'_>)) -> Result<(), ImapError> {
        loop {
            match Response::parse(&self.unread) {
                Ok((rest, response)) => {
                    take(&response);
                    let used = self.unread.len() - rest.len();
                    drop(response);
                    self.unread.drain(..used);
                    return Ok(());
                }
                Err(nom) if nom.is_incomplete() => self.read()?,
                Err(_) => self.skip()?,
            }
        }
    }

    /// Leaves out a line that imap-proto does not know: servers may send what an extension has.
    fn skip(&mut self) -> Result<(), ImapError> {
        let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") else {
            return self.read();
        };
        let line: Vec<u8> = self.unread.drain(..end + 2).collect();
        // A literal behind it could hold what looks like an answer.
        if !line.starts_with(b"* ") || line.ends_with(b"}\r\n") {
            return Err(ImapError::Protocol);
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), ImapError> {
        if self.unread.len() > IMAP_ANSWER {
            return Err(ImapError::Protocol);
        }
        let mut bytes = [0; 16 << 10];
        // A socket's own timeout reads "Resource temporarily unavailable" (socket(7)).
        let count = self.stream.read(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
            _ => error,
        })?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.unread.extend_from_slice(bytes.get(..count).unwrap_or_default());
        Ok(())
    }
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

fn refused(outcome: &Outcome<'_>) -> ImapError {
    ImapError::Refused(words(outcome))
}

fn words(outcome: &Outcome<'_>) -> String {
    outcome.information.as_deref().unwrap_or("no, without a reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says what it is told to, whatever it hears.
    struct Script {
        says: io::Cursor<Vec<u8>>,
        heard: Vec<u8>,
        /// How many bytes come at once.
        piece: usize,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(self.piece);
            self.says.read(buffer.get_mut(..length).unwrap_or_default())
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn greeted(says: &str, piece: usize) -> Result<Session<Script>, ImapError> {
        Session::greet(Script { says: io::Cursor::new(says.into()), heard: Vec::new(), piece })
    }

    fn session(says: &str) -> Session<Script> {
        // In pieces, as a network has it.
        greeted(&format!("* OK ready\r\n{says}"), 7).expect("a greeting")
    }

    #[test]
    fn a_message_is_found_and_read() {
        let says = "+ go on\r\n+ go on\r\nm1 OK in\r\n\
            + go on\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 9] valid\r\n* OK [UIDNEXT 41] next\r\nm2 OK [READ-ONLY] open\r\n\
            * 4 EXISTS\r\n* XNEW of an extension\r\nm3 OK\r\n* SEARCH 40 42 41\r\nm4 OK\r\n\
            * 4 FETCH (UID 41 BODY[] {14}\r\nSubject: x\r\n\r\n)\r\nm5 OK\r\nm6 OK gone\r\n";
        let mut session = session(says);
        session.log_in("a@example.com", "s\"\\ crèt").expect("in");
        assert_eq!(session.examine("INBOX").expect("a folder"), Folder { validity: 9, next: 41 });
        assert_eq!(session.search(41, 100).expect("numbers"), [41, 42]);
        assert_eq!(session.fetch(41).expect("a message").as_deref(), Some(b"Subject: x\r\n\r\n".as_slice()));
        assert_eq!(session.fetch(42).expect("an answer"), None);
        let heard = String::from_utf8(session.stream.heard).expect("text");
        assert!(
            heard.starts_with("m1 LOGIN {13}\r\na@example.com {9}\r\ns\"\\ crèt\r\nm2 EXAMINE {5}\r\nINBOX\r\n"),
            "{heard}"
        );
        assert!(
            heard.contains("m4 UID SEARCH UID 41:* SMALLER 101\r\nm5 UID FETCH 41 (UID BODY.PEEK[])\r\n"),
            "{heard}"
        );
    }

    #[test]
    fn what_is_not_imap_or_says_no_is_an_error() {
        let greeted = |says: &str| greeted(says, 7);
        assert!(matches!(greeted("* BYE too many\r\n"), Err(ImapError::Refused(what)) if what == "too many"));
        assert!(matches!(greeted("220 smtp.example.com ESMTP\r\n"), Err(ImapError::Protocol)));
        assert!(matches!(greeted("* OK rea"), Err(ImapError::Lost(_))));
        let logged = |says: &str| session(says).log_in("a", "b");
        assert!(
            matches!(logged("+ \r\n+ \r\nm1 NO [AUTHENTICATIONFAILED] wrong\r\n"), Err(ImapError::Refused(what)) if what.contains("wrong"))
        );
        assert!(matches!(logged("m1 BAD no literals\r\n"), Err(ImapError::Refused(_))));
        assert!(matches!(logged("+ \r\n+ \r\nm9 OK another\r\n"), Err(ImapError::Refused(_))));
        assert!(matches!(logged("+ \r\n* BYE ends\r\n"), Err(ImapError::Lost(_))));
        let examined = |says: &str| session(says).examine("x").map(drop);
        assert!(
            matches!(examined("+ \r\n* 3 EXISTS\r\nm1 OK\r\n"), Err(ImapError::Refused(what)) if what.contains("UIDNEXT"))
        );
        let literal = "* XNEW {5}\r\n* BYE\r\nm1 OK\r\n";
        assert!(matches!(session(literal).fetch(1), Err(ImapError::Protocol)));
    }

    #[test]
    fn an_answer_is_bounded() {
        let mut says = format!("* OK ready\r\n* 1 FETCH (UID 1 BODY[] {{{}}}\r\n", u32::MAX);
        says.push_str(&"x".repeat(IMAP_ANSWER + 100));
        assert!(matches!(greeted(&says, 1 << 20).expect("a greeting").fetch(1), Err(ImapError::Protocol)));
    }
}
