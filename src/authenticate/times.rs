//! The rows of reader's rule 9 that compare the signed time: with the clock, with what the ledger still knows, and with
//! the other requests of the user.

use std::time::Duration;

use crate::config::Rate;
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::ledger::Transaction;
use crate::protocol::Timestamp;
use crate::remedy::Call;

/// Refuses what the ledger may have pruned (docs/decisions/0012).
pub(super) fn above_watermark(
    time: Timestamp,
    watermark: Option<Timestamp>,
    max_future: Duration,
    now: Timestamp,
) -> Result<(), Stop> {
    let Some(watermark) = watermark else {
        return Ok(());
    };
    if watermark > now.plus(max_future) {
        let what = format!(
            "it refuses what was signed up to {watermark}, which is in the future: set the clock right, or, if it was wrong when \
             the ledger was made, move the ledger away; then {}",
            Call::InitLedger
        );
        return Err(Deferral::new("ledger", what).into());
    }
    if time <= watermark {
        let detail = format!(
            "signed at or before {watermark}: the ledger was made then, or has pruned older requests, and does not know whether this one ran"
        );
        return Err(Refusal::new(Reason::Forgotten, detail).into());
    }
    Ok(())
}

/// Refuses what is more than the user may ask for. All that is recorded of the user counts, refused or not: so a flood
/// costs the same for each mail, and it ends with the flood.
pub(super) fn not_too_many(transaction: &dyn Transaction, rate: Rate, now: Timestamp) -> Result<(), Stop> {
    let most = rate.most.get();
    let recorded = transaction.newest(now.minus(rate.within.as_duration()), now, most)?;
    if u32::try_from(recorded.len()).is_ok_and(|recorded| recorded < most) {
        return Ok(());
    }
    let detail = format!(
        "more requests than the limit of {most} within {}; nothing is accepted until fewer have come",
        rate.within
    );
    Err(Refusal::new(Reason::TooMany, detail).into())
}

/// Refuses what was signed too long ago, or in the future.
pub(super) fn fresh(time: Timestamp, max_future: Duration, max_age: Duration, now: Timestamp) -> Result<(), Refusal> {
    if time < now.minus(max_age) {
        let detail = format!("signed at {time}, which is more than {} s ago", max_age.as_secs());
        return Err(Refusal::new(Reason::Stale, detail));
    }
    if time > now.plus(max_future) {
        let detail = format!("signed at {time}, which is in the future: compare the clocks");
        return Err(Refusal::new(Reason::Future, detail));
    }
    Ok(())
}

/// Refuses what a database server that failed may have recorded, and run, without another one knowing it
/// (docs/decisions/0038).
pub(super) fn not_lost(time: Timestamp, lost_until: Option<Timestamp>) -> Result<(), Refusal> {
    match lost_until {
        Some(until) if time <= until => {
            let detail = format!(
                "the gateway's database was replaced, and does not know whether this request ran before; look at what it changes, \
                 and sign it again after {until}"
            );
            Err(Refusal::new(Reason::FailedOver, detail))
        }
        _ => Ok(()),
    }
}
