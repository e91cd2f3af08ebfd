//! When a line of a log was written. In: the line, as syslog daemons and journalctl(1) write it. Out: the time, where
//! it begins with one.
//!
//! Known are RFC 3339 with `T` (RFC 5424, with or without its priority; rsyslog's and journalctl's ISO forms) and RFC
//! 3164 (`Nov 30 04:34:24`), which has neither year nor time zone.

use std::time::Duration;

use crate::limits::TIME_ZONES;
use crate::protocol::Timestamp;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The time at the beginning of `line`. One without a year is in the twelve months up to `now`; one without a time zone
/// is taken as UTC, so it may be off by up to [`TIME_ZONES`].
pub(super) fn line_time(line: &str, now: Timestamp) -> Option<Timestamp> {
    let rest = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest.strip_prefix("1 ").unwrap_or(rest)
        }
        _ => line,
    };
    with_zone(rest).or_else(|| without_year(rest, now))
}

fn with_zone(text: &str) -> Option<Timestamp> {
    let word = text.split(' ').next()?;
    let (local, rest) = (word.get(..19)?, word.get(19..)?);
    let local = Timestamp::parse(&format!("{local}Z"))?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    if zone == "Z" {
        return Some(local);
    }
    let digits: String = zone.get(1..)?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (digits.get(..2)?.parse::<u64>().ok()?, digits.get(2..)?.parse::<u64>().ok()?);
    let offset = Duration::from_secs((hours * 60 + minutes) * 60);
    match zone.chars().next()? {
        '+' => Some(local.minus(offset)),
        '-' => Some(local.plus(offset)),
        _ => None,
    }
}

fn without_year(text: &str, now: Timestamp) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace();
    let (month, day, time) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u32 = day.parse().ok()?;
    let this_year: i64 = now.to_string().get(..4)?.parse().ok()?;
    // Up to eight years back: 29 February is not in every one.
    (0..=8).find_map(|back| {
        let written = format!("{:04}-{month:02}-{day:02}T{}Z", this_year + 1 - back, time.get(..8)?);
        Timestamp::parse(&written).filter(|time| *time <= now.plus(TIME_ZONES))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_line_is_read_in_each_form() {
        let now = Timestamp::parse("2026-01-02T00:00:00Z").expect("a time");
        for (line, wanted) in [
            ("Dec  3 04:34:24 host mailsudo[9]: event=x", Some("2025-12-03T04:34:24Z")),
            ("<86>Jan  2 04:34:24 host mailsudo[9]: event=x", Some("2026-01-02T04:34:24Z")),
            ("Jan 30 04:34:24 host mailsudo[9]: event=x", Some("2025-01-30T04:34:24Z")),
            ("Feb 29 04:34:24 host mailsudo[9]: event=x", Some("2024-02-29T04:34:24Z")),
            ("<86>1 2025-12-03T04:34:24.123Z host mailsudo 9 - - event=x", Some("2025-12-03T04:34:24Z")),
            ("2025-12-03T04:34:24.123456+01:00 host mailsudo[9]: event=x", Some("2025-12-03T03:34:24Z")),
            ("2025-12-03T04:34:24-0230 host mailsudo[9]: event=x", Some("2025-12-03T07:04:24Z")),
            ("mailsudo: event=x", None),
            ("<x>1 2025-12-03T04:34:24.123Z host", None),
            ("Nov 31 04:34:24 host", None),
            ("Nov 3 4:34:24 host", None),
            ("2025-12-03T04:34:24+1 host", None),
            ("2025-12-03T04:34:24é host", None),
            ("", None),
        ] {
            assert_eq!(line_time(line, now).map(|time| time.to_string()).as_deref(), wanted, "{line}");
        }
    }
}
