//! The user's own mailbox, where replies come: `sign --send --wait-reply` waits for one there. In: a Maildir, an mbox
//! file or an IMAP account, and a request's id. Out: the checked reply.
//!
//! It only reads. It must never take a message for a reply that the key does not prove.

mod account;
mod files;
mod imap;
mod session;
mod settings;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::KeyFile;
use super::decrypt::{check_decrypted, is_about};
use super::verify::{Checked, Finding, Statement, check};
use crate::limits::{IMAP_POLL, REPLY_POLL};
use crate::protocol::RequestId;
use crate::system::clock::Clock;
use files::Files;
use imap::Inbox;
use settings::{Place, configured};

pub use settings::decrypt_command;

/// A mailbox, as it is before the request is sent.
#[derive(Debug)]
pub struct Mailbox(Kind);

#[derive(Debug)]
enum Kind {
    Files(Files),
    Imap(Box<Inbox>),
}

impl Mailbox {
    /// The mailbox at `path`, or the one that the client's settings name.
    ///
    /// # Errors
    ///
    /// None is named; it is neither a Maildir nor a file; or the IMAP server does not let the user in.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let place = match path {
            Some(path) => Place::Path(path.to_owned()),
            None => configured()?,
        };
        Ok(Self(match place {
            Place::Path(path) => Kind::Files(Files::open(path)?),
            Place::Imap(account) => Kind::Imap(Box::new(Inbox::open(account)?)),
        }))
    }

    /// Where it is, in words.
    pub fn name(&self) -> String {
        match &self.0 {
            Kind::Files(files) => files.path().display().to_string(),
            Kind::Imap(inbox) => inbox.name(),
        }
    }

    /// Waits up to `within` for the reply to the request `id` under `key`; `None` if it does not come. One that is
    /// encrypted is decrypted by the shell command `decrypt`, or by that of the client's settings; without any, that it
    /// is encrypted is the finding.
    ///
    /// # Errors
    ///
    /// The mailbox cannot be read, or the command fails.
    pub fn wait(
        &mut self,
        id: &RequestId,
        key: &KeyFile,
        decrypt: Option<&str>,
        within: Duration,
        clock: &dyn Clock,
    ) -> Result<Option<Checked>> {
        let deadline = clock.instant() + within;
        loop {
            if let Some(found) = self.find(id, key, decrypt)? {
                return Ok(Some(found));
            }
            if clock.instant() >= deadline {
                return Ok(None);
            }
            clock.sleep(match self.0 {
                Kind::Files(_) => REPLY_POLL,
                Kind::Imap(_) => IMAP_POLL,
            });
        }
    }

    /// The reply to the request `id`, if it is there.
    fn find(&mut self, id: &RequestId, key: &KeyFile, decrypt: Option<&str>) -> Result<Option<Checked>> {
        let messages = match &mut self.0 {
            Kind::Files(files) => files.messages()?,
            Kind::Imap(inbox) => inbox.messages()?,
        };
        let is_reply = |checked: &Checked| match &checked.finding {
            Finding::Genuine(said) | Finding::WithMore(said) | Finding::Altered(said) => {
                matches!(said, Statement::Reply(block) if block.request == *id)
            }
            Finding::OlderThanKey(_) | Finding::Encrypted(_) | Finding::NotGenuine => false,
        };
        let keys = std::slice::from_ref(key);
        for message in &messages {
            let mut checked = check(message, keys);
            if matches!(checked.finding, Finding::Encrypted(_)) && is_about(message, id) {
                checked = check_decrypted(message, keys, || decrypt_command(decrypt))?;
                if matches!(checked.finding, Finding::Encrypted(_)) {
                    return Ok(Some(checked));
                }
            }
            if is_reply(&checked) {
                return Ok(Some(checked));
            }
        }
        Ok(None)
    }
}
