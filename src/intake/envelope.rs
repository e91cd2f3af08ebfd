//! The envelope of a message, as `deliver` is told of it.

use std::ffi::OsString;

/// What the mail server says of the envelope (pipe(8) macros). None of it need be UTF-8 or true; it is for the log,
/// and for the screening that the sysadmin configures.
#[derive(Debug, Default)]
pub struct Envelope {
    /// The envelope sender; empty for the null sender.
    pub sender: Option<OsString>,
    /// The envelope recipient.
    pub recipient: Option<OsString>,
    /// Postfix's queue id of this mail.
    pub queue_id: Option<OsString>,
    /// The address of the SMTP client that brought it.
    pub client_address: Option<OsString>,
    /// The SASL login that brought it.
    pub sasl_username: Option<OsString>,
}
