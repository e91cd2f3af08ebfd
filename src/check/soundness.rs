//! Whether a ledger is sound, as far as it was read. In: the ledger. Out: one finding.

use super::gateway::{CheckedGateway, Depth};
use super::report::{Report, count};
use crate::ledger::{Examined, Health, LedgerError, LedgerQueries};

/// Reads all of the ledger, where that is asked for.
pub(super) fn in_depth(
    ledger: &dyn LedgerQueries,
    gateway: &CheckedGateway<'_>,
) -> Result<Option<Examined>, LedgerError> {
    (gateway.depth == Depth::Deep).then(|| ledger.examine(&mut |_| {})).transpose()
}

/// Says what is known of the ledger at `place`.
pub(super) fn sound(place: &str, health: &Health, examined: Option<Examined>, report: &mut Report) {
    match examined {
        None => report.ok("ledger", format!("{place} answers and holds {}", count(health.requests, "request"))),
        Some(Examined { requests, damage: None }) => {
            report.ok("ledger", format!("{place} is sound and holds {}", count(requests, "request")));
        }
        Some(Examined { damage: Some(damage), .. }) => {
            let what = format!("{place} is damaged: {damage}");
            report.error("ledger", what, "stop Postfix, keep the ledger, and restore a backup");
        }
    }
}
