//! What is counted in numbers that never fall: they outlive the requests that pruning removes. A backend keeps them in
//! a small table of its own, and changes them in the transactions that it writes anyway.

use std::collections::BTreeMap;
use std::fmt;

use super::LedgerError;
use crate::protocol::Timestamp;

/// The upper bounds, in seconds, in which the time that commands take is counted.
pub const BUCKETS: [u64; 8] = [0, 1, 5, 15, 30, 60, 300, 600];

/// One series of numbers, with its labels. [`Display`](fmt::Display) writes it as the ledger has it: words without a
/// space in them, separated by spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series<'s> {
    /// Requests that were recorded.
    Recorded,
    /// Requests that pruning has removed.
    Pruned,
    /// Replies that were sent.
    Replied,
    /// Requests that have ended, by result and by the reason of a refusal.
    Ended(&'s str, Option<&'s str>),
    /// Runs of a command, by result.
    Command(&'s str, &'s str),
    /// Runs that took no longer than this many seconds, and longer than the bound before; `None`: longer than the last
    /// bound.
    Took(Option<u64>),
    /// The seconds that all of these runs took.
    Seconds,
    /// Deferrals of which the ledger could be told, by the part that could not serve.
    Deferred(&'s str),
    /// Lockouts that began.
    LockedOut,
    /// What happened to requests that need approval.
    Approval(&'s str),
}

impl fmt::Display for Series<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded => f.write_str("recorded"),
            Self::Pruned => f.write_str("pruned"),
            Self::Replied => f.write_str("replied"),
            Self::Ended(result, reason) => write!(f, "ended {result} {}", reason.unwrap_or("-")),
            Self::Command(name, result) => write!(f, "command {name} {result}"),
            Self::Took(Some(bound)) => write!(f, "took {bound}"),
            Self::Took(None) => f.write_str("took more"),
            Self::Seconds => f.write_str("seconds"),
            Self::Deferred(part) => write!(f, "deferred {part}"),
            Self::LockedOut => f.write_str("locked-out"),
            Self::Approval(event) => write!(f, "approval {event}"),
        }
    }
}

impl Series<'static> {
    /// The series that a new ledger has, so that none of them appears later with its first number already counted.
    pub(super) const FIRST: [Self; 4] = [Self::Recorded, Self::Pruned, Self::Replied, Self::LockedOut];

    /// The series of a run that took so many seconds.
    pub fn took(seconds: u64) -> Self {
        Self::Took(BUCKETS.into_iter().find(|bound| seconds <= *bound))
    }
}

/// By how much each series rises in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// One more.
    pub fn one(&mut self, series: Series<'_>) {
        self.add(series, 1);
    }

    /// So many more.
    pub fn add(&mut self, series: Series<'_>, by: u64) {
        let value = self.0.entry(series.to_string()).or_default();
        *value = value.saturating_add(by);
    }

    /// All that `other` counts, too.
    pub fn merge(&mut self, other: Self) {
        for (series, by) in other.0 {
            let value = self.0.entry(series).or_default();
            *value = value.saturating_add(by);
        }
    }

    /// Whether nothing is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each series and its rise, in one order for all writers: two that write at once never wait for each other.
    pub(super) fn each(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.0.iter().map(|(series, by)| (series.as_str(), i64::try_from(*by).unwrap_or(i64::MAX)))
    }
}

/// A series as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Its words: [`Series`].
    pub words: Vec<String>,
    /// Its value.
    pub value: u64,
    /// Since when it is counted, where that is known.
    pub since: Option<Timestamp>,
}

impl Counter {
    pub(super) fn new(series: &str, value: i64, since: i64) -> Result<Self, LedgerError> {
        let value = u64::try_from(value).map_err(|_| LedgerError::Corrupt("counter"))?;
        let since = (since > 0).then(|| Timestamp::from_seconds(since));
        Ok(Self { words: series.split(' ').map(str::to_owned).collect(), value, since })
    }
}

/// How many requests a ledger holds.
pub(super) fn held(counters: &[Counter]) -> u64 {
    let value = |series: Series<'_>| {
        let word = series.to_string();
        counters.iter().filter(|counter| counter.words == [word.as_str()]).map(|counter| counter.value).sum::<u64>()
    };
    value(Series::Recorded).saturating_sub(value(Series::Pruned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_in_one_bucket() {
        assert_eq!(Series::took(0), Series::Took(Some(0)));
        assert_eq!(Series::took(6), Series::Took(Some(15)));
        assert_eq!(Series::took(601).to_string(), "took more");
    }

    #[test]
    fn what_is_held_was_recorded_and_not_pruned() {
        let counter = |series, value| Counter::new(series, value, 0).expect("a counter");
        assert_eq!(held(&[counter("recorded", 7), counter("pruned", 3), counter("ended refused bad-code", 9)]), 4);
        assert!(matches!(Counter::new("recorded", -1, 0), Err(LedgerError::Corrupt(_))));
    }
}
