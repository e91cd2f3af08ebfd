//! mailsudo: the few commands you allow, for the people you name, by mail.
//!
//! The program is one pipeline; [`deliver`] is the story of one message, and the modules stand here in the order in
//! which a message meets them. Each step's output is the next one's input and is made in one place only, so that
//! nothing can be run that was not proven, permitted and durably recorded, in that order.
//!
//! The wire contract is `docs/protocol.md`, the files are `docs/configuration.md`, how it behaves is `docs/operations.md`.

pub mod deliver;

pub mod intake;
pub mod protocol;

pub mod authenticate;
pub mod authorize;
pub mod ledger;

pub mod builtin;
pub mod execute;
pub mod reply;

pub mod audit;
pub mod error;

pub mod config;
pub mod sudoers;

pub mod accounts;
pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod enrol;
pub mod explain;
pub mod files;
pub mod patience;
pub mod walls;
