//! `mailsudo metrics`: the ledger in Prometheus text format, for node_exporter's textfile collector.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{GatewayArg, open_ledger, stdout};
use crate::error::Reason;
use crate::ledger::{BUCKETS, State, Tally};
use crate::protocol::Timestamp;
use crate::reply::visible;
use crate::system::clock::{Clock, SystemClock};
use crate::system::files::{Rights, replace};

/// Print counts from the ledger in Prometheus text format
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo metrics --output /var/lib/prometheus/node-exporter/mailsudo.prom")]
pub(super) struct Metrics {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Write to this file, in one step, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Metrics {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let now = SystemClock.now();
        let text = exposition(&open_ledger(&gateway)?.tally(now)?, gateway.settings().gateway.as_str(), now);
        match &self.output {
            Some(path) => replace(path, text.as_bytes(), Rights { mode: 0o644, owner: None })?,
            None => stdout::text(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A label's value: backslash, quote and line end escaped. A word in the ledger is a known one, unless the ledger was changed.
fn label(word: &str) -> String {
    visible(word).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The text exposition format, version 0.0.4.
fn exposition(tally: &Tally, gateway: &str, now: Timestamp) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, u64)>| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in samples {
            let (suffix, labels) = labels.split_once('|').unwrap_or(("", &labels));
            text.push_str(&format!("{name}{suffix}{{gateway=\"{gateway}\"{labels}}} {value}\n"));
        }
    };
    let labelled = |key: &str, rows: &[(String, u64)]| {
        rows.iter().map(|(word, count)| (format!(",{key}=\"{}\"", label(word)), *count)).collect()
    };
    // A value that has not occurred yet is 0 and not absent, so that an alert sees the change.
    let with_zeros = |rows: &[(String, u64)], words: &mut dyn Iterator<Item = &'static str>| {
        let mut all: BTreeMap<_, _> = words.map(|word| (word.to_owned(), 0)).collect();
        all.extend(rows.iter().cloned());
        all.into_iter().collect::<Vec<_>>()
    };
    let states = with_zeros(&tally.states, &mut State::ALL.iter().map(|state| state.word()));
    let recorded = Reason::ALL.iter().filter(|reason| reason.effect().recorded);
    let reasons = with_zeros(&tally.reasons, &mut recorded.map(|reason| reason.code()));
    let one = |value: u64| vec![(String::new(), value)];
    family("mailsudo_requests", "gauge", "Requests on the ledger, by state.", labelled("state", &states));
    family("mailsudo_refusals", "gauge", "Refused requests on the ledger, by reason.", labelled("reason", &reasons));
    family("mailsudo_lockouts", "gauge", "Users who are locked out now.", one(tally.locked_out));
    let age = tally.oldest_open.map_or(0, |oldest| u64::try_from(now.seconds() - oldest.seconds()).unwrap_or(0));
    let help = "Age of the oldest request without a sent reply; 0 if there is none.";
    family("mailsudo_oldest_unfinished_seconds", "gauge", help, one(age));
    let mut samples: Vec<_> = BUCKETS
        .iter()
        .zip(&tally.durations)
        .map(|(bound, count)| (format!("_bucket|,le=\"{bound}\""), *count))
        .collect();
    samples.push(("_bucket|,le=\"+Inf\"".to_owned(), tally.ended.0));
    samples.push(("_sum|".to_owned(), tally.ended.1));
    samples.push(("_count|".to_owned(), tally.ended.0));
    family("mailsudo_duration_seconds", "histogram", "How long commands took, in whole seconds.", samples);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exposition_is_prometheus_own() {
        let tally = Tally {
            states: vec![("finished".to_owned(), 3)],
            reasons: vec![("bad-code".to_owned(), 2)],
            durations: vec![1, 1, 2, 2, 3, 3, 3, 3],
            ended: (3, 21),
            locked_out: 1,
            oldest_open: Some(Timestamp::from_seconds(40)),
        };
        let text = exposition(&tally, "berlin", Timestamp::from_seconds(100));
        for line in [
            "mailsudo_requests{gateway=\"berlin\",state=\"finished\"} 3",
            "mailsudo_requests{gateway=\"berlin\",state=\"waiting\"} 0",
            "mailsudo_refusals{gateway=\"berlin\",reason=\"locked-out\"} 0",
            "mailsudo_refusals{gateway=\"berlin\",reason=\"bad-code\"} 2",
            "mailsudo_lockouts{gateway=\"berlin\"} 1",
            "mailsudo_oldest_unfinished_seconds{gateway=\"berlin\"} 60",
            "# TYPE mailsudo_duration_seconds histogram",
            "mailsudo_duration_seconds_bucket{gateway=\"berlin\",le=\"5\"} 2",
            "mailsudo_duration_seconds_bucket{gateway=\"berlin\",le=\"+Inf\"} 3",
            "mailsudo_duration_seconds_sum{gateway=\"berlin\"} 21",
            "mailsudo_duration_seconds_count{gateway=\"berlin\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
