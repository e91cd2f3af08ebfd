//! The folder of an IMAP account where replies come. In: an account. Out: the messages that have come since it was
//! opened.
//!
//! MUST: the password goes only to a server whose certificate this machine trusts for the server's name.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, RootCertStore, StreamOwned};

use super::account::Account;
use super::session::{Folder, ImapError, Session};
use crate::limits::{IMAP_MESSAGE, IMAP_WAIT};
use crate::system::{hosts, tls};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The folder, as it was when it was opened.
#[derive(Debug)]
pub(super) struct Inbox {
    account: Account,
    session: Session<Tls>,
    folder: Folder,
}

impl Inbox {
    /// Logs in, and opens the folder for reading.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or is not trusted, or does not let the user in.
    pub(super) fn open(account: Account) -> Result<Self> {
        let (session, folder) = enter(&account)?;
        Ok(Self { account, session, folder })
    }

    /// The account and the folder, in words.
    pub(super) fn name(&self) -> String {
        format!("{} of {} at {}", self.account.folder, self.account.login, self.account.server)
    }

    /// The messages that have come since the last call. A message larger than any reply is left out.
    ///
    /// # Errors
    ///
    /// The connection is lost and cannot be made again, or the server says no.
    pub(super) fn messages(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut messages = Vec::new();
        match self.look(&mut messages) {
            Ok(()) => {}
            // A server may end a connection at any time.
            Err(ImapError::Lost(_)) => {
                let (session, now) = enter(&self.account)?;
                if now.validity != self.folder.validity {
                    bail!("{} has been made anew since the request was sent: look into it yourself", self.name());
                }
                self.session = session;
                self.look(&mut messages).with_context(|| self.name())?;
            }
            Err(error) => return Err(error).with_context(|| self.name()),
        }
        Ok(messages)
    }

    fn look(&mut self, messages: &mut Vec<Vec<u8>>) -> Result<(), ImapError> {
        for number in self.session.search(self.folder.next, IMAP_MESSAGE)? {
            messages.extend(self.session.fetch(number)?);
            self.folder.next = number.saturating_add(1);
        }
        Ok(())
    }
}

fn enter(account: &Account) -> Result<(Session<Tls>, Folder)> {
    let place = || format!("{} port {}", account.server, account.port);
    let password = account.password()?;
    let stream = connect(account).with_context(place)?;
    let mut session = Session::greet(stream).with_context(place)?;
    session
        .log_in(&account.login, &password)
        .with_context(|| format!("the login of {} at {}", account.login, place()))?;
    let folder = session.examine(&account.folder).with_context(|| format!("the folder {}", account.folder))?;
    Ok((session, folder))
}

/// Connects to the first of the server's addresses that answers, and makes sure of its name.
fn connect(account: &Account) -> Result<Tls> {
    let mut last = anyhow!("it has no address");
    for address in hosts::addresses(&account.server, account.port)? {
        match TcpStream::connect_timeout(&address, IMAP_WAIT) {
            Ok(stream) => return secured(stream, &account.server),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

fn secured(stream: TcpStream, server: &str) -> Result<Tls> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IMAP_WAIT))?;
    stream.set_write_timeout(Some(IMAP_WAIT))?;
    let mut roots = RootCertStore::empty();
    // One that cannot be read is left out; without any, no server is trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        bail!("this machine trusts no certificate authority: install ca-certificates, or set SSL_CERT_FILE");
    }
    let name = ServerName::try_from(server.to_owned()).with_context(|| format!("{server} is not a host name"))?;
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(tls::client(roots)?), name)?, stream);
    while stream.conn.is_handshaking() {
        let shaken = stream.conn.complete_io(&mut stream.sock);
        shaken.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => anyhow!("no answer within {} s: is it a port with TLS?", IMAP_WAIT.as_secs()),
            _ => anyhow!("TLS: {error}"),
        })?;
    }
    Ok(stream)
}
