//! What one delivery knows of itself and of its gateway.

use std::cell::RefCell;
use std::time::Duration;

use crate::config::Synchronous;
use crate::protocol::RequestId;

/// What one delivery knows.
pub(super) struct Terms {
    /// The gateway whose ledger it must be.
    pub(super) gateway: String,
    /// This host's name.
    pub(super) node: String,
    /// Of this delivery alone, and random.
    pub(super) token: [u8; 16],
    pub(super) timeout: Duration,
    pub(super) synchronous: Synchronous,
    pub(super) max_future: Duration,
    pub(super) longest: Duration,
    /// The requests that it has locked, and has not released.
    pub(super) locked: RefCell<Vec<RequestId>>,
}
