//! The client's settings, `client.conf` beside the key files. In: its text. Out: where replies come, and how they are
//! decrypted.
//!
//! MUST: no password stands in it; it names a file or a command.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::account::{Account, Password};
use crate::client::folders;

/// The name of the file; it does not end like a key file's.
const FILE: &str = "client.conf";

/// Where replies come.
#[derive(Debug)]
pub(super) enum Place {
    /// A Maildir or an mbox file.
    Path(PathBuf),
    /// An account at an IMAP server.
    Imap(Account),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mailbox: Option<PathBuf>,
    decrypt_command: Option<String>,
    imap: Option<Imap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imap {
    server: String,
    #[serde(default = "imaps")]
    port: u16,
    login: String,
    password_file: Option<PathBuf>,
    password_command: Option<String>,
    #[serde(default = "inbox")]
    folder: String,
}

/// The port of IMAP with TLS from the first byte (RFC 8314).
fn imaps() -> u16 {
    993
}

fn inbox() -> String {
    "INBOX".to_owned()
}

/// What the client's settings name.
///
/// # Errors
///
/// There are none, or they break the rules.
pub(super) fn configured() -> Result<Place> {
    let path = folders::keys()?.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: write mailbox = \"/PATH/OF/YOUR/Maildir\" into it (or the path of an mbox file, or [imap]; see \
             mailsudo(7)), or use --mailbox",
            path.display()
        )
    })?;
    read(&text).with_context(|| path.display().to_string())
}

fn read(text: &str) -> Result<Place> {
    let settings: Settings = toml::from_str(text).context("it has the key mailbox or the section [imap]")?;
    match settings {
        Settings { mailbox: Some(path), imap: None, .. } => {
            absolute("mailbox", &path)?;
            Ok(Place::Path(path))
        }
        Settings { mailbox: None, imap: Some(imap), .. } => Ok(Place::Imap(imap.account()?)),
        _ => bail!("it needs either the key mailbox or the section [imap]"),
    }
}

/// The shell command that decrypts replies: the one that is given, or else that of the client's settings, if they name
/// one.
///
/// # Errors
///
/// They cannot be read, or are not TOML.
pub fn decrypt_command(given: Option<&str>) -> Result<Option<String>> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let path = folders::keys()?.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let settings: Settings = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(settings.decrypt_command)
}

fn absolute(key: &str, path: &Path) -> Result<()> {
    ensure!(path.is_absolute(), "{key} must be an absolute path");
    Ok(())
}

impl Imap {
    fn account(self) -> Result<Account> {
        let Self { server, port, login, password_file, password_command, folder } = self;
        let is_host = !server.is_empty()
            && !server.starts_with('-')
            && server.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
        ensure!(is_host, "[imap] server must be a host name such as imap.example.com, without a port");
        ensure!(!login.is_empty(), "[imap] login is empty");
        let is_plain = !folder.is_empty() && folder.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        ensure!(
            is_plain,
            "[imap] folder: other letters than ASCII are written in modified UTF-7 (RFC 3501, section 5.1.3)"
        );
        let password = match (password_file, password_command) {
            (Some(path), None) => {
                absolute("[imap] password_file", &path)?;
                Password::File(path)
            }
            (None, Some(command)) => Password::Command(command),
            _ => bail!("[imap] needs either password_file or password_command"),
        };
        Ok(Account { server, port, login, password, folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Its paths are absolute on Unix alone.
    #[cfg(unix)]
    #[test]
    fn a_mailbox_or_an_account_is_named_and_not_both() {
        for more in ["", "\ndecrypt_command = \"gpg --decrypt\""] {
            assert!(matches!(read(&format!("mailbox = \"/home/a/Maildir\"{more}")), Ok(Place::Path(_))));
        }
        let imap = "[imap]\nserver = \"imap.example.com\"\nlogin = \"a@example.com\"\n";
        let Ok(Place::Imap(account)) = read(&format!("{imap}password_command = \"pass mail\"")) else {
            panic!("an account");
        };
        assert_eq!((account.port, account.folder.as_str()), (993, "INBOX"));
        for wrong in [
            "",
            "decrypt_command = \"gpg --decrypt\"",
            "mailbox = \"Maildir\"",
            "mailbox = \"/m\"\nother = 1",
            imap,
            &format!("{imap}password = \"secret\""),
            &format!("{imap}password_file = \"p\""),
            &format!("{imap}password_file = \"/p\"\npassword_command = \"p\""),
            &format!("mailbox = \"/m\"\n{imap}password_file = \"/p\""),
            &format!("{imap}password_file = \"/p\"\nfolder = \"Entwürfe\""),
            &format!("{imap}password_file = \"/p\"\nfolder = \"a\\r\\nb\""),
            "[imap]\nserver = \"-x\"\nlogin = \"a\"\npassword_file = \"/p\"",
            "[imap]\nserver = \"imap.example.com/x\"\nlogin = \"a\"\npassword_file = \"/p\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
