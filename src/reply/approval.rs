//! The replies about approvals: that a request waits, what a vote did, and how a request ended without a run. In: records and what
//! was decided. Out: finished messages.

use super::compose::{Content, ReplyComposer, host, title};
use super::text::visible;
use crate::admission::Announcement;
use crate::authorize::{Invocation, Required};
use crate::execute::Outcome;
use crate::ledger::{Record, State, StoredReply, Story, Vote, VoteKind};
use crate::limits::FIRST_LINE;
use crate::protocol::{RequestId, RunResult, Timestamp};

impl ReplyComposer<'_> {
    /// The reply to a request that waits for approval.
    pub fn pending(
        &self,
        invocation: &Invocation,
        required: &Required,
        announcement: &Announcement,
        id: &RequestId,
        now: Timestamp,
    ) -> StoredReply {
        let approval = announcement.approval();
        let asked: Vec<_> = announcement.notices().iter().map(|notice| notice.user.as_str()).collect();
        let facts = vec![
            ("host", host()),
            ("run as", invocation.run_as().to_string()),
            ("needed", format!("{} of {}", approval.needed, required.terms().approvers())),
            ("until", approval.until.to_string()),
            ("digest", approval.digest.to_string()),
        ];
        let body = format!(
            "It waits for approval, and has not run. A notice goes to {}. Another reply follows when it is decided. If nobody \
             decides until {}, it lapses, and no further reply comes unless somebody asks.\n\n\
             To cancel it, sign: cancel id={id}\n",
            asked.join(", "),
            approval.until
        );
        self.write(Content { result: RunResult::Pending, facts, body }, now)
    }

    /// The final reply to a request that was denied, cancelled or has lapsed. `why` is a sentence.
    pub fn concluded(&self, result: RunResult, votes: &[Vote], why: &str, now: Timestamp) -> StoredReply {
        let mut facts = vec![("host", host())];
        facts.extend(history(votes));
        let body = format!("Nothing was run. {}\n", visible(why));
        self.write(Content { result, facts, body }, now)
    }

    /// The reply to a vote that was counted and started no run.
    pub fn counted(&self, asked: &Record, what: &str, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let body = format!("{}\n", visible(what));
        self.write(Content { result: RunResult::Exit(0), facts, body }, now)
    }

    /// The reply to a vote that was the last one needed, where nothing ran.
    pub fn not_run(&self, asked: &Record, why: &str, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let body = format!("It has lapsed, and nothing was run. {}\n", visible(why));
        self.write(Content { result: RunResult::Lapsed, facts, body }, now)
    }

    /// The reply to a vote that ran a request whose output its approvers do not get.
    pub fn ran_unseen(&self, asked: &Record, outcome: &Outcome, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let body = "Your approval was the last one needed, and the command ran. The requester has its output.\n";
        self.write(Content { result: outcome.result(), facts, body: body.to_owned() }, now)
    }

    /// The reply to a vote whose delivery died after it had started the run.
    pub fn vote_resumed(&self, asked: &Record, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let result = asked.result.unwrap_or(RunResult::Unknown);
        let body = "Your approval was the last one needed, and the command was started. The gateway stopped while it ran or while \
                    it wrote its answer; the requester has the reply.\n";
        self.write(Content { result, facts, body: body.to_owned() }, now)
    }
}

/// The fact that names the request of a vote.
pub fn about(asked: &Record) -> (&'static str, String) {
    let title = super::text::shorten(&title(&asked.command, &asked.arguments), FIRST_LINE);
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
    let result = record.result.map(|result| result.to_string()).unwrap_or_default();
    let exception = story.approval.as_ref().and_then(|approval| approval.exception.as_deref());
    let what = match (record.state, exception) {
        (State::Started, _) => "it was approved, and was started".to_owned(),
        (_, Some(role)) => format!("it ran without approval, by the role {role}: {result}"),
        (State::Finished, None) => format!("it was approved and ran: {result}"),
        (State::Denied, _) => "it was denied".to_owned(),
        (State::Cancelled, _) => "its user cancelled it".to_owned(),
        (State::Lapsed, _) => "it has lapsed".to_owned(),
        (state, None) => format!("it is {}", state.word()),
    };
    format!("{what}{votes}")
}
