//! The names that a block may hold (writer's rule 3). In: untrusted text. Out: a name that is safe as a
//! file name, in a log line and in a subject. No name can hold `/`, begin with `.` or `-`, or be empty.

use std::fmt;

/// The longest name, in bytes (writer's rule 3).
const MAX: usize = 60;

/// A name that breaks writer's rule 3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind} name: it is 1 to {MAX} characters of {allowed}, and begins with a letter or digit")]
pub struct BadName {
    kind: &'static str,
    allowed: &'static str,
}

fn well_formed(text: &str, extra: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || extra.contains(&byte))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $extra:literal, $allowed:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = BadName;

            fn try_from(text: &str) -> Result<Self, BadName> {
                if well_formed(text, $extra) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName { kind: $kind, allowed: $allowed })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::try_from(text.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// The name of a gateway: `[a-z0-9][a-z0-9._-]{0,59}`.
    GatewayName, "gateway", b"._-", "a-z, 0-9, `.`, `_` and `-`";
    /// The name of a user: `[a-z0-9][a-z0-9._-]{0,59}`.
    UserName, "user", b"._-", "a-z, 0-9, `.`, `_` and `-`";
    /// The name of a command: `[a-z0-9][a-z0-9_-]{0,59}`.
    CommandName, "command", b"_-", "a-z, 0-9, `_` and `-`";
    /// The name of a command's parameter: `[a-z0-9][a-z0-9_-]{0,59}`.
    ParameterName, "parameter", b"_-", "a-z, 0-9, `_` and `-`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_rule_three() {
        for good in ["a", "0", "web-1", "php8_2", &"x".repeat(60)] {
            assert!(CommandName::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "A", "a/b", "a b", "a\n", "ä", "a.b", &"x".repeat(61)] {
            assert!(CommandName::try_from(bad).is_err(), "{bad}");
        }
        assert!(UserName::try_from("a.b").is_ok());
        assert!(UserName::try_from("..").is_err());
    }
}
