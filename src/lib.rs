//! mailsudo: the users that you name run the few commands that you allow, by mail.
//!
//! One message is one call of [`pipeline::run`]. Each stage's output is the next stage's input, and each such type is
//! made in one module only. So nothing runs that was not authenticated, authorized and durably recorded, in that order.
//!
//! The modules are listed from the top to the bottom. A module imports only modules that are listed below it
//! (docs/architecture.md; `tests/integration/import_order.rs` checks it).
//!
//! Without the feature `gateway` it is the client alone, which needs neither Linux nor a ledger: at the end of this
//! file stands what that has of the modules (docs/decisions/0051).
//!
//! The wire contract is docs/protocol.md, the files are docs/configuration.md, the operation is docs/operations.md.

// A file that both have holds what only the gateway uses.
#![cfg_attr(not(feature = "gateway"), allow(dead_code, unused_imports, unreachable_pub))]

#[cfg(feature = "gateway")]
pub mod cli;

#[cfg(feature = "gateway")]
pub mod pipeline;

#[cfg(feature = "gateway")]
pub mod check;

#[cfg(feature = "gateway")]
pub mod setup;

#[cfg(feature = "gateway")]
pub mod postfix;

#[cfg(feature = "gateway")]
pub mod edit;

#[cfg(feature = "gateway")]
pub mod enrolment;

pub mod client;

#[cfg(feature = "gateway")]
pub mod page;

#[cfg(feature = "gateway")]
pub mod evidence;

#[cfg(feature = "gateway")]
pub mod reply;

#[cfg(feature = "gateway")]
pub mod execute;

#[cfg(feature = "gateway")]
pub mod sudoers;

#[cfg(feature = "gateway")]
pub mod admission;

#[cfg(feature = "gateway")]
pub mod authorize;

#[cfg(feature = "gateway")]
pub mod authenticate;

#[cfg(feature = "gateway")]
pub mod ledger;

#[cfg(feature = "gateway")]
pub mod intake;

#[cfg(feature = "gateway")]
pub mod encryption;

#[cfg(feature = "gateway")]
pub mod audit;

#[cfg(feature = "gateway")]
pub mod config;

pub mod error;

#[cfg(feature = "gateway")]
pub mod system;

pub mod remedy;

pub mod protocol;

pub mod ordered;

pub mod limits;

/// The client's command line.
#[cfg(not(feature = "gateway"))]
pub mod cli {
    #[macro_use]
    mod stdout;

    mod client;
    mod code;
    #[path = "complete_nothing.rs"]
    mod complete;
    mod completions;
    mod failure;
    mod key;
    mod progress;
    mod qr;
    mod sign;
    mod table;
    mod terminal;
    mod verify;

    use progress::Progress;
    use stdout::{print_json, tell};
    use terminal::{ask_code, message_input, parse_code, when};

    /// Runs the command line `words`, program name first.
    pub fn run(words: Vec<std::ffi::OsString>) -> std::process::ExitCode {
        client::run(words)
    }
}

/// How a reply's text is shown.
#[cfg(not(feature = "gateway"))]
pub mod reply {
    mod text;

    pub use text::visible;
}

/// Codes, from a file with the secret.
#[cfg(not(feature = "gateway"))]
pub mod authenticate {
    mod totp;

    pub use totp::Factor;
}

/// What a mail program may show of a message.
#[cfg(not(feature = "gateway"))]
pub mod intake {
    mod encrypted;
    mod header;
    mod html;
    mod mbox;
    mod mime;
    mod shown;
    mod structured;
    mod text;
    mod unclear;
    mod utf7;

    pub use encrypted::*;
    pub use html::*;
    pub use mbox::*;
    pub use shown::*;
}

/// Values that key files and options have too.
#[cfg(not(feature = "gateway"))]
pub mod config {
    mod address;
    mod encryption;
    mod units;

    pub use address::*;
    pub use encryption::*;
    pub use units::*;
}

/// The time, the user's own files, the addresses of a host.
#[cfg(not(feature = "gateway"))]
pub mod system {
    pub mod clock;
    pub mod hosts;
    #[cfg(unix)]
    pub mod permissions;
    pub mod private;
    pub mod tls;
    pub mod trace;
}
