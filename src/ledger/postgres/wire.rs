//! A connection that speaks PostgreSQL's protocol, version 3 (PostgreSQL manual, "Frontend/Backend Protocol"). In:
//! statements. Out: the server's answer to each: its tag, its rows, and the warnings that came with them.
//!
//! Statements are unnamed and the session is never changed, so it works behind pgbouncer in transaction mode.
//!
//! MUST: an answer is never guessed. Once a statement is sent and its end is not seen, the error says that
//! ([`LedgerError::Lost`]), and the connection is not used again.

use std::io::{self, Read, Write};
use std::time::Instant;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, Header, Message};
use postgres_protocol::message::frontend;

use super::socket::Stream;
use super::value::{Row, Value};
use crate::ledger::LedgerError;
use crate::limits::{DATABASE_MESSAGE, PIPE_READ};
use crate::remedy::Call;

/// One statement with its parameters.
#[derive(Clone, Copy)]
pub(super) struct Statement<'s> {
    sql: &'s str,
    values: &'s [Value<'s>],
}

/// A statement for [`Wire::run`].
pub(super) fn statement<'s>(sql: &'s str, values: &'s [Value<'s>]) -> Statement<'s> {
    Statement { sql, values }
}

/// What the server answers to one statement.
#[derive(Debug)]
pub(super) struct Answer {
    /// What was done: `COMMIT`, `INSERT 0 1`, ...
    pub(super) tag: String,
    pub(super) rows: Vec<Row>,
}

impl Answer {
    /// The first row.
    pub(super) fn row(self) -> Option<Row> {
        self.rows.into_iter().next()
    }

    /// The columns of the one value that a function has returned; `None` where it is null.
    pub(super) fn returned(self) -> Result<Option<Row>, LedgerError> {
        self.row().ok_or(LedgerError::Corrupt("answer"))?.composite("answer")
    }

    /// How many rows were changed: the last word of the tag.
    pub(super) fn changed(&self) -> u64 {
        self.tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

/// An error or a warning of the server.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Its SQLSTATE.
    pub(super) code: String,
    pub(super) message: String,
}

impl Said {
    pub(super) fn read(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut said = Self { code: String::new(), message: String::new() };
        while let Some(field) = fields.next()? {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => said.code = value(),
                b'M' => said.message = value(),
                _ => {}
            }
        }
        Ok(said)
    }
}

/// The SQLSTATE with which mailsudo.require ends a transaction.
const CHANGED: &str = "MS001";

/// What became of statements that were sent.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection ended, or did not answer in time: what the statements did is not known.
    Lost(String),
    /// The server refused one; the transaction, if one is open, has failed.
    Server(Said),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<Fault> for LedgerError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(what) => Self::Lost(what),
            Fault::Server(said) if said.code == CHANGED => Self::Taken,
            // No such table, no such schema.
            Fault::Server(said) if ["42P01", "3F000"].contains(&said.code.as_str()) => Self::NotMade,
            Fault::Server(said) => {
                let remedy = match said.code.as_str() {
                    "42501" => format!("; to grant the role of [ledger] url what it needs: {}", Call::InitLedger),
                    "25006" => ": the server is a standby".to_owned(),
                    "55P03" => ": other transactions take too long".to_owned(),
                    _ => String::new(),
                };
                Self::Backend(format!("PostgreSQL: {} ({}){remedy}", said.message, said.code))
            }
        }
    }
}

/// An open connection.
pub(super) struct Wire {
    stream: Stream,
    inbox: BytesMut,
    warnings: Vec<Said>,
    is_broken: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, inbox: BytesMut::new(), warnings: Vec::new(), is_broken: false }
    }

    /// Whether it can no longer be used.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Sets the moment until which everything that follows may take.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.stream.set_deadline(deadline);
    }

    /// The warnings that came since this was last asked.
    pub(super) fn take_warnings(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.warnings)
    }

    /// Sends the statements together and reads the answer to each. They are one transaction, unless one of them begins
    /// or ends a longer one. The server skips those that follow a failed one.
    pub(super) fn run(&mut self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, Fault> {
        let mut out = BytesMut::new();
        put(statements, &mut out)?;
        self.exchange(&out)
    }

    /// As [`run`](Self::run) for `first` and then for `second`, but sends both at once. The server begins with `second`
    /// when it has ended `first`, whatever became of that; a pooler may give it to another session of the same server,
    /// then.
    pub(super) fn run_both(
        &mut self,
        first: &[Statement<'_>],
        second: &[Statement<'_>],
    ) -> (Result<Vec<Answer>, Fault>, Result<Vec<Answer>, Fault>) {
        let mut out = BytesMut::new();
        let answered = match put(first, &mut out).and_then(|()| put(second, &mut out)) {
            Ok(()) => self.exchange(&out),
            Err(fault) => Err(fault),
        };
        let ended = || Fault::Lost("it had ended before".to_owned());
        match answered {
            lost @ Err(Fault::Lost(_)) => (lost, Err(ended())),
            answered => (answered, self.exchange(&[])),
        }
    }

    /// Runs one statement.
    pub(super) fn one(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Answer, Fault> {
        self.run(&[statement(sql, values)])?.pop().ok_or_else(|| Fault::Lost("the server gave no answer".to_owned()))
    }

    /// Runs several statements without parameters, separated by semicolons, as one transaction.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.exchange(&out).map(drop)
    }

    fn exchange(&mut self, out: &[u8]) -> Result<Vec<Answer>, Fault> {
        let answers = self.send(out).and_then(|()| self.answers());
        if let Err(Fault::Lost(_)) = answers {
            self.is_broken = true;
        }
        answers
    }

    /// Sends bytes.
    pub(super) fn send(&mut self, out: &[u8]) -> Result<(), Fault> {
        Ok(self.stream.write_all(out).and_then(|()| self.stream.flush())?)
    }

    /// Reads until the server is ready for more.
    fn answers(&mut self) -> Result<Vec<Answer>, Fault> {
        let mut answers = Vec::new();
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            match self.receive()? {
                Message::DataRow(body) => rows.push(Row::new(&body)?),
                Message::CommandComplete(body) => {
                    answers.push(Answer { tag: body.tag()?.to_owned(), rows: std::mem::take(&mut rows) });
                }
                Message::ErrorResponse(body) => {
                    let said = Said::read(body.fields())?;
                    // Class 57: the server ends the session, perhaps after it has done what was asked.
                    if said.code.starts_with("57P") {
                        return Err(Fault::Lost(said.message));
                    }
                    refused = refused.or(Some(said));
                }
                Message::ReadyForQuery(_) => return refused.map_or(Ok(answers), |said| Err(Fault::Server(said))),
                Message::ParseComplete
                | Message::BindComplete
                | Message::NoData
                | Message::RowDescription(_)
                | Message::EmptyQueryResponse => {}
                _ => return Err(Fault::Lost("the server sent what was not asked for".to_owned())),
            }
        }
    }

    /// The server's next message. Warnings are kept; what it tells unasked is read over.
    pub(super) fn receive(&mut self) -> Result<Message, Fault> {
        loop {
            if let Some(header) = Header::parse(&self.inbox)?
                && usize::try_from(header.len()).map_or(true, |length| length > DATABASE_MESSAGE)
            {
                return Err(Fault::Lost("a message of the server is too large".to_owned()));
            }
            match Message::parse(&mut self.inbox)? {
                Some(Message::NoticeResponse(body)) => {
                    let said = Said::read(body.fields())?;
                    // Class 00 is a notice of success; class 01 and all others warn.
                    if !said.code.starts_with("00") {
                        self.warnings.push(said);
                    }
                }
                Some(Message::ParameterStatus(_) | Message::NotificationResponse(_)) => {}
                Some(message) => return Ok(message),
                None => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let mut buffer = [0; PIPE_READ / 4];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(Fault::Lost("the server ended the connection".to_owned()));
        }
        self.inbox.extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(())
    }
}

/// Writes the messages for the statements, up to the Sync that ends them.
fn put(statements: &[Statement<'_>], out: &mut BytesMut) -> Result<(), Fault> {
    for statement in statements {
        let values = statement.values;
        frontend::parse("", statement.sql, values.iter().map(|value| value.oid()), out)?;
        let put = |value: &Value<'_>, out: &mut BytesMut| Ok(value.put(out));
        frontend::bind("", "", [1], values, put, [1], out)
            .map_err(|_| Fault::Lost("a value is too large".to_owned()))?;
        frontend::execute("", 0, out)?;
    }
    frontend::sync(out);
    Ok(())
}

impl Drop for Wire {
    /// Ends the session, so that the server logs no error.
    fn drop(&mut self) {
        if !self.is_broken {
            let mut out = BytesMut::new();
            frontend::terminate(&mut out);
            let _ = self.send(&out);
        }
    }
}
