//! `mailsudo metrics`: the ledger's counters for Prometheus.

mod families;
mod family;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::{GatewayArg, open_ledger, stdout};
use crate::system::clock::{Clock, SystemClock};
use crate::system::files::{Rights, replace};

use families::families;
use family::{Family, Kind, Sample};

/// Print the ledger's counters for Prometheus
///
/// The counters go on when requests are pruned. What the ledger never sees is not counted: mail that is refused before
/// its mac is found to be right, and deferrals while the ledger cannot be used.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo metrics --output /var/lib/prometheus/node-exporter/mailsudo.prom")]
pub(super) struct Metrics {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Write to this file, in one step, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The format: `text`, which the node exporter's textfile collector reads, or `openmetrics`
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A text format of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text exposition format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    Openmetrics,
}

impl Metrics {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let now = SystemClock.now();
        let families = families(&open_ledger(&gateway)?.tally(now)?, now);
        let text = exposition(&families, gateway.settings().gateway.as_str(), self.format);
        match &self.output {
            Some(path) => replace(path, text.as_bytes(), Rights { mode: 0o644, owner: None })?,
            None => stdout::text(&text)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A label's value: backslash, quote and line end escaped. A word in the ledger is a known one, unless the ledger was
/// changed.
fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The families as text. In the text format 0.0.4 a counter's own name ends with `_total`, and `_created` is a family
/// of its own. In OpenMetrics both are samples of the family, and all samples with the same labels stand side by side.
fn exposition(families: &[Family], gateway: &str, format: Format) -> String {
    let mut text = String::new();
    let line = |name: &str, sample: &Sample| {
        let labels = sample.labels.iter().map(|(name, value)| format!(",{name}=\"{}\"", escaped(value)));
        format!(
            "{name}{}{{gateway=\"{}\"{}}} {}\n",
            sample.suffix,
            escaped(gateway),
            labels.collect::<String>(),
            sample.value
        )
    };
    for Family { name, kind, unit, help, samples } in families {
        let is_open = format == Format::Openmetrics;
        let suffix = if *kind == Kind::Counter && !is_open { "_total" } else { "" };
        text.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {}\n", kind.word()));
        if is_open && !unit.is_empty() {
            text.push_str(&format!("# UNIT {name} {unit}\n"));
        }
        if is_open {
            text.extend(samples.iter().map(|sample| line(name, sample)));
            continue;
        }
        let (created, values): (Vec<_>, Vec<_>) = samples.iter().partition(|sample| sample.suffix == "_created");
        text.extend(values.iter().map(|sample| line(name, sample)));
        if !created.is_empty() {
            text.push_str(&format!("# HELP {name}_created Since when it is counted.\n# TYPE {name}_created gauge\n"));
        }
        text.extend(created.iter().map(|sample| line(name, sample)));
    }
    if format == Format::Openmetrics {
        text.push_str("# EOF\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Family {
        let sample = |suffix, value| Sample { suffix, labels: vec![("command", "a\"b\\c\nd".to_owned())], value };
        let samples = vec![sample("_total", 3), sample("_created", 100)];
        Family { name: "mailsudo_commands", kind: Kind::Counter, unit: "", help: "Runs.", samples }
    }

    #[test]
    fn a_counter_has_the_name_that_each_format_gives_it_and_its_labels_are_escaped() {
        let text = exposition(&[family()], "berlin", Format::Text);
        let labels = r#"{gateway="berlin",command="a\"b\\c\nd"}"#;
        let expected = format!(
            "# HELP mailsudo_commands_total Runs.\n# TYPE mailsudo_commands_total counter\nmailsudo_commands_total{labels} 3\n\
             # HELP mailsudo_commands_created Since when it is counted.\n# TYPE mailsudo_commands_created gauge\n\
             mailsudo_commands_created{labels} 100\n"
        );
        assert_eq!(text, expected);
        let open = exposition(&[family()], "berlin", Format::Openmetrics);
        let expected = format!(
            "# HELP mailsudo_commands Runs.\n# TYPE mailsudo_commands counter\nmailsudo_commands_total{labels} 3\n\
             mailsudo_commands_created{labels} 100\n# EOF\n"
        );
        assert_eq!(open, expected);
    }

    #[test]
    fn in_openmetrics_the_samples_of_one_series_stand_side_by_side() {
        let mut family = family();
        let second =
            family.samples.iter().map(|sample| Sample { labels: vec![("command", "b".to_owned())], ..*sample });
        family.samples.extend(second.collect::<Vec<_>>());
        let text = exposition(&[family], "berlin", Format::Openmetrics);
        let created = text.find("_created").expect("the first one's");
        assert!(created < text.find("command=\"b\"").expect("the second"), "{text}");
    }
}
