//! What is counted about a request when it ends. In: its record. Out: the counts, for the transaction that records the
//! end.

use crate::ledger::{Counts, Record, Series, State};
use crate::protocol::RunResult;

/// The counts of a request that has ended; none of one that goes on.
pub(super) fn ended(record: &Record) -> Counts {
    let mut counts = Counts::default();
    let Some(result) = result(record) else {
        return counts;
    };
    counts.one(Series::Ended(result, record.reason.as_deref()));
    if record.state == State::Lapsed {
        counts.one(Series::Approval("lapsed"));
    }
    // Only a configured command has an argument vector: not the built-in ones, and no vote.
    let (Some(started), Some(finished), Some(_)) = (record.started, record.finished, &record.argv) else {
        return counts;
    };
    counts.one(Series::Command(&record.command, result));
    // Of an unknown end the time is not known, and what sudo refused took none.
    if !matches!(record.result, Some(RunResult::Unknown | RunResult::Refused)) {
        let seconds = u64::try_from(finished.seconds() - started.seconds()).unwrap_or(0);
        counts.one(Series::took(seconds));
        counts.add(Series::Seconds, seconds);
    }
    counts
}

/// One of `series`.
pub(super) fn one(series: Series<'_>) -> Counts {
    let mut counts = Counts::default();
    counts.one(series);
    counts
}

/// How a request has ended, in few words: a number of statuses and signals would make as many series.
fn result(record: &Record) -> Option<&'static str> {
    match record.state {
        State::Waiting | State::Started | State::Pending => None,
        State::Refused => Some("refused"),
        State::Denied => Some("denied"),
        State::Lapsed => Some("lapsed"),
        State::Cancelled => Some("cancelled"),
        State::Finished => Some(match record.result {
            Some(RunResult::Exit(0)) => "succeeded",
            Some(RunResult::Exit(_)) => "failed",
            Some(RunResult::Signal(_)) => "killed",
            Some(RunResult::TimedOut) => "timed-out",
            Some(RunResult::Refused) => "refused",
            // What a vote says about the request that it is about.
            Some(RunResult::Pending | RunResult::Denied | RunResult::Lapsed | RunResult::Cancelled) => "voted",
            Some(RunResult::Unknown) | None => "unknown",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{RequestId, Timestamp};

    fn record(state: State, result: Option<RunResult>) -> Record {
        let at = Timestamp::from_seconds;
        Record {
            id: RequestId::from_bytes([1; 32]),
            user: "alice".to_owned(),
            command: "restart".to_owned(),
            arguments: String::new(),
            signed: at(100),
            first_seen: at(100),
            state,
            reason: None,
            step: Some(1),
            run_as: Some("root".to_owned()),
            argv: Some("/bin/x".to_owned()),
            started: Some(at(100)),
            finished: Some(at(107)),
            result,
            reply: None,
            replied: None,
            queue_id: None,
            audit_lost: 0,
            holds_until: None,
        }
    }

    fn counted(series: &[Series<'_>]) -> Counts {
        let mut counts = Counts::default();
        for series in series {
            counts.one(*series);
        }
        counts
    }

    #[test]
    fn a_run_is_counted_with_its_time() {
        let mut expected =
            counted(&[Series::Ended("failed", None), Series::Command("restart", "failed"), Series::Took(Some(15))]);
        expected.add(Series::Seconds, 7);
        assert_eq!(ended(&record(State::Finished, Some(RunResult::Exit(3)))), expected);
    }

    #[test]
    fn what_goes_on_is_not_counted_and_an_unknown_end_took_no_known_time() {
        assert_eq!(ended(&record(State::Started, None)), Counts::default());
        let unknown = [Series::Ended("unknown", None), Series::Command("restart", "unknown")];
        assert_eq!(ended(&record(State::Finished, Some(RunResult::Unknown))), counted(&unknown));
    }

    #[test]
    fn a_refusal_and_a_built_in_command_run_nothing() {
        let refused = Record {
            reason: Some("bad-code".to_owned()),
            started: None,
            argv: None,
            ..record(State::Refused, Some(RunResult::Refused))
        };
        assert_eq!(ended(&refused), counted(&[Series::Ended("refused", Some("bad-code"))]));
        let help = Record { argv: None, ..record(State::Finished, Some(RunResult::Exit(0))) };
        assert_eq!(ended(&help), counted(&[Series::Ended("succeeded", None)]));
    }
}
