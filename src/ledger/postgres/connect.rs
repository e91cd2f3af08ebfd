//! Connects and logs in. In: the servers that `[ledger] url` names. Out: a [`Wire`] to the one that takes writes.
//!
//! MUST: no password leaves this host. SCRAM proves it without sending it (RFC 7677); other logins by password are
//! refused.

use std::rc::Rc;
use std::time::Instant;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use zeroize::Zeroizing;

use super::attempts::Attempts;
use super::socket::{Socket, Stream};
use super::wire::{Fault, Said, Wire};
use crate::config::PostgresHost;
use crate::ledger::LedgerError;

/// Which servers, and as whom.
#[derive(Clone)]
pub(in crate::ledger) struct Target {
    /// The servers, the one first that is tried first.
    pub(super) hosts: Vec<PostgresHost>,
    /// The role.
    pub(super) user: String,
    /// The database.
    pub(super) database: String,
    /// Its password.
    pub(super) password: Option<Rc<Zeroizing<String>>>,
    /// The certificates that sign the servers' own, in PEM.
    pub(super) root_certificates: Option<Rc<String>>,
}

impl Target {
    /// Whether the connection to `host` is to have TLS.
    fn is_secured(&self, host: &PostgresHost) -> bool {
        host.name().is_some() && self.root_certificates.is_some()
    }
}

/// Connects to a server that is not a standby: the first one, unless another answers sooner ([`Attempts`]). One that
/// answers and then stands still is given up after its share of the time that is left.
///
/// # Errors
///
/// [`LedgerError::Unreachable`] with what each server said.
pub(super) fn connect(target: &Target, deadline: Instant) -> Result<Wire, LedgerError> {
    let mut startup = BytesMut::new();
    frontend::startup_message(parameters(target), &mut startup)
        .map_err(|error| LedgerError::Unreachable(error.to_string()))?;
    let mut ssl = BytesMut::new();
    frontend::ssl_request(&mut ssl);
    let first = |host: &PostgresHost| if target.is_secured(host) { ssl.to_vec() } else { startup.to_vec() };
    let mut attempts = Attempts::new(&target.hosts);
    while let Some((host, socket)) = attempts.next(first, deadline) {
        let now = Instant::now();
        let to_try = u32::try_from(attempts.left() + 1).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(now).checked_div(to_try).unwrap_or_default();
        match login(target, host, socket, &startup, now + share) {
            Ok(mut wire) => {
                wire.set_deadline(deadline);
                return Ok(wire);
            }
            Err(what) => attempts.failed(host, &what),
        }
    }
    Err(LedgerError::Unreachable(attempts.failures()))
}

fn login(
    target: &Target,
    host: &PostgresHost,
    socket: Socket,
    startup: &[u8],
    deadline: Instant,
) -> Result<Wire, String> {
    let pem = target.root_certificates.as_deref().map(String::as_str);
    let stream = Stream::open(socket, host, pem, deadline).map_err(|error| error.to_string())?;
    let mut wire = Wire::new(stream);
    let said = |fault| match fault {
        Fault::Lost(what) => what,
        Fault::Server(said) => said.message,
    };
    if target.is_secured(host) {
        wire.send(startup).map_err(said)?;
    }
    log_in(target, &mut wire).map_err(said)?;
    // One server is asked with the first transaction, which a standby refuses.
    if target.hosts.len() > 1 {
        let answer = wire.one("SELECT pg_is_in_recovery()", &[]).map_err(said)?;
        if answer.row().is_none_or(|mut row| row.flag("role of the server").unwrap_or(true)) {
            return Err("it is a standby".to_owned());
        }
    }
    // What a server warns of at a login, such as another version of a collation, is about no commit.
    drop(wire.take_warnings());
    Ok(wire)
}

/// pgbouncer takes these parameters and no others.
fn parameters(target: &Target) -> [(&str, &str); 4] {
    [
        ("user", &target.user),
        ("database", &target.database),
        ("application_name", "mailsudo"),
        ("client_encoding", "UTF8"),
    ]
}

/// Answers what the server asks for, after the startup message.
fn log_in(target: &Target, wire: &mut Wire) -> Result<(), Fault> {
    loop {
        match wire.receive()? {
            Message::AuthenticationOk => break,
            Message::AuthenticationSasl(body) => prove(target, wire, &body)?,
            Message::AuthenticationMd5Password(_) | Message::AuthenticationCleartextPassword => {
                let what =
                    "it asks for a password in a form that can be read: write scram-sha-256 or peer in pg_hba.conf";
                return Err(Fault::Lost(what.to_owned()));
            }
            other => return Err(unexpected(other)?),
        }
    }
    loop {
        match wire.receive()? {
            Message::ReadyForQuery(_) => return Ok(()),
            Message::BackendKeyData(_) => {}
            other => return Err(unexpected(other)?),
        }
    }
}

/// The fault in a message that ends the login.
fn unexpected(message: Message) -> Result<Fault, Fault> {
    Ok(match message {
        Message::ErrorResponse(body) => Fault::Server(Said::read(body.fields())?),
        _ => Fault::Lost(
            "it asks for a login that mailsudo does not know: write scram-sha-256 or peer in pg_hba.conf".to_owned(),
        ),
    })
}

/// Proves that the password is known, and that the server knows it too.
fn prove(target: &Target, wire: &mut Wire, offer: &AuthenticationSaslBody) -> Result<(), Fault> {
    let Some(password) = &target.password else {
        let what = format!(
            "it asks for the password of {}: name the file with it, in [ledger] password_file, or for the owner of the \
             tables with --owner-password-file",
            target.user
        );
        return Err(Fault::Lost(what));
    };
    if !offer.mechanisms().any(|name| Ok(name == SCRAM_SHA_256))? {
        return Err(Fault::Lost("it does not offer SCRAM-SHA-256".to_owned()));
    }
    let mut scram = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
    let mut out = BytesMut::new();
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut out)?;
    wire.send(&out)?;
    match wire.receive()? {
        Message::AuthenticationSaslContinue(body) => scram.update(body.data())?,
        other => return Err(unexpected(other)?),
    }
    let mut out = BytesMut::new();
    frontend::sasl_response(scram.message(), &mut out)?;
    wire.send(&out)?;
    match wire.receive()? {
        Message::AuthenticationSaslFinal(body) => Ok(scram.finish(body.data())?),
        other => Err(unexpected(other)?),
    }
}
