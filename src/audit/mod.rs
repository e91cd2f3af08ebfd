//! The only way to syslog. In: an event and its fields. Out: one line of `key=value`, sanitised, bounded and masked
//! here, so that every line gets it.
//!
//! MUST: a line is one line, whatever its values hold; no value can look like a key; nothing that looks like a mac or
//! an HMAC key is written; a syslogd that is missing, full or hanging costs one limited wait in all and is reported to
//! the caller, who defers before admission and records the loss after it.

mod sink;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use sink::Sink;
use syslog::Severity;

use crate::config::{Facility, LogTarget, Settings};
use crate::error::Deferral;
use crate::limits::{LOG_LINE, LOG_QUOTED, LOG_VALUE};
use crate::protocol::{ChainHead, GatewayName, RequestId, UserName, is_unsafe};

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
    fn word(self) -> &'static str {
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

    fn severity(self) -> Severity {
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
    event: Event,
    text: String,
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

    fn push(&mut self, key: &str, value: &str) {
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

/// The audit trail of one delivery: adds queue id and short id to every line.
pub struct Audit {
    sink: Sink,
    queue_id: Option<String>,
    request: Option<String>,
    user: Option<String>,
    lost: u32,
}

impl Audit {
    /// The trail that `settings` configure. It connects when the first line is written.
    pub fn new(settings: &Settings, queue_id: Option<&OsStr>) -> Self {
        match &settings.syslog.to {
            LogTarget::Stderr => Self::to(Sink::Stderr, queue_id),
            LogTarget::Socket(path) => Self::to(Sink::syslog(path, settings.syslog.facility), queue_id),
        }
    }

    /// The trail for when the settings themselves cannot be read: `/dev/log`, facility authpriv.
    pub fn without_settings(queue_id: Option<&OsStr>) -> Self {
        Self::to(Sink::syslog(Path::new("/dev/log"), Facility::Authpriv), queue_id)
    }

    fn to(sink: Sink, queue_id: Option<&OsStr>) -> Self {
        let queue_id = queue_id.map(|id| id.to_string_lossy().into_owned());
        Self { sink, queue_id, request: None, user: None, lost: 0 }
    }

    /// From here on every line has the request's short id and its user, both proven by the mac.
    pub fn identify(&mut self, id: &RequestId, user: &UserName) {
        self.request = Some(id.short());
        self.user = Some(user.to_string());
    }

    /// How many lines could not be written since the request was admitted.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// Writes a line that must be written before anything may happen.
    ///
    /// # Errors
    ///
    /// A deferral: without a log nothing runs.
    pub fn require(&mut self, line: Line) -> Result<(), Deferral> {
        self.write(&line).map_err(|error| Deferral::new("syslog", error))
    }

    /// Writes a line about what has already happened; if that fails, counts it for the ledger.
    pub fn note(&mut self, line: Line) {
        if self.write(&line).is_err() {
            self.lost += 1;
        }
    }

    fn write(&mut self, line: &Line) -> Result<(), String> {
        let mut text = format!("event={}", line.event.word());
        for (key, value) in [("id", &self.request), ("queue", &self.queue_id), ("user", &self.user)] {
            if let Some(value) = value {
                let mut field = Line::new(line.event);
                field.push(key, value);
                text.push_str(&field.text);
            }
        }
        text.push_str(&line.text);
        self.sink.write(line.event.severity(), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

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

    #[test]
    fn a_frozen_or_missing_syslogd_is_an_error_and_not_a_hang() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut audit = Audit::to(Sink::syslog(&path, Facility::Auth), None);
        assert!(audit.require(Line::new(Event::Received)).is_err());
        let socket = UnixDatagram::bind(&path).expect("a socket");
        assert!(audit.require(Line::new(Event::Received)).is_ok());
        let mut line = [0; 200];
        let read = socket.recv(&mut line).expect("a line");
        let line = String::from_utf8_lossy(&line[..read]).into_owned();
        assert!(line.starts_with("<38>") && line.ends_with("]: event=received"), "{line}");
        drop(socket);
        std::fs::remove_file(&path).expect("removed");
        let _restarted = UnixDatagram::bind(&path).expect("a socket");
        assert!(audit.require(Line::new(Event::Received)).is_ok(), "it connects anew");
        let written = (0..1000).take_while(|_| audit.write(&Line::new(Event::Received)).is_ok()).count();
        assert!(written < 1000, "no process reads, so the socket fills");
        audit.note(Line::new(Event::Finished));
        assert_eq!(audit.lost(), 1);
        assert_eq!(audit.sink.time_left(), Some(std::time::Duration::ZERO), "no other line waits for it");
    }
}
