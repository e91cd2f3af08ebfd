//! The replies about approvals: that a request waits, what a vote did, and how a request ended without a run. In:
//! records and what was decided. Out: finished messages.

use super::compose::{Content, ReplyComposer, host};
use super::history::{about, history};
use super::text::visible;
use super::words::run_in_words;
use crate::admission::Announcement;
use crate::authorize::{Invocation, Required};
use crate::execute::Outcome;
use crate::ledger::{Record, StoredReply, Vote};
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
            ("run as", self.run_as(invocation)),
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
        let known = if result == RunResult::Unknown { "" } else { "Nothing was run. " };
        let body = format!("{known}{}\n", visible(why));
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

    /// The reply to a vote that started the run of a request whose output its approvers do not get.
    pub fn unseen(&self, asked: &Record, outcome: &Outcome, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let what = run_in_words(outcome.result());
        let body = format!("Your approval was the last one needed, and {what}. The requester gets the reply.\n");
        self.write(Content { result: outcome.result(), facts, body }, now)
    }

    /// The reply to a vote whose delivery died after it had recorded the start of the run.
    pub fn vote_resumed(&self, asked: &Record, now: Timestamp) -> StoredReply {
        let facts = vec![("host", host()), about(asked)];
        let result = asked.result.unwrap_or(RunResult::Unknown);
        let what = run_in_words(result);
        let body = format!("Your approval was the last one needed, and {what}. The requester gets the reply.\n");
        self.write(Content { result, facts, body }, now)
    }
}
