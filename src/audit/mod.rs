//! The only way to syslog. In: an event and its fields. Out: one line of `key=value`, sanitised, bounded and masked
//! here, so that every line gets it.
//!
//! MUST: a line is one line, whatever its values hold; no value can look like a key; nothing that looks like a mac or
//! an HMAC key is written; a syslogd that is missing, full or hanging costs one limited wait in all and is reported to
//! the caller, who defers before admission and records the loss after it.

mod line;
mod sink;

use std::ffi::OsStr;
use std::path::Path;

pub use line::{Event, Line};
use sink::Sink;
use syslog::Severity;

use crate::config::{Facility, LogTarget, Settings};
use crate::error::Deferral;
use crate::protocol::{RequestId, UserName};

/// The audit trail of one delivery: adds queue id and short id to every line.
pub struct Audit {
    sink: Sink,
    queue_id: Option<String>,
    request: Option<String>,
    user: Option<String>,
    may_wait: bool,
    postponed: Option<(Severity, String)>,
    lost: u32,
}

impl Audit {
    /// The trail that `settings` configure. It connects when the first line is written.
    pub fn new(settings: &Settings, queue_id: Option<&OsStr>) -> Self {
        let sink = match &settings.syslog.to {
            LogTarget::Stderr => Sink::Stderr,
            LogTarget::Socket(path) => Sink::syslog(path, settings.syslog.facility),
        };
        // A program that decrypts is started before the next line.
        Self { may_wait: !settings.decryption.has_key(), ..Self::to(sink, queue_id) }
    }

    /// The trail for when the settings themselves cannot be read: `/dev/log`, facility authpriv.
    pub fn without_settings(queue_id: Option<&OsStr>) -> Self {
        Self::to(Sink::syslog(Path::new("/dev/log"), Facility::Authpriv), queue_id)
    }

    fn to(sink: Sink, queue_id: Option<&OsStr>) -> Self {
        let queue_id = queue_id.map(|id| id.to_string_lossy().into_owned());
        Self { sink, queue_id, request: None, user: None, may_wait: true, postponed: None, lost: 0 }
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

    /// Keeps a line until the next one is written, or until [`Self::flush`]: two lines in a row often wake the syslog daemon
    /// only once (docs/decisions/0062). Where anything may happen before that, writes it at once.
    ///
    /// # Errors
    ///
    /// A deferral: without a log nothing runs.
    pub fn postpone(&mut self, line: Line) -> Result<(), Deferral> {
        if !self.may_wait {
            return self.require(line);
        }
        self.postponed = Some((line.event.severity(), self.text(&line)));
        Ok(())
    }

    /// Writes the line that was kept, if there is one. It must be written before anything may happen.
    ///
    /// # Errors
    ///
    /// A deferral: without a log nothing runs.
    pub fn flush(&mut self) -> Result<(), Deferral> {
        self.write_postponed().map_err(|error| Deferral::new("syslog", error))
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
        self.write_postponed()?;
        let text = self.text(line);
        self.sink.write(line.event.severity(), &text)
    }

    fn write_postponed(&mut self) -> Result<(), String> {
        self.postponed.take().map_or(Ok(()), |(severity, text)| self.sink.write(severity, &text))
    }

    /// The line with the fields that every line has.
    fn text(&self, line: &Line) -> String {
        let mut text = format!("event={}", line.event.word());
        for (key, value) in [("id", &self.request), ("queue", &self.queue_id), ("user", &self.user)] {
            if let Some(value) = value {
                let mut field = Line::new(line.event);
                field.push(key, value);
                text.push_str(&field.text);
            }
        }
        text.push_str(&line.text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_line_that_waits_comes_before_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        let said = || {
            let mut line = [0; 200];
            let read = socket.recv(&mut line).ok()?;
            let line = String::from_utf8_lossy(line.get(..read)?).into_owned();
            Some(line.split_once("]: ")?.1.to_owned())
        };
        let mut audit = Audit::to(Sink::syslog(&path, Facility::Auth), None);
        audit.postpone(Line::new(Event::Received).field("sender", "a")).expect("nothing is written yet");
        assert_eq!(said(), None);
        audit.note(Line::new(Event::Refused));
        assert_eq!(
            [said(), said(), said()].map(Option::unwrap_or_default),
            ["event=received sender=a", "event=refused", ""]
        );
        audit.postpone(Line::new(Event::Received)).expect("nothing is written yet");
        audit.flush().expect("written");
        audit.flush().expect("nothing waits");
        assert_eq!([said(), said()].map(Option::unwrap_or_default), ["event=received", ""]);
        std::fs::remove_file(&path).expect("removed");
        let mut audit = Audit::to(Sink::syslog(&path, Facility::Auth), None);
        audit.postpone(Line::new(Event::Received)).expect("nothing is written yet");
        assert!(audit.flush().is_err(), "without a log nothing runs");
        audit.postpone(Line::new(Event::Received)).expect("nothing is written yet");
        assert!(audit.require(Line::new(Event::Refused)).is_err());
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
