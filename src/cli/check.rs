//! `mailsudo check`: finds what can make the gateway fail.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::stdout::{self, Colour};
use super::{GatewayArg, Progress, print_json};
use crate::check::{Depth, Finding, Level, Report, check, count};
use crate::system::clock::{Clock, SystemClock};

/// Check what can make a gateway fail, and print the remedies
///
/// One line for each thing: ok, warning or error, with the remedy; with -q, what is correct is left out. Run it as
/// root, who may read all files. Exit status 0: all is well. 1: warnings. 2: errors.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo check --json | jq '.findings[] | select(.level != \"ok\")'")]
pub(super) struct Check {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Read all of the ledger, too, and say whether it is sound; and try each sudo rule. For minutes, if there is much
    #[arg(long)]
    deep: bool,

    /// Print as a plugin of Nagios or Icinga
    #[arg(long, conflicts_with = "json")]
    nagios: bool,

    /// Print JSON, for monitoring
    #[arg(long)]
    json: bool,
}

/// The output of a plugin (Monitoring Plugins Development Guidelines): the worst findings in the first line, then `|`
/// and the numbers, then one line for each finding that is not ok. A `|` of a finding would begin the numbers. A
/// threshold is the largest value that raises nothing, so it is 0.
fn nagios(report: &Report) -> String {
    let of = |level| report.findings.iter().filter(move |finding| finding.level == level);
    let (errors, warnings) = (of(Level::Error).count(), of(Level::Warning).count());
    let worst = report.worst();
    let word = match worst {
        Level::Ok => "OK",
        Level::Warning => "WARNING",
        Level::Error => "CRITICAL",
    };
    let line = |finding: &Finding| format!("{}: {}", finding.about, finding.what).replace(['|', '\n'], " ");
    let first = match of(worst).next() {
        Some(finding) if worst != Level::Ok => line(finding),
        _ => count(report.findings.len(), "check"),
    };
    let mut text = format!("MAILSUDO {word} - {first} | errors={errors};;0;0 warnings={warnings};0;;0");
    for finding in of(Level::Error).chain(of(Level::Warning)) {
        text.push_str(&format!("\n{} {}", finding.level.word(), line(finding)));
    }
    text
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode> {
        let progress = if self.deep { Progress::with_time("looking") } else { Progress::show("looking") };
        let depth = if self.deep { Depth::Deep } else { Depth::Quick };
        let report = check(&self.gateway_arg.config, depth, SystemClock.now());
        drop(progress);
        let shown: Vec<_> =
            report.findings.iter().filter(|finding| !stdout::is_quiet() || finding.level != Level::Ok).collect();
        if self.json {
            let findings = shown.iter().map(|finding| {
                json!({ "level": finding.level.word(), "about": finding.about, "what": finding.what, "remedy": finding.remedy })
            });
            print_json(&json!({ "worst": report.worst().word(), "findings": findings.collect::<Vec<_>>() }))?;
        } else if self.nagios {
            outln!("{}", nagios(&report))?;
        } else {
            for finding in shown {
                let colour = match finding.level {
                    Level::Ok => Colour::Green,
                    Level::Warning => Colour::Yellow,
                    Level::Error => Colour::Red,
                };
                let level = format!("{:<8}", finding.level.word());
                stdout::coloured("", colour, &level, &format!("{}: {}", finding.about, finding.what))?;
                if !finding.remedy.is_empty() {
                    outln!("        remedy: {}", finding.remedy)?;
                }
            }
        }
        Ok(ExitCode::from(match report.worst() {
            Level::Ok => 0,
            Level::Warning => 1,
            Level::Error => 2,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_has_one_line_its_numbers_and_the_findings() {
        let finding =
            |level, what: &str| Finding { level, about: "ledger", what: what.to_owned(), remedy: String::new() };
        let mut report = Report::default();
        report.findings.push(finding(Level::Ok, "fine"));
        assert_eq!(nagios(&report), "MAILSUDO OK - 1 check | errors=0;;0;0 warnings=0;0;;0");
        report.findings.extend([finding(Level::Warning, "old"), finding(Level::Error, "a|b\nc")]);
        let expected = "MAILSUDO CRITICAL - ledger: a b c | errors=1;;0;0 warnings=1;0;;0\nerror ledger: a b c\nwarning ledger: old";
        assert_eq!(nagios(&report), expected);
    }
}
