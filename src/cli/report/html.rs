//! A report as one HTML page: no script, nothing from elsewhere, charts in SVG, for a screen and for paper. In: a
//! summary. Out: HTML.
//!
//! MUST: what the ledger holds is text here and never markup.

use std::fmt::Write;

use super::summary::{Ends, Summary};
use crate::check::count;
use crate::cli::when;

const STYLE: &str = include_str!("report.css");

/// Text as HTML's text, also within an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The page.
pub(super) fn page(summary: &Summary) -> String {
    let all = summary.all;
    let gateway = escaped(&summary.gateway);
    let figures = [("ok", all.ok), ("failed", all.failed), ("refused", all.refused), ("not ended", all.open)];
    let figures: Vec<_> = figures
        .iter()
        .map(|(name, count)| {
            let class = name.replace(' ', "-");
            format!("<div class=\"figure {class}\"><b>{count}</b><span>{name}</span></div>")
        })
        .collect();
    let sections = [
        section("Requests by day", &days(summary)),
        section("Commands", &commands(summary)),
        section("Users", &users(summary)),
        section("Refusals", &pairs(["Reason", "User"], &summary.refusals)),
        section("Approvals", &pairs(["User", "Vote"], &summary.votes)),
        section("Slowest runs", &slowest(summary)),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>mailsudo {gateway}: report</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>mailsudo {gateway}</h1>\n\
         <p class=\"span\">{} from {} to {}</p>\n<div class=\"figures\">{}</div>\n{}</body>\n</html>\n",
        count(all.all(), "request"),
        when(summary.since),
        when(summary.until),
        figures.concat(),
        sections.concat()
    )
}

/// A part of the page; one without content says so.
fn section(title: &str, content: &str) -> String {
    let content = if content.is_empty() { "<p class=\"none\">None.</p>" } else { content };
    format!("<section>\n<h2>{title}</h2>\n{content}</section>\n")
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |cells: &[String]| {
        let cells: Vec<_> = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let head: Vec<_> = head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let (head, rows) = (head.concat(), rows.iter().map(|cells| row(cells)).collect::<String>());
    format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

/// Bars of one day each, with what ended in each way on top of each other.
fn days(summary: &Summary) -> String {
    let most = summary.days.values().map(Ends::all).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let (width, height, left, bottom) = (720.0, 180.0, 40.0, 22.0);
    let count = f64::from(u32::try_from(summary.days.len()).unwrap_or(u32::MAX));
    let step = (width - left) / count;
    let scale = |value: u64| (height - bottom - 12.0) * float(value) / float(most);
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"requests by day\">\n");
    let base = height - bottom;
    let top = base - scale(most);
    let _ = write!(
        svg,
        "<line class=\"axis\" x1=\"{left}\" y1=\"{base}\" x2=\"{width}\" y2=\"{base}\"/>\n\
         <text x=\"{0}\" y=\"{base}\" class=\"right\">0</text>\n<text x=\"{0}\" y=\"{1:.1}\" class=\"right\">{most}</text>\n",
        left - 6.0,
        top + 4.0
    );
    // As many names of days as fit.
    let every = (summary.days.len() / 8).max(1);
    let mut x = left;
    for (at, (day, ends)) in summary.days.iter().enumerate() {
        let title =
            format!("{day}: {} ok, {} failed, {} refused, {} not ended", ends.ok, ends.failed, ends.refused, ends.open);
        let _ = write!(svg, "<g><title>{title}</title>");
        let mut y = base;
        for (class, value) in
            [("ok", ends.ok), ("failed", ends.failed), ("refused", ends.refused), ("not-ended", ends.open)]
        {
            let tall = scale(value);
            y -= tall;
            if value > 0 {
                let (x, wide) = (x + step * 0.1, step * 0.8);
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"/>"
                );
            }
        }
        svg.push_str("</g>\n");
        if at % every == 0 {
            let month = day.get(5..).unwrap_or(day);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" class=\"middle\">{month}</text>",
                x + step / 2.0,
                height - 6.0
            );
        }
        x += step;
    }
    svg + "</svg>\n"
}

fn float(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

fn commands(summary: &Summary) -> String {
    let rows = summary.commands.iter().map(|(command, runs)| {
        let mean = runs.seconds.checked_div(runs.timed).unwrap_or(0);
        let numbers = [runs.ends.ok, runs.ends.failed, runs.ends.refused, runs.ends.open];
        let mut cells = vec![command.clone()];
        cells.extend(numbers.map(|number| number.to_string()));
        cells.extend([format!("{mean} s"), format!("{} s", runs.longest)]);
        cells
    });
    table(&["Command", "ok", "failed", "refused", "not ended", "mean", "longest"], &rows.collect::<Vec<_>>())
}

fn users(summary: &Summary) -> String {
    let rows = summary.users.iter().map(|(user, ends)| {
        let numbers = [ends.ok, ends.failed, ends.refused, ends.open];
        std::iter::once(user.clone()).chain(numbers.map(|number| number.to_string())).collect()
    });
    table(&["User", "ok", "failed", "refused", "not ended"], &rows.collect::<Vec<_>>())
}

fn pairs(head: [&str; 2], counts: &std::collections::BTreeMap<(String, String), u64>) -> String {
    let rows = counts.iter().map(|((first, second), count)| vec![first.clone(), second.clone(), count.to_string()]);
    table(&[head[0], head[1], "Requests"], &rows.collect::<Vec<_>>())
}

/// The slowest runs, each with a bar.
fn slowest(summary: &Summary) -> String {
    let most = summary.slowest.first().map_or(0, |run| run.seconds).max(1);
    let mut rows = String::new();
    for run in &summary.slowest {
        let wide = 120.0 * float(run.seconds) / float(most);
        let _ = writeln!(
            rows,
            "<tr><td>{} s</td><td><svg class=\"bar\" viewBox=\"0 0 120 10\" aria-hidden=\"true\"><rect class=\"ok\" \
             width=\"{wide:.1}\" height=\"10\"/></svg></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            run.seconds,
            escaped(&run.command),
            escaped(&run.user),
            when(run.at),
            escaped(&run.id)
        );
    }
    if rows.is_empty() {
        return rows;
    }
    let head: String = ["Time", "", "Command", "User", "Started", "Request"]
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .concat();
    format!("<table class=\"runs\">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Timestamp;

    #[test]
    fn what_the_ledger_holds_is_text_and_never_markup() {
        let at = Timestamp::from_seconds;
        let mut summary = Summary::new("berlin".to_owned(), at(0), at(86_400));
        let hostile = "<script>alert(\"x\")</script>&'";
        summary.users.insert(hostile.to_owned(), Ends { ok: 1, ..Ends::default() });
        summary.refusals.insert((hostile.to_owned(), hostile.to_owned()), 1);
        let page = page(&summary);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&quot;x&quot;)"), "{page}");
        assert!(page.contains("default-src 'none'"));
        assert_eq!(page.matches("<p class=\"none\">").count(), 4, "what there is nothing of says so: {page}");
    }
}
