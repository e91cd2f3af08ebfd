//! Moments on the command line. In: a span back from now, a day or a time. Out: the moment.

use crate::config::Span;
use crate::protocol::Timestamp;
use crate::system::clock::{Clock, SystemClock};

/// Reads a moment.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    match Span::try_from(text.to_owned()) {
        Ok(span) => return Ok(SystemClock.now().minus(span.as_duration())),
        Err(too_long) if is_number_with_unit(text) => return Err(too_long),
        Err(_) => {}
    }
    // As the log prints it, with a space before the offset; RFC 3339; or in the zone that the log prints.
    let compact = text.replace(" +", "+").replace(" -", "-");
    let instant = compact.parse::<jiff::Timestamp>().or_else(|_| {
        let here = text.parse::<jiff::civil::DateTime>()?;
        jiff::tz::TimeZone::system().to_timestamp(here)
    });
    match instant {
        Ok(instant) => Ok(Timestamp::from_seconds(instant.as_second())),
        Err(_) => {
            Err("write a span back from now (2h, 7d), a day (2026-11-23) or a time (2026-11-23 10:15)".to_owned())
        }
    }
}

fn is_number_with_unit(text: &str) -> bool {
    let number = text.strip_suffix(|unit: char| unit.is_ascii_alphabetic());
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
