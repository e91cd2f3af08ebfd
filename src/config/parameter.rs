//! A parameter of a command, with its type and its default.

use std::fmt;

use serde::Deserialize;

use super::Pattern;

/// The definition of one parameter.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawParameter")]
pub struct Parameter {
    /// The type of its values.
    pub kind: Kind,
    /// The value where none is given; without one, it must be given.
    pub default: Option<String>,
    /// Whether its values are kept out of the log, the ledger and all mail.
    pub secret: bool,
}

/// The type of a parameter's values.
#[derive(Debug)]
pub enum Kind {
    /// One of these.
    OneOf(Vec<String>),
    /// A canonical decimal from `min` to `max`.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// What a pattern matches, up to a length in characters.
    Pattern(Pattern, usize),
}

impl Kind {
    /// One of its values, as an example.
    pub fn sample(&self) -> Option<String> {
        match self {
            Self::OneOf(values) => values.first().cloned(),
            Self::Integer { min, .. } => Some(min.to_string()),
            Self::Pattern(pattern, _) => pattern.sample(),
        }
    }

    /// Whether `value` is one of this type.
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::OneOf(values) => values.iter().any(|known| known == value),
            Self::Integer { min, max } => {
                value.parse::<i64>().is_ok_and(|n| (min..=max).contains(&&n) && n.to_string() == value)
            }
            Self::Pattern(pattern, longest) => value.chars().count() <= *longest && pattern.matches(value),
        }
    }
}

impl fmt::Display for Kind {
    /// For output: what may be written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf(values) => write!(f, "one of {}", values.join(", ")),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Pattern(pattern, longest) => {
                write!(f, "matching {}, at most {longest} characters", pattern.source())
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    one_of: Option<Vec<Scalar>>,
    integer: Option<RawRange>,
    pattern: Option<String>,
    max_length: Option<usize>,
    default: Option<Scalar>,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    min: i64,
    max: i64,
}

/// A value as text, or as a whole number for its canonical decimal.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text or a whole number")]
pub(super) enum Scalar {
    Text(String),
    Number(i64),
}

impl Scalar {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

impl TryFrom<RawParameter> for Parameter {
    type Error = String;

    fn try_from(raw: RawParameter) -> Result<Self, String> {
        let kind = match (raw.one_of, raw.integer, raw.pattern, raw.max_length) {
            (Some(values), None, None, None) if !values.is_empty() => {
                Kind::OneOf(values.iter().map(Scalar::text).collect())
            }
            (None, Some(RawRange { min, max }), None, None) if min <= max => Kind::Integer { min, max },
            (None, None, Some(pattern), Some(longest)) => Kind::Pattern(Pattern::parse(&pattern)?, longest),
            _ => {
                return Err("a parameter has one_of = [\"a\", \"b\"], or integer = { min = 1, max = 9 }, \
                            or pattern = \"^...$\" with max_length = 20"
                    .to_owned());
            }
        };
        let parameter = Self { kind, default: raw.default.as_ref().map(Scalar::text), secret: raw.secret };
        if parameter.secret && (matches!(parameter.kind, Kind::OneOf(_)) || parameter.default.is_some()) {
            return Err(
                "a secret parameter has pattern or integer, and no default: what stands in this file is in the sudo \
                        rules and on the users' page too, and is no secret"
                    .to_owned(),
            );
        }
        match &parameter.default {
            Some(default) if !parameter.kind.accepts(default) => {
                Err(format!("the default `{default}` is not {}", parameter.kind))
            }
            _ => Ok(parameter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_canonical() {
        let integer = Kind::Integer { min: -5, max: 65535 };
        for good in ["0", "-5", "65535"] {
            assert!(integer.accepts(good), "{good}");
        }
        for bad in ["", "00", "+1", "-0", "65536", "-6", "1e3", " 1", "٣", "99999999999999999999"] {
            assert!(!integer.accepts(bad), "{bad}");
        }
        let pattern = Kind::Pattern(Pattern::parse("^[a-z]+$").expect("a pattern"), 3);
        assert!(pattern.accepts("abc"));
        for bad in ["abcd", "", "a\n", "a b", "A"] {
            assert!(!pattern.accepts(bad), "{bad}");
        }
    }
}
