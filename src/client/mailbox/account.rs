//! An account at an IMAP server, and where its password is. In: the client's settings. Out: the password, when it is
//! needed.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use zeroize::Zeroizing;

use crate::client::read_private;
use crate::client::shell::printed;

/// The account.
#[derive(Debug)]
pub(super) struct Account {
    /// The server's host name, which its certificate must have.
    pub(super) server: String,
    /// The port; TLS begins with the first byte.
    pub(super) port: u16,
    /// The login.
    pub(super) login: String,
    /// Where the password is.
    pub(super) password: Password,
    /// The folder where replies come, as IMAP writes it.
    pub(super) folder: String,
}

/// Where the password is.
#[derive(Debug)]
pub(super) enum Password {
    /// A file with nothing else, mode 0600.
    File(PathBuf),
    /// A shell command that prints it.
    Command(String),
}

impl Account {
    /// The password.
    ///
    /// # Errors
    ///
    /// The file cannot be read or others may read it, or the command fails; or it is empty or has a byte that IMAP
    /// cannot send.
    pub(super) fn password(&self) -> Result<Zeroizing<String>> {
        let text = match &self.password {
            Password::File(path) => read_private(path)?,
            Password::Command(command) => printed(command, "the password")?,
        };
        let password = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
        ensure!(!password.is_empty() && !password.contains('\0'), "the password of {} is empty", self.login);
        Ok(password)
    }
}
