//! What is measured, under which name. In: the ledger's counters. Out: families of samples.

use super::family::{Family, Kind, Sample};
use crate::error::Reason;
use crate::ledger::{BUCKETS, Counter, Series, Tally};
use crate::protocol::Timestamp;
use crate::reply::visible;

/// The families for `tally`, at `now`.
pub(super) fn families(tally: &Tally, now: Timestamp) -> Vec<Family> {
    let counters = Counters(&tally.counters);
    let gauge = |name, unit, help, value| {
        let samples = vec![Sample { suffix: "", labels: Vec::new(), value }];
        Family { name, kind: Kind::Gauge, unit, help, samples }
    };
    let counter = |name, help, samples| Family { name, kind: Kind::Counter, unit: "", help, samples };
    let oldest = tally.oldest_open.map_or(0, |oldest| u64::try_from(now.seconds() - oldest.seconds()).unwrap_or(0));
    vec![
        Family {
            samples: vec![Sample {
                suffix: "",
                labels: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
                value: 1,
            }],
            ..gauge("mailsudo_build_info", "", "The version of mailsudo that wrote this.", 1)
        },
        counter(
            "mailsudo_requests",
            "Requests that have ended, by result and by the reason of a refusal.",
            counters.ended(),
        ),
        counter("mailsudo_requests_recorded", "Requests that were recorded.", counters.one(Series::Recorded)),
        counter("mailsudo_requests_pruned", "Requests that pruning has removed.", counters.one(Series::Pruned)),
        counter(
            "mailsudo_commands",
            "Runs of a command, by result.",
            counters.labelled("command", &["command", "result"], &[]),
        ),
        Family {
            name: "mailsudo_command_duration_seconds",
            kind: Kind::Histogram,
            unit: "seconds",
            help: "How long commands took, in whole seconds.",
            samples: counters.durations(),
        },
        counter("mailsudo_replies", "Replies that were sent.", counters.one(Series::Replied)),
        counter(
            "mailsudo_deferrals",
            "Deferrals of which the ledger could be told, by the part that could not serve.",
            counters.labelled("deferred", &["part"], &["busy", "configuration", "sendmail", "smtp", "syslog"]),
        ),
        counter("mailsudo_lockouts", "Lockouts that began.", counters.one(Series::LockedOut)),
        counter(
            "mailsudo_approvals",
            "What happened to requests that need approval.",
            counters.labelled(
                "approval",
                &["event"],
                &["approved", "asked", "cancelled", "denied", "exception", "lapsed", "withdrew"],
            ),
        ),
        gauge("mailsudo_ledger_requests", "", "Requests on the ledger.", tally.requests),
        gauge("mailsudo_locked_out_users", "", "Users who are locked out now.", tally.locked_out),
        gauge(
            "mailsudo_oldest_unfinished_seconds",
            "seconds",
            "Age of the oldest request without a sent reply; 0 if there is none.",
            oldest,
        ),
    ]
}

/// The counters, by the words of their series.
struct Counters<'c>(&'c [Counter]);

impl Counters<'_> {
    /// A series without labels.
    fn one(&self, series: Series<'_>) -> Vec<Sample> {
        self.labelled(&series.to_string(), &[], &[])
    }

    /// All series that begin with `word`, with the words after it as labels. A value in `known` that has not occurred
    /// yet is 0 and not absent, so that an alert sees the change.
    fn labelled(&self, word: &str, labels: &[&'static str], known: &[&str]) -> Vec<Sample> {
        let mut samples = Vec::new();
        let found = self.0.iter().filter(|counter| counter.words.first().is_some_and(|first| first == word));
        let found: Vec<_> = found.filter(|counter| counter.words.len() == labels.len() + 1).collect();
        for counter in &found {
            let values = counter.words.iter().skip(1).map(|value| visible(value));
            samples.extend(counted(labels.iter().copied().zip(values).collect(), counter));
        }
        let is_new = |value: &&&str| !found.iter().any(|counter| counter.words.iter().skip(1).eq([**value]));
        for value in known.iter().filter(is_new) {
            let labels = labels.iter().map(|label| (*label, (*value).to_owned())).collect();
            samples.push(Sample { suffix: "_total", labels, value: 0 });
        }
        samples
    }

    /// Requests that have ended: by result, and refusals by reason.
    fn ended(&self) -> Vec<Sample> {
        let known =
            Reason::ALL.iter().filter(|reason| reason.effect().recorded).map(|reason| ("refused", reason.code()));
        let results =
            ["cancelled", "denied", "failed", "killed", "lapsed", "succeeded", "timed-out", "unknown", "voted"];
        let known = known.chain(results.map(|result| (result, "-")));
        let labels = |result: &str, reason: &str| {
            let reason = if reason == "-" { "" } else { reason };
            vec![("result", visible(result)), ("reason", visible(reason))]
        };
        let mut samples = Vec::new();
        let mut found: Vec<(&str, &str)> = Vec::new();
        for counter in self.0 {
            if let [first, result, reason] = counter.words.as_slice()
                && first == "ended"
            {
                found.push((result, reason));
                samples.extend(counted(labels(result, reason), counter));
            }
        }
        let new = known.filter(|pair| !found.contains(pair));
        samples.extend(new.map(|(result, reason)| Sample {
            suffix: "_total",
            labels: labels(result, reason),
            value: 0,
        }));
        samples
    }

    /// The histogram of durations. The ledger counts each run in one bucket, and Prometheus in all that it fits into.
    fn durations(&self) -> Vec<Sample> {
        let find = |series: Series<'_>| {
            let text = series.to_string();
            self.0.iter().find(|counter| counter.words.join(" ") == text)
        };
        let value = |series| find(series).map_or(0, |counter| counter.value);
        let mut below = 0;
        let mut samples = Vec::new();
        let mut bucket = |bound: String, count: u64| {
            below += count;
            samples.push(Sample { suffix: "_bucket", labels: vec![("le", bound)], value: below });
        };
        for bound in BUCKETS {
            bucket(format!("{bound}.0"), value(Series::Took(Some(bound))));
        }
        bucket("+Inf".to_owned(), value(Series::Took(None)));
        let sample = |suffix, value| Sample { suffix, labels: Vec::new(), value };
        samples.push(sample("_sum", value(Series::Seconds)));
        samples.push(sample("_count", below));
        let since = find(Series::Seconds).and_then(|counter| counter.since);
        samples
            .extend(since.and_then(|since| u64::try_from(since.seconds()).ok()).map(|since| sample("_created", since)));
        samples
    }
}

/// A counter's value, and since when it is counted.
fn counted(labels: Vec<(&'static str, String)>, counter: &Counter) -> Vec<Sample> {
    let since = counter.since.and_then(|since| u64::try_from(since.seconds()).ok());
    let created = since.map(|value| Sample { suffix: "_created", labels: labels.clone(), value });
    std::iter::once(Sample { suffix: "_total", labels, value: counter.value }).chain(created).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(series: &str, value: u64) -> Counter {
        let words = series.split(' ').map(str::to_owned).collect();
        Counter { words, value, since: Some(Timestamp::from_seconds(50)) }
    }

    #[test]
    fn what_was_counted_has_its_family_and_what_was_not_is_zero() {
        let counters = vec![
            counter("command restart succeeded", 2),
            counter("ended refused bad-code", 2),
            counter("ended succeeded -", 3),
            counter("replied", 5),
            counter("seconds", 21),
            counter("took 1", 2),
            counter("took more", 1),
        ];
        let oldest_open = Some(Timestamp::from_seconds(40));
        let tally = Tally { counters, requests: 4, locked_out: 1, oldest_open };
        let families = families(&tally, Timestamp::from_seconds(100));
        let value = |name: &str, suffix: &str, wanted: &[(&str, &str)]| {
            let family = families.iter().find(|family| family.name == name).expect("a family");
            let is_it = |sample: &&Sample| {
                let labels: Vec<_> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                sample.suffix == suffix && labels == wanted
            };
            family.samples.iter().find(is_it).map(|sample| sample.value)
        };
        let requests = |result, reason| value("mailsudo_requests", "_total", &[("result", result), ("reason", reason)]);
        assert_eq!((requests("refused", "bad-code"), requests("succeeded", "")), (Some(2), Some(3)));
        assert_eq!((requests("refused", "locked-out"), requests("unknown", "")), (Some(0), Some(0)));
        let restart = [("command", "restart"), ("result", "succeeded")];
        assert_eq!(value("mailsudo_commands", "_total", &restart), Some(2));
        assert_eq!(value("mailsudo_commands", "_created", &restart), Some(50));
        let bucket = |bound| value("mailsudo_command_duration_seconds", "_bucket", &[("le", bound)]);
        assert_eq!(
            (bucket("0.0"), bucket("1.0"), bucket("600.0"), bucket("+Inf")),
            (Some(0), Some(2), Some(2), Some(3))
        );
        assert_eq!(value("mailsudo_command_duration_seconds", "_sum", &[]), Some(21));
        assert_eq!(value("mailsudo_command_duration_seconds", "_count", &[]), Some(3));
        assert_eq!(value("mailsudo_oldest_unfinished_seconds", "", &[]), Some(60));
        assert_eq!(value("mailsudo_locked_out_users", "", &[]), Some(1));
        assert_eq!(value("mailsudo_deferrals", "_total", &[("part", "sendmail")]), Some(0));
    }
}
