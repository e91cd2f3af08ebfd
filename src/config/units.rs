//! Durations and sizes as sysadmins write them: `30s`, `15m`, `12h`, `90d`; `64KiB`, `1MiB`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use crate::limits::SPAN;

/// A span of time, in whole seconds, at least one and at most 100 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Span {
    /// A span of `seconds`.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The same for the standard library.
    pub fn as_duration(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
        scaled(&text, &units)
            .map(Self::seconds)
            .filter(|span| span.0 <= SPAN)
            .ok_or_else(|| format!("`{text}` is not a duration: write it like 30s, 15m, 12h or 90d, at most 36500d"))
    }
}

impl fmt::Display for Span {
    /// The shortest form of the same value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
            if seconds >= size && seconds.is_multiple_of(size) {
                return write!(f, "{}{unit}", seconds / size);
            }
        }
        write!(f, "{seconds}s")
    }
}

/// A number of bytes, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(u64);

impl Size {
    /// A size of `kib` times 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// The number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1)];
        scaled(&text, &units).map(Self).ok_or_else(|| format!("`{text}` is not a size: write it like 64KiB or 1MiB"))
    }
}

/// At most so many in a span of time: `30/10m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// How many.
    pub most: NonZeroU32,
    /// In which time.
    pub within: Span,
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (most, within) = text.split_once('/')?;
            let most = scaled(most, &[("", 1)]).and_then(|most| u32::try_from(most).ok()).and_then(NonZeroU32::new)?;
            Some(Self { most, within: Span::try_from(within.to_owned()).ok()? })
        };
        read().ok_or_else(|| format!("`{text}` is not a rate: write it like 30/10m"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.most, self.within)
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, size) = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)))?;
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    canonical.then(|| digits.parse::<u64>().ok()?.checked_mul(*size)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_strictly() {
        let read = |text: &str| Rate::try_from(text.to_owned()).map(|rate| rate.to_string());
        assert_eq!(read("30/10m").as_deref(), Ok("30/10m"));
        for bad in [
            "",
            "30",
            "0/10m",
            "30/0m",
            "/10m",
            "30/",
            "-1/10m",
            "030/10m",
            "30 / 10m",
            "30/10",
            "4294967296/1s",
            "1/36501d",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn units_are_read_strictly() {
        let seconds = |text: &str| Span::try_from(text.to_owned()).ok().map(|span| span.0.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("90d"), Some(90 * 86_400));
        assert_eq!(seconds("36500d"), Some(SPAN.as_secs()));
        for bad in
            ["", "30", "s", "0s", "-1s", "1.5m", "1 m", "30S", "36501d", "99999999999999d", "99999999999999999999d"]
        {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        let bytes = |text: &str| Size::try_from(text.to_owned()).ok().map(Size::bytes);
        assert_eq!(bytes("64KiB"), Some(65_536));
        assert_eq!(bytes("1MiB"), Some(1_048_576));
        for bad in ["64", "64KB", "64kib", "0KiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
        assert_eq!(Span::seconds(90).to_string(), "90s");
        assert_eq!(Span::seconds(1800).to_string(), "30m");
    }
}
