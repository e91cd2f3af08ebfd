//! The users' mail: one Maildir, where Postfix delivers the replies to all of them.

use std::fs;
use std::path::Path;

use crate::poll;

/// Where Postfix's virtual delivery puts it.
pub(crate) const FOLDER: &str = "/var/mail/users";

/// One user's part of it.
pub(crate) struct Mailbox {
    address: String,
}

impl Mailbox {
    pub(crate) fn of(address: &str) -> Self {
        Self { address: address.to_owned() }
    }

    /// Every message for this user, unordered.
    pub(crate) fn messages(&self) -> Vec<String> {
        // Postfix makes the folder with the first message.
        let Ok(entries) = fs::read_dir(Path::new(FOLDER).join("new")) else {
            return Vec::new();
        };
        // virtual(8) adds it, so it is where the message went, whatever its To field says.
        let delivered = format!("Delivered-To: {}", self.address);
        entries
            .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
            .filter(|message| message.lines().any(|line| line == delivered))
            .collect()
    }

    /// Waits for the one message that is to come.
    pub(crate) fn single(&self) -> String {
        poll::until(&format!("mail for {}", self.address), || {
            let mut messages = self.messages();
            assert!(messages.len() < 2, "more than one reply: {messages:#?}");
            messages.pop()
        })
    }
}
