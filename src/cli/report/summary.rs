//! What a report says. In: records, the newest first. Out: counts by day, user, command, reason and vote, and the
//! slowest runs.

use std::collections::BTreeMap;

use crate::ledger::{Record, State};
use crate::limits::{PART_OF_DAY, REPORT_DAYS};
use crate::protocol::{RunResult, Timestamp};
use crate::reply::visible;

/// How many of the slowest runs are kept.
const SLOWEST: usize = 10;

/// How many requests ended in each way.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// Exit status 0.
    pub(super) ok: u64,
    /// Another status, a signal, the time limit, or an end that was not seen.
    pub(super) failed: u64,
    /// Refused, denied, lapsed or cancelled: nothing ran.
    pub(super) refused: u64,
    /// Not ended yet.
    pub(super) open: u64,
}

impl Ends {
    /// All of them.
    pub(super) fn all(&self) -> u64 {
        self.ok + self.failed + self.refused + self.open
    }

    fn count(&mut self, record: &Record) {
        let count = match (record.state, record.result) {
            (State::Waiting | State::Started | State::Pending, _) => &mut self.open,
            (State::Finished, Some(RunResult::Refused))
            | (State::Refused | State::Denied | State::Lapsed | State::Cancelled, _) => &mut self.refused,
            // The rest of these is what a vote says about the request that it is about.
            (
                State::Finished,
                Some(
                    RunResult::Exit(0)
                    | RunResult::Pending
                    | RunResult::Denied
                    | RunResult::Lapsed
                    | RunResult::Cancelled,
                ),
            ) => &mut self.ok,
            (State::Finished, _) => &mut self.failed,
        };
        *count += 1;
    }
}

/// One command's runs.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) ends: Ends,
    /// How many of them have a known time, the seconds that these took in all, and the longest.
    pub(super) timed: u64,
    pub(super) seconds: u64,
    pub(super) longest: u64,
}

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) seconds: u64,
    pub(super) command: String,
    pub(super) user: String,
    pub(super) at: Timestamp,
    pub(super) id: String,
}

/// What is reported.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) gateway: String,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    pub(super) all: Ends,
    /// By day in local time, `2026-11-29`; days without a request too, from `listed` on.
    pub(super) days: BTreeMap<String, Ends>,
    /// The moment from which all days are listed.
    listed: Timestamp,
    pub(super) users: BTreeMap<String, Ends>,
    pub(super) commands: BTreeMap<String, Runs>,
    /// Refusals, by reason and user.
    pub(super) refusals: BTreeMap<(String, String), u64>,
    /// Votes that counted, by user and word.
    pub(super) votes: BTreeMap<(String, String), u64>,
    /// The slowest runs, the slowest first.
    pub(super) slowest: Vec<Run>,
}

/// The day in local time, `2026-11-29`.
pub(super) fn day(time: Timestamp) -> Option<String> {
    let instant = jiff::Timestamp::from_second(time.seconds()).ok()?;
    Some(instant.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d").to_string())
}

impl Summary {
    /// An empty one, of the time from `since` to `until`.
    pub(super) fn new(gateway: String, since: Timestamp, until: Timestamp) -> Self {
        let mut summary = Self {
            gateway,
            since,
            until,
            all: Ends::default(),
            // A report until midnight has nothing of the day that begins then, as a rule.
            days: day(Timestamp::from_seconds(until.seconds().saturating_sub(1)))
                .map(|day| (day, Ends::default()))
                .into_iter()
                .collect(),
            listed: until,
            users: BTreeMap::new(),
            commands: BTreeMap::new(),
            refusals: BTreeMap::new(),
            votes: BTreeMap::new(),
            slowest: Vec::new(),
        };
        summary.list_days(since.max(until.minus(REPORT_DAYS)));
        summary
    }

    /// Lists all days from `first` on.
    fn list_days(&mut self, first: Timestamp) {
        let mut at = first;
        while at < self.listed {
            if let Some(day) = day(at) {
                self.days.entry(day).or_default();
            }
            at = at.plus(PART_OF_DAY);
        }
        self.listed = self.listed.min(first);
    }

    /// Adds a request.
    pub(super) fn add(&mut self, record: &Record) {
        self.all.count(record);
        self.list_days(record.first_seen);
        if let Some(day) = day(record.first_seen) {
            self.days.entry(day).or_default().count(record);
        }
        let user = visible(&record.user);
        self.users.entry(user.clone()).or_default().count(record);
        if let Some(reason) = &record.reason {
            *self.refusals.entry((visible(reason), user.clone())).or_default() += 1;
        }
        let is_vote = matches!(record.command.as_str(), "approve" | "deny" | "cancel");
        if is_vote && record.state == State::Finished {
            *self.votes.entry((user.clone(), visible(&record.command))).or_default() += 1;
        }
        // Only a configured command has an argument vector.
        if record.argv.is_some() {
            self.run(record, user);
        }
    }

    fn run(&mut self, record: &Record, user: String) {
        let command = visible(&record.command);
        let runs = self.commands.entry(command.clone()).or_default();
        runs.ends.count(record);
        let is_known = !matches!(record.result, None | Some(RunResult::Unknown | RunResult::Refused));
        let (Some(started), Some(finished), true) = (record.started, record.finished, is_known) else {
            return;
        };
        let seconds = u64::try_from(finished.seconds() - started.seconds()).unwrap_or(0);
        runs.timed += 1;
        runs.seconds += seconds;
        runs.longest = runs.longest.max(seconds);
        let place = self.slowest.partition_point(|run| run.seconds >= seconds);
        if place < SLOWEST {
            let command = format!("{command} {}", visible(&record.arguments).replace('\n', " ")).trim_end().to_owned();
            let run = Run { seconds, command, user, at: started, id: record.id.short() };
            self.slowest.insert(place, run);
            self.slowest.truncate(SLOWEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_seconds(day * 86_400)
    }

    #[test]
    fn no_day_is_left_out_of_a_long_span_and_none_is_counted_anew() {
        // The first day that is listed at once is listed again, in part, with those before it.
        let now = Timestamp::from_seconds(20_000 * 86_400 + 3600);
        let mut summary = Summary::new("berlin".to_owned(), at(0), now);
        assert!((401..=402).contains(&summary.days.len()), "{}", summary.days.len());
        for ends in summary.days.values_mut() {
            ends.ok = 1;
        }
        summary.list_days(at(19_000));
        assert!((1001..=1002).contains(&summary.days.len()), "{}", summary.days.len());
        assert!((401..=402).contains(&summary.days.values().map(Ends::all).sum::<u64>()));
        summary.list_days(at(19_500));
        assert!((1001..=1002).contains(&summary.days.len()));
    }
}
