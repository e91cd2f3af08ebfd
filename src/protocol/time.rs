//! A moment, to the second. In: RFC 3339 text in the one form that the protocol has, or seconds. Out: the same.
//! It never reads the clock.

use std::fmt;
use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `seconds` after the epoch.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ` (RFC 3339 in UTC, whole seconds 00 to 59) and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = b"dddd-dd-ddTdd:dd:ddZ";
        let fits = text.len() == shape.len()
            && text.bytes().zip(shape).all(|(byte, &form)| match form {
                b'd' => byte.is_ascii_digit(),
                mark => byte == mark,
            });
        if !fits {
            return None;
        }
        let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<i16>().ok());
        let small = |range| number(range).and_then(|n| i8::try_from(n).ok());
        let civil = jiff::civil::DateTime::new(
            number(0..4)?,
            small(5..7)?,
            small(8..10)?,
            small(11..13)?,
            small(14..16)?,
            small(17..19)?,
            0,
        )
        .ok()?;
        // Counted from the epoch here, because jiff's own instants end a day before the end of the year 9999.
        let epoch = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        Some(Self(civil.duration_since(epoch).as_secs()))
    }

    /// This moment and `span` later; the last moment instead of an overflow.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(span.as_secs()))
    }

    /// This moment and `span` earlier; the first moment instead of an overflow.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(span.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, as in a block.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_one_form() {
        let text = "2026-11-23T10:15:00Z";
        let time = Timestamp::parse(text);
        assert_eq!(time.map(Timestamp::seconds), Some(1_795_428_900));
        assert_eq!(time.map(|time| time.to_string()).as_deref(), Some(text));
        for year in ["1970-01-01T00:00:00Z", "2038-01-19T03:14:08Z", "2106-02-07T06:28:16Z", "0000-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::parse(year).map(|time| time.to_string()).as_deref(), Some(year));
        }
    }

    #[test]
    fn the_last_second_is_a_time() {
        assert_eq!(Timestamp::parse("9999-12-31T23:59:59Z").map(Timestamp::seconds), Some(253_402_300_799));
    }

    #[test]
    fn anything_else_is_no_time() {
        for bad in [
            "2026-11-23T10:15:60Z",
            "2026-02-30T10:15:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23t10:15:00z",
            "2026-11-23 10:15:00Z",
            "2026-11-23T10:15:00+00:00",
            "2026-11-23T10:15:00.0Z",
            "-026-11-23T10:15:00Z",
            "+026-11-23T10:15:00Z",
            "٢026-11-23T10:15:0Z",
            "",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
