//! Access to the operating system: the time, accounts, who may use a file, files that are written whole, and the
//! hardening of this process. Nothing here knows about mail or requests.

pub mod accounts;
pub mod changes;
pub mod child;
pub mod clock;
pub mod files;
pub mod hardening;
pub mod hosts;
pub mod permissions;
pub mod private;
pub mod program;
pub mod tls;
pub mod trace;
pub mod unit;
