//! Where lines go. In: a line and its severity. Out: one datagram to a syslog daemon, in the form of RFC 3164, or a
//! line on standard error. It never waits longer in all than it was given.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use syslog::{LogFormat, LoggerBackend, Severity};

use crate::config::Facility;
use crate::limits::{SYSLOG, SYSLOG_LEAST};

/// A destination of lines.
pub(super) enum Sink {
    /// To a syslog daemon's socket.
    Syslog(Box<Syslog>),
    /// For tests by hand.
    Stderr,
}

pub(super) struct Syslog {
    socket: PathBuf,
    format: Rfc3164,
    backend: Option<LoggerBackend>,
    time_left: Duration,
}

impl Sink {
    /// A destination at the daemon on `socket`. It connects when the first line is written.
    pub(super) fn syslog(socket: &Path, facility: Facility) -> Self {
        let format = Rfc3164 { facility: code(facility), pid: std::process::id() };
        Self::Syslog(Box::new(Syslog { socket: socket.to_owned(), format, backend: None, time_left: SYSLOG }))
    }

    /// Writes one line; an error says what to check.
    pub(super) fn write(&mut self, severity: Severity, text: &str) -> Result<(), String> {
        match self {
            Self::Stderr => {
                let line = format!("mailsudo: {text}\n");
                io::stderr().write_all(line.as_bytes()).map_err(|error| format!("standard error: {error}"))
            }
            Self::Syslog(syslog) => syslog.write(severity, text),
        }
    }

    /// How much longer lines may wait.
    #[cfg(test)]
    pub(super) fn time_left(&self) -> Option<Duration> {
        match self {
            Self::Syslog(syslog) => Some(syslog.time_left),
            Self::Stderr => None,
        }
    }
}

impl Syslog {
    /// Sends one line; a connected socket does not survive a restart of syslogd, so it tries once more
    /// (docs/measurements.md#a-daemon-that-is-gone-or-frozen).
    fn write(&mut self, severity: Severity, text: &str) -> Result<(), String> {
        let mut may_be_stale = self.backend.is_some();
        let sent = loop {
            match self.send(severity, text) {
                // A process that was stopped and continued: with a timeout, send(2) is not restarted (signal(7)).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A daemon that hangs would only cost another wait.
                Err(error) if may_be_stale && error.kind() != io::ErrorKind::WouldBlock => {
                    self.backend = None;
                    may_be_stale = false;
                }
                other => break other,
            }
        };
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => format!("{}: the syslog daemon takes no lines", self.socket.display()),
            _ => format!("{}: {error}; is the syslog daemon running?", self.socket.display()),
        })
    }

    fn send(&mut self, severity: Severity, text: &str) -> io::Result<()> {
        let backend = match &mut self.backend {
            Some(backend) => backend,
            none => none.insert(connect(&self.socket, self.time_left.max(SYSLOG_LEAST))?),
        };
        let begun = Instant::now();
        let sent = self.format.format(backend, severity, text);
        let waited = begun.elapsed();
        if waited >= SYSLOG_LEAST {
            // The next line's socket waits only for the time that is left.
            self.time_left = self.time_left.saturating_sub(waited);
            self.backend = None;
        }
        sent.map_err(|error| match error {
            syslog::Error::Write(error) | syslog::Error::Io(error) => error,
            syslog::Error::Initialization(error) => io::Error::other(error),
        })
    }
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A line as syslog(3) writes it (RFC 3164 section 4.1), in UTC and without a host name. The crate's own formatter
/// parses its time format anew for each line, and writes the day with a zero.
struct Rfc3164 {
    facility: syslog::Facility,
    pid: u32,
}

impl LogFormat<&str> for Rfc3164 {
    fn format<W: Write>(&self, to: &mut W, severity: Severity, text: &str) -> syslog::Result<()> {
        let priority = self.facility as u8 | severity as u8;
        let time = moment(Offset::UTC.to_datetime(jiff::Timestamp::now()));
        write!(to, "<{priority}>{time} mailsudo[{}]: {text}", self.pid).map_err(syslog::Error::Write)
    }
}

/// As `%b %e %H:%M:%S` of strftime(3), in English.
fn moment(time: DateTime) -> String {
    let month = MONTHS.get(usize::try_from(time.month() - 1).unwrap_or_default()).copied().unwrap_or_default();
    let (day, hour, minute, second) = (time.day(), time.hour(), time.minute(), time.second());
    format!("{month} {day:>2} {hour:02}:{minute:02}:{second:02}")
}

fn connect(path: &Path, time_left: Duration) -> io::Result<LoggerBackend> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(time_left))?;
    socket.connect(path)?;
    Ok(LoggerBackend::Unix(socket))
}

fn code(facility: Facility) -> syslog::Facility {
    match facility {
        Facility::Auth => syslog::Facility::LOG_AUTH,
        Facility::Authpriv => syslog::Facility::LOG_AUTHPRIV,
        Facility::Daemon => syslog::Facility::LOG_DAEMON,
        Facility::Mail => syslog::Facility::LOG_MAIL,
        Facility::User => syslog::Facility::LOG_USER,
        Facility::Local0 => syslog::Facility::LOG_LOCAL0,
        Facility::Local1 => syslog::Facility::LOG_LOCAL1,
        Facility::Local2 => syslog::Facility::LOG_LOCAL2,
        Facility::Local3 => syslog::Facility::LOG_LOCAL3,
        Facility::Local4 => syslog::Facility::LOG_LOCAL4,
        Facility::Local5 => syslog::Facility::LOG_LOCAL5,
        Facility::Local6 => syslog::Facility::LOG_LOCAL6,
        Facility::Local7 => syslog::Facility::LOG_LOCAL7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_strftime_writes_it() {
        let mut time = jiff::civil::datetime(2026, 1, 1, 0, 0, 0, 0);
        for _ in 0..400 {
            assert_eq!(moment(time), time.strftime("%b %e %H:%M:%S").to_string());
            time = time.saturating_add(jiff::Span::new().hours(23).minutes(7).seconds(11));
        }
    }
}
