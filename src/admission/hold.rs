//! Exclusive commands. In: a command, and the open [`Transaction`]. Out: the run that holds it, and how long a run
//! holds it.

use std::time::Duration;

use crate::authorize::{Action, Authorized, Invocation};
use crate::ledger::{ExclusiveHold, LedgerError, Transaction};
use crate::limits::{KILL_AFTER, SUDO_START};
use crate::protocol::Timestamp;

/// The other run that holds the exclusive command that `authorized` is for, if there is one. `longest` is the longest
/// time limit of any command.
///
/// # Errors
///
/// The ledger's error.
pub fn held_by(
    transaction: &dyn Transaction,
    authorized: &Authorized<'_>,
    longest: Duration,
    now: Timestamp,
) -> Result<Option<ExclusiveHold>, LedgerError> {
    match authorized.action() {
        Action::Run(invocation) => held_by_invocation(transaction, invocation, longest, now),
        _ => Ok(None),
    }
}

/// The other run that holds the exclusive command of `invocation`, if there is one.
pub(super) fn held_by_invocation(
    transaction: &dyn Transaction,
    invocation: &Invocation,
    longest: Duration,
    now: Timestamp,
) -> Result<Option<ExclusiveHold>, LedgerError> {
    if !invocation.is_exclusive() {
        return Ok(None);
    }
    let holds = transaction.exclusive_holds(invocation.name().as_str(), now)?;
    Ok(holds.into_iter().find(|hold| hold.is_busy(now, SUDO_START + longest + KILL_AFTER)))
}

/// Until when a run that is started at `now` holds its command: when it must have ended. `None` if the command is not
/// exclusive.
pub(super) fn holds_until(invocation: &Invocation, now: Timestamp) -> Option<Timestamp> {
    let end = now.plus(SUDO_START).plus(invocation.timeout()).plus(KILL_AFTER);
    invocation.is_exclusive().then_some(end)
}
