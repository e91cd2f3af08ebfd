//! One line of the audit trail. In: an event and its fields. Out: `key=value`, sanitised, bounded and masked here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use sha2::{Digest, Sha256};
use syslog::Severity;

use crate::limits::{LOG_LINE, LOG_QUOTED, LOG_VALUE};
use crate::protocol::{ChainHead, GatewayName, is_unsafe};

/// A step of a message that the audit trail shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A message arrived.
    Received,
    /// It is refused.
    Refused,
    /// It stays in the queue.
    Deferred,
    /// Its request may run.
    Admitted,
    /// Its request waits for another run of the same command.
    Waiting,
    /// The command is being started.
    Started,
    /// The command has ended.
    Finished,
    /// The reply was sent.
    Replied,
    /// An earlier delivery of the same request died or could not reply; this one continues there.
    Resumed,
    /// It waits for approval.
    Pending,
    /// It runs without approval.
    Exception,
    /// A vote on another request was recorded.
    Voted,
    /// A request that waited for approval lapsed.
    Lapsed,
    /// A notice was sent to an approver.
    Noticed,
    /// A sysadmin began or ended a lockdown.
    Lockdown,
    /// A message could not be encrypted, and says the outcome only.
    Withheld,
}

impl Event {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Refused => "refused",
            Self::Deferred => "deferred",
            Self::Admitted => "admitted",
            Self::Waiting => "waiting",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Replied => "replied",
            Self::Resumed => "resumed",
            Self::Pending => "pending",
            Self::Exception => "exception",
            Self::Voted => "voted",
            Self::Lapsed => "lapsed",
            Self::Noticed => "noticed",
            Self::Lockdown => "lockdown",
            Self::Withheld => "withheld",
        }
    }

    pub(super) fn severity(self) -> Severity {
        match self {
            Self::Deferred | Self::Exception | Self::Lockdown | Self::Withheld => Severity::LOG_WARNING,
            Self::Refused => Severity::LOG_NOTICE,
            _ => Severity::LOG_INFO,
        }
    }
}

/// A line that is being built.
#[derive(Debug)]
pub struct Line {
    pub(super) event: Event,
    pub(super) text: String,
}

impl Line {
    /// A line about `event`.
    pub fn new(event: Event) -> Self {
        Self { event, text: String::new() }
    }

    /// Adds a field. `key` is fixed; `value` may be untrusted.
    pub fn field(mut self, key: &'static str, value: impl std::fmt::Display) -> Self {
        self.push(key, &value.to_string());
        self
    }

    /// Adds a field where there is a value, which need not be UTF-8.
    pub fn raw_field(mut self, key: &'static str, value: Option<&OsStr>) -> Self {
        if let Some(value) = value {
            let text: String = value.as_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
                text.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    let _ = write!(text, "\\x{byte:02x}");
                }
                text
            });
            self.push(key, &text);
        }
        self
    }

    /// Adds a head of the audit chain of `gateway`, and the number of its event. It is no secret, and is not masked.
    pub fn chain(mut self, gateway: &GatewayName, number: Option<u64>, head: &ChainHead) -> Self {
        self.push("gateway", gateway.as_str());
        if let Some(number) = number {
            self.push("chain", &number.to_string());
        }
        let _ = write!(self.text, " head={head}");
        self
    }

    pub(super) fn push(&mut self, key: &str, value: &str) {
        if self.text.len() > LOG_LINE {
            return;
        }
        let value = mask(value);
        let plain = !value.is_empty()
            && value.len() <= LOG_VALUE
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/@+-".contains(&b));
        let _ = write!(self.text, " {key}=");
        if plain {
            self.text.push_str(&value);
        } else {
            quote(&value, &mut self.text);
        }
    }
}

fn quote(value: &str, line: &mut String) {
    line.push('"');
    let begun = line.len();
    for (count, c) in value.chars().enumerate() {
        if count == LOG_VALUE || line.len() - begun >= LOG_QUOTED {
            let digest = hex::encode(Sha256::digest(value));
            let _ = write!(line, "… cut, sha256 of all {}", digest.get(..32).unwrap_or_default());
            break;
        }
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            c if is_unsafe(c) => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// 64 hex digits in a row are a mac, a key or a request's full id. None of them belongs in a log.
fn mask(value: &str) -> Cow<'_, str> {
    if value.len() < 64 {
        return value.into();
    }
    let mut masked = String::with_capacity(value.len());
    for run in value.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let hex = run.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if hex.len() >= 64 {
            masked.push_str("[masked]");
            masked.push_str(run.get(hex.len()..).unwrap_or_default());
        } else {
            masked.push_str(run);
        }
    }
    masked.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn text(value: &str) -> String {
        Line::new(Event::Received).field("x", value).text
    }

    #[test]
    fn values_cannot_pass_for_keys_or_secrets() {
        assert_eq!(text("nginx"), " x=nginx");
        assert_eq!(text(""), " x=\"\"");
        assert_eq!(text("a b=c"), " x=\"a b=c\"");
        assert_eq!(text("a\" y=\"b"), " x=\"a\\\" y=\\\"b\"");
        assert_eq!(text("a\nb\u{202e}"), " x=\"a\\nb\\u{202e}\"");
        assert_eq!(text(&"0f".repeat(32)), " x=\"[masked]\"");
        assert_eq!(text(&format!("mac {} is right", "0f".repeat(32))), " x=\"mac [masked] is right\"");
        let raw = Line::new(Event::Received).raw_field("x", Some(OsStr::from_bytes(b"a\xffb")));
        assert_eq!(raw.text, " x=\"a\\\\xffb\"");
    }

    #[test]
    fn a_line_of_nothing_but_escapes_is_not_cut_by_the_daemon() {
        let worst = "\u{e0001}".repeat(LOG_VALUE);
        let line = (0..10).fold(Line::new(Event::Received), |line, _| line.field("x", &worst));
        assert!(line.text.len() < 8000, "{}", line.text.len());
        assert!(line.text.ends_with('"') && line.text.contains("… cut, sha256 of all "), "the cut is shown");
    }

    proptest! {
        #[test]
        fn a_line_stays_one_bounded_line(value in any::<String>()) {
            let text = text(&value);
            prop_assert!(!text.chars().any(is_unsafe));
            prop_assert!(text.len() <= LOG_QUOTED + 80);
        }
    }
}
