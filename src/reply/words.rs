//! The sentences of replies that say what is known of a run. In: how it ended. Out: words, each in docs/statements.md.

use crate::error::Reason;
use crate::protocol::RunResult;

/// The outcome in the first line and the subject.
pub(super) fn words(result: RunResult) -> String {
    match result {
        RunResult::Exit(0) => "ok".to_owned(),
        RunResult::Exit(status) => format!("failed (exit {status})"),
        RunResult::Signal(number) => format!("killed (signal {number})"),
        RunResult::TimedOut => "timed out".to_owned(),
        RunResult::Refused => "refused".to_owned(),
        RunResult::Unknown => "outcome unknown".to_owned(),
        RunResult::Pending => "waits for approval".to_owned(),
        RunResult::Denied => "denied".to_owned(),
        RunResult::Lapsed => "lapsed".to_owned(),
        RunResult::Cancelled => "cancelled".to_owned(),
    }
}

/// What is known of a request that is refused for `reason`.
pub(super) fn no_run(reason: Reason) -> &'static str {
    match reason {
        // An earlier delivery, which the database has lost, may have run it.
        Reason::FailedOver => "It is not run now",
        // The request that the vote is about may have run, by another vote.
        Reason::UnknownRequest | Reason::OwnRequest | Reason::AlreadyApproved | Reason::NotPending => {
            "This has no effect"
        }
        _ => "Nothing was run",
    }
}

/// Why nothing was run of what was recorded as started.
pub(super) fn not_run(reason: Reason) -> &'static str {
    match reason {
        Reason::NotBegun => {
            "Nothing was run: the gateway was stopped for too long before it could start this command. Sign a new \
             request.\n"
        }
        _ => {
            "The gateway could not run this command: its sysadmin must correct it, and the log says what is wrong. \
             Nothing was run.\n"
        }
    }
}

/// What is known of a run without a recorded end. The start is recorded before anything is started.
pub(super) const UNKNOWN: &str = "The gateway recorded the start of this command, and has no record of its end. It may \
                                  have done all, some or none of its work; it is not run again. Look at what it changes \
                                  before you send a new request.\n";

/// The same of a built-in command.
pub(super) const UNANSWERED: &str = "The gateway stopped while it wrote its answer. Ask again.\n";

/// What became of a run, for users who do not get its output: a part of a sentence.
pub(super) fn run_in_words(result: RunResult) -> String {
    match result {
        RunResult::Refused => "nothing was run: the gateway could not start it".to_owned(),
        RunResult::Unknown => "the gateway recorded its start, and has no record of its end".to_owned(),
        result => format!("it ran: {result}"),
    }
}

/// How a reply to a request that needed no approval, by an exception, begins.
pub(super) fn without_approval(role: &str) -> String {
    format!(
        "WITHOUT APPROVAL: this did not wait for approval, because you have the role {role}. Every approver is told.\n\n"
    )
}

/// What stands for the command where a message could not be encrypted.
pub(super) const WITHHELD_TITLE: &str = "withheld";

/// What is said where a message could not be encrypted.
pub(super) const WITHHELD: &str = "This is all, because the rest could not be encrypted: not the command, its arguments or \
                                   its output. The gateway's log says why; tell its sysadmin.\n";
