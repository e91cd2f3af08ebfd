//! `explain`: what `deliver` would do with a decision. In: a [`Decision`]. Out: the end of the message. It has no
//! effect.

use super::context::Context;
use super::decision::Decision;
use super::end::End;
use super::judge::{Judge, Judgement};
use super::observer::{Observer, Step};
use crate::admission;
use crate::authorize::Action;
use crate::error::Stop;
use crate::ledger::Transaction;
use crate::protocol::Timestamp;

/// What `deliver` would do now, noted to the `observer`.
///
/// # Errors
///
/// The refusal or deferral that it would end with.
pub(super) fn predict(
    context: &Context<'_>,
    transaction: &dyn Transaction,
    decision: Decision<'_>,
    now: Timestamp,
    observer: &mut dyn Observer,
) -> Result<End, Stop> {
    match decision {
        Decision::Resume(record) => {
            observer.note(Step::Resumed(&record));
            Ok(End::WouldNotRun)
        }
        Decision::Refuse(refusal, _) => Err(refusal.into()),
        Decision::Ask(..) => Ok(End::WouldNotRun),
        Decision::Vote(authorized, _, _) => {
            let Action::Vote(ballot) = authorized.action() else {
                return Ok(End::WouldNotRun);
            };
            let identified = authorized.identified();
            let judge = Judge {
                gateway: context.gateway,
                transaction,
                vote: identified.id(),
                voter: identified.user(),
                is_signed: identified.signed_by().is_some(),
                now,
            };
            let judgement = judge.judge(ballot)?;
            observer.note(Step::Judged(&judgement.words()));
            Ok(if matches!(judgement, Judgement::Run(..)) { End::WouldRun } else { End::WouldNotRun })
        }
        Decision::Admit(authorized, _, _) => {
            match admission::held_by(transaction, &authorized, context.longest(), now)? {
                Some(hold) => {
                    observer.note(Step::Waiting(Some(&hold)));
                    Ok(End::WouldNotRun)
                }
                None => Ok(End::WouldRun),
            }
        }
    }
}
