//! `[payload]` of a command: what it takes on standard input. In: the table. Out: a [`PayloadRule`], and whether
//! content obeys it.

use serde::Deserialize;

use super::Size;

/// What a command takes on standard input.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayloadRule {
    /// The most bytes.
    #[serde(default = "default_max")]
    pub max: Size,
    /// Whether a request must have one.
    #[serde(default)]
    pub required: bool,
    /// What it must be.
    #[serde(default, rename = "type")]
    pub kind: PayloadKind,
}

fn default_max() -> Size {
    Size::kib(64)
}

/// What a payload must be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadKind {
    /// Any bytes.
    #[default]
    Any,
    /// UTF-8 without control characters, LF and TAB excepted.
    Text,
    /// One JSON value (RFC 8259).
    Json,
}

impl PayloadKind {
    /// The word in the command's file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl PayloadRule {
    /// What may be given, in words.
    pub fn wanted(&self) -> String {
        let kind = match self.kind {
            PayloadKind::Any => "any content",
            PayloadKind::Text => "text",
            PayloadKind::Json => "JSON",
        };
        format!("{kind}, at most {} bytes", self.max.bytes())
    }

    /// Whether `content` is what the command takes.
    ///
    /// # Errors
    ///
    /// What is wrong, for the user.
    pub fn check(&self, content: &[u8]) -> Result<(), String> {
        if content.len() as u64 > self.max.bytes() {
            return Err(format!("the payload has {} bytes; at most {} are taken", content.len(), self.max.bytes()));
        }
        match self.kind {
            PayloadKind::Any => Ok(()),
            PayloadKind::Text => match std::str::from_utf8(content) {
                Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => Ok(()),
                Ok(_) => {
                    Err("the payload is text with control characters; only line feeds and tabs are taken".to_owned())
                }
                Err(_) => Err("the payload is not UTF-8 text".to_owned()),
            },
            PayloadKind::Json => serde_json::from_slice::<serde::de::IgnoredAny>(content)
                .map(drop)
                .map_err(|error| format!("the payload is not JSON: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> PayloadRule {
        toml::from_str(text).expect("a rule")
    }

    #[test]
    fn content_is_checked_by_size_and_type() {
        let rules = [rule(""), rule("type = \"text\""), rule("type = \"json\"")];
        assert!(!rules[0].required && rules[0].max.bytes() == 65_536);
        for (content, wanted) in [
            (&b""[..], [true, true, false]),
            (b"a\tb\n", [true, true, false]),
            (b"{\"a\": [1, null]}\n", [true, true, true]),
            (b"{\"a\": 1} x", [true, true, false]),
            (b"a\r\n", [true, false, false]),
            ("z\u{e4}\u{85}".as_bytes(), [true, false, false]),
            (b"\xff", [true, false, false]),
            (b"\0", [true, false, false]),
        ] {
            let found: Vec<_> = rules.iter().map(|rule| rule.check(content).is_ok()).collect();
            assert_eq!(found, wanted, "{content:?}");
        }
        let least = rule("max = \"2B\"");
        assert!(least.check(b"12").is_ok() && least.check(b"123").is_err());
        let deep = "[".repeat(100_000);
        assert!(rules[2].check(deep.as_bytes()).is_err(), "no stack is used up");
    }
}
