//! What is told of a request that needed approval: who voted and when, and what became of it. In: the records. Out:
//! words.

use super::text::{shorten, title};
use super::words::run_in_words;
use crate::ledger::{Record, State, Story, Vote, VoteKind};
use crate::limits::FIRST_LINE;
use crate::protocol::RunResult;

/// The fact that names the request of a vote.
pub fn about(asked: &Record) -> (&'static str, String) {
    let title = shorten(&title(&asked.command, &asked.arguments), FIRST_LINE);
    ("asked", format!("{} by {}: {title}", asked.id.short(), asked.user))
}

/// The facts that name who voted, and when.
pub fn history(votes: &[Vote]) -> Vec<(&'static str, String)> {
    let label = |kind| match kind {
        VoteKind::Approve => "approved",
        VoteKind::Deny => "denied",
        VoteKind::Withdraw => "withdrew",
        VoteKind::Cancel => "cancelled",
    };
    let words = |vote: &Vote| vote.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
    votes.iter().map(|vote| (label(vote.kind), format!("by {} at {}{}", vote.user, vote.at, words(vote)))).collect()
}

/// What became of a request that needed approval, in one sentence, for those who may judge it.
pub fn what_became(record: &Record, story: &Story) -> String {
    let votes = history(&story.votes).into_iter().map(|(kind, by)| format!("{kind} {by}")).collect::<Vec<_>>();
    let votes = if votes.is_empty() { String::new() } else { format!(" ({})", votes.join("; ")) };
    let ended = |result: Option<RunResult>| run_in_words(result.unwrap_or(RunResult::Unknown));
    let exception = story.approval.as_ref().and_then(|approval| approval.exception.as_deref());
    let what = match (record.state, exception) {
        (State::Started, None) => "it was approved, and its start is recorded".to_owned(),
        (State::Started, Some(role)) => format!("it needed no approval, by the role {role}, and its start is recorded"),
        (_, Some(role)) => format!("it needed no approval, by the role {role}, and {}", ended(record.result)),
        // Ended by a vote after another database server had taken over.
        (State::Finished, None) if record.started.is_none() => "whether it ran is not known".to_owned(),
        (State::Finished, None) => format!("it was approved, and {}", ended(record.result)),
        (State::Denied, _) => "it was denied".to_owned(),
        (State::Cancelled, _) => "its user cancelled it".to_owned(),
        (State::Lapsed, _) => "it has lapsed".to_owned(),
        (state, None) => format!("it is {}", state.word()),
    };
    format!("{what}{votes}")
}
