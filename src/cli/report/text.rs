//! A report as text, for a terminal and for a mail. In: a summary. Out: lines of at most about 78 columns.

use super::summary::Summary;
use crate::check::count;
use crate::cli::when;

/// The report.
pub(super) fn text(summary: &Summary) -> String {
    let all = summary.all;
    let mut text = format!(
        "mailsudo {}: {}\nfrom {}\nto   {}\n\n{} ok, {} failed, {} refused, {} not ended\n",
        summary.gateway,
        count(all.all(), "request"),
        when(summary.since),
        when(summary.until),
        all.ok,
        all.failed,
        all.refused,
        all.open
    );
    let mut section = |title: &str, head: &str, rows: Vec<String>| {
        if !rows.is_empty() {
            text.push_str(&format!("\n{title}\n{head}\n{}\n", rows.join("\n")));
        }
    };
    let users = summary.users.iter().map(|(user, ends)| {
        format!("  {user:<24} {:>8} {:>8} {:>8} {:>9}", ends.ok, ends.failed, ends.refused, ends.open)
    });
    let head = format!("  {:<24} {:>8} {:>8} {:>8} {:>9}", "", "ok", "failed", "refused", "not ended");
    section("Users", &head, users.collect());
    let commands = summary.commands.iter().map(|(command, runs)| {
        let mean = runs.seconds.checked_div(runs.timed).unwrap_or(0);
        format!("  {command:<24} {:>8} {:>8} {mean:>8} {:>8}", runs.ends.ok, runs.ends.failed, runs.longest)
    });
    let head = format!("  {:<24} {:>8} {:>8} {:>8} {:>8}", "", "ok", "failed", "mean s", "most s");
    section("Commands", &head, commands.collect());
    let refusals =
        summary.refusals.iter().map(|((reason, user), count)| format!("  {reason:<24} {user:<24} {count:>8}"));
    section("Refusals", &format!("  {:<24} {:<24} {:>8}", "reason", "user", "requests"), refusals.collect());
    let votes = summary.votes.iter().map(|((user, word), count)| format!("  {user:<24} {word:<24} {count:>8}"));
    section("Approvals", &format!("  {:<24} {:<24} {:>8}", "user", "vote", "requests"), votes.collect());
    let slowest = summary.slowest.iter().map(|run| {
        format!("  {:>6} s  {}  {}  {}\n            {}", run.seconds, run.id, when(run.at), run.user, run.command)
    });
    section("Slowest runs", "", slowest.collect());
    text
}
