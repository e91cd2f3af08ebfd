//! What the checks found: one line for each, with its remedy.

use std::fmt::Display;

use crate::config::ConfigError;
use crate::remedy::{Call, Remedy};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is correct.
    Ok,
    /// It works, but it may fail later or not work as intended.
    Warning,
    /// It does not work, or is not safe.
    Error,
}

impl Level {
    /// The level's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was checked: a fixed word, for monitoring.
    pub about: &'static str,
    /// What was found.
    pub what: String,
    /// The remedy; empty if there is nothing to do.
    pub remedy: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub struct Report {
    /// The lines.
    pub findings: Vec<Finding>,
    /// The caller is neither root nor the service user: what they may not open may be correct.
    pub(super) outsider: bool,
}

impl Report {
    /// The worst level in it.
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }

    pub(super) fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.add(Level::Ok, about, what, "");
    }

    pub(super) fn warning(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<Remedy>) {
        self.add(Level::Warning, about, what, remedy);
    }

    pub(super) fn error(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<Remedy>) {
        self.add(Level::Error, about, what, remedy);
    }

    fn add(&mut self, level: Level, about: &'static str, what: impl Into<String>, remedy: impl Into<Remedy>) {
        self.findings.push(Finding { level, about, what: what.into(), remedy: remedy.into().to_string() });
    }

    /// Something that the caller may not open, reported once for each kind.
    pub(super) fn unseen(&mut self, about: &'static str) {
        let what = "only root and the service user may read it";
        if !self.findings.iter().any(|finding| finding.about == about && finding.what == what) {
            self.warning(about, what, format!("as root: {}", Call::Check));
        }
    }

    /// A file of the gateway's own that cannot be used; the error names file, line and remedy.
    pub(super) fn broken(&mut self, about: &'static str, error: &ConfigError) {
        if self.outsider && error.is_closed() {
            return self.unseen(about);
        }
        self.error(about, error.to_string(), "correct it; until then, mail that needs it stays in the queue");
    }
}

/// `1 user`, `2 users`.
pub fn count(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    format!("{number} {thing}{}", if number == "1" { "" } else { "s" })
}
