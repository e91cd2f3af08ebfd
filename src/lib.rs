//! mailsudo: the users that you name run the few commands that you allow, by mail.
//!
//! One message is one call of [`pipeline::run`]. Each stage's output is the next stage's input, and each such type is
//! made in one module only. So nothing runs that was not authenticated, authorized and durably recorded, in that order.
//!
//! The modules are listed from the top to the bottom. A module imports only modules that are listed below it
//! (docs/architecture.md; `tests/integration/import_order.rs` checks it).
//!
//! The wire contract is docs/protocol.md, the files are docs/configuration.md, the operation is docs/operations.md.

pub mod cli;

pub mod pipeline;

pub mod check;

pub mod setup;

pub mod postfix;

pub mod edit;

pub mod enrolment;

pub mod client;

pub mod page;

pub mod evidence;

pub mod reply;

pub mod execute;

pub mod sudoers;

pub mod admission;

pub mod authorize;

pub mod authenticate;

pub mod ledger;

pub mod intake;

pub mod encryption;

pub mod audit;

pub mod config;

pub mod error;

pub mod system;

pub mod remedy;

pub mod protocol;

pub mod limits;
