//! Ends what a delivery that died had started. In: its record, in the open transaction. Out: the reply, recorded with
//! the end. Nothing is run: whether the command ran to its end is not known (docs/decisions/0003, 0013).

use super::context::Context;
use crate::admission;
use crate::error::Stop;
use crate::ledger::{ChainPoint, Record, State, StoredReply, Transaction};
use crate::protocol::{RunResult, Timestamp};
use crate::reply::ReplyComposer;

/// Records that nobody saw the end of this request's run, with the reply that says so. A vote that had started the run
/// of another request ends together with that one. Out: the reply, and the place of the end in the audit chain.
///
/// # Errors
///
/// A deferral: the ledger or a user's file cannot be read, or the ledger not written.
pub(super) fn end_interrupted(
    context: &Context<'_>,
    mut transaction: Box<dyn Transaction + '_>,
    record: Record,
    composer: &ReplyComposer<'_>,
    now: Timestamp,
) -> Result<(StoredReply, ChainPoint), Stop> {
    let voted_on = transaction.voted_on(&record.id)?;
    if let Some(asked) = voted_on.map(|id| transaction.record_of(&id)).transpose()?.flatten() {
        return end_vote(context, transaction, record, asked, composer, now);
    }
    let story = transaction.story_of(&record.id)?;
    let point = admission::end_event(transaction.as_mut(), record.clone(), None, RunResult::Unknown, now)?;
    let reply = composer.at(Some(point.head)).unknown(&record, &story, now);
    admission::give_up(transaction, record, reply.clone(), now)?;
    Ok((reply, point))
}

/// Ends a vote whose delivery died after it had started the run of `asked`, and that run.
fn end_vote(
    context: &Context<'_>,
    mut transaction: Box<dyn Transaction + '_>,
    record: Record,
    asked: Record,
    composer: &ReplyComposer<'_>,
    now: Timestamp,
) -> Result<(StoredReply, ChainPoint), Stop> {
    let result = asked.result.unwrap_or(RunResult::Unknown);
    let about = (asked.state == State::Started).then_some(&asked.id);
    let point = admission::end_event(transaction.as_mut(), record.clone(), about, result, now)?;
    let head = Some(point.head);
    let reply = composer.at(head).vote_resumed(&asked, now);
    let ended = if asked.state == State::Started {
        let story = transaction.story_of(&asked.id)?;
        let final_reply = context.to_requester(&asked, head, |composer| composer.unknown(&asked, &story, now))?;
        Some((asked, final_reply))
    } else {
        None
    };
    admission::give_up_claimed(transaction, record, reply.clone(), ended, result, now)?;
    Ok((reply, point))
}
