//! The gateway's files, as docs/configuration.md describes them, converted to types once.
//!
//! In: a folder. Out: [`Gateway`], which opens a user's or a command's file only when it is needed, by name, so
//! that a message has the same cost with ten users or a hundred thousand. Unknown keys are errors, and a value that a
//! type here cannot hold is an error that names file, line and remedy.
//!
//! It must never use a file that others could have written (`trust.rs`), and never repeat a secret in an error.

mod address;
mod approval;
mod built_in;
mod command;
mod distrust;
mod encryption;
mod expression;
mod gateway;
mod intake;
mod ledger;
mod lockdown;
mod parameter;
mod pattern;
mod payload;
mod postgres;
mod run_as;
mod sender_auth;
mod settings;
mod ssh;
mod template;
mod trust;
mod units;
mod user;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

pub use address::MailAddress;
pub use approval::{Approval, Approver};
pub use built_in::{BUILT_IN, REASON, built_in_parameters};
pub use command::Command;
pub use distrust::Distrust;
pub use encryption::{Decryption, EncryptKind, Encryption};
pub use expression::Expression;
pub use gateway::{Gateway, LOCKDOWN};
pub use intake::Intake;
pub use ledger::{Ledger, LedgerUrl, Synchronous};
pub use lockdown::Lockdown;
pub use parameter::{Kind, Parameter};
pub use pattern::Pattern;
pub use payload::{PayloadKind, PayloadRule};
pub use postgres::{PostgresHost, PostgresUrl};
pub use run_as::RunAs;
pub use sender_auth::{AddressRange, AuthservId, Domain, SenderRequirements};
pub use settings::{Execution, Facility, Lockout, LogTarget, RunVia, Settings};
pub use ssh::{PreviousSshKeys, SshFactor};
pub use template::{Part, Template};
pub use trust::{Folder, Trusted};
pub use units::{Rate, Size, Span};
pub use user::{Previous, Secrets, User};

use crate::error::{Deferral, Stop};
use crate::protocol::Timestamp;

/// Where the configuration is unless `--config` says otherwise.
pub const DEFAULT_FOLDER: &str = "/etc/mailsudo";

/// A fault in the gateway's own files: a deferral for `deliver`, an error for all other subcommands.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that may not be used.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// A file that breaks the rules, at a line where one is known.
    #[error("{}{}: {what}", file.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Content {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: Option<usize>,
        /// What is wrong and what is correct.
        what: String,
    },
}

impl ConfigError {
    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Distrust(Distrust::Missing(_)))
    }

    /// Whether the caller has no permission to open the file.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Distrust(distrust) if distrust.is_closed())
    }
}

impl From<ConfigError> for Stop {
    fn from(error: ConfigError) -> Self {
        Deferral::new("configuration", error).into()
    }
}

/// The keys above the first section of mailsudo.toml.
const GATEWAY_KEYS: [&str; 6] = ["gateway", "address", "max_age", "max_future", "retention", "service_user"];

/// The same of a user's file.
const USER_KEYS: [&str; 12] = [
    "address",
    "from",
    "roles",
    "enabled",
    "logins",
    "require_sasl",
    "require_authentication_results",
    "clients",
    "ssh_keys",
    "require_signature",
    "require_verification",
    "encrypt",
];

/// The same of a command's file.
const COMMAND_KEYS: [&str; 8] =
    ["summary", "run_as", "argv", "timeout", "max_age", "output", "exclusive", "require_signature"];

/// A file's text while it is converted to types. It has the file's path, for errors.
struct Source<'t> {
    file: &'t Path,
    text: &'t str,
}

impl<'t> Source<'t> {
    fn parse<T: serde::Deserialize<'t>>(&self) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| {
            let hint = self.section_hint(error.message(), error.span().as_ref());
            self.error(error.span(), format!("{}{hint}", error.message()))
        })
    }

    /// Like [`parse`](Self::parse), for a file that holds secrets: the error repeats no part of it.
    fn parse_secret<T: serde::Deserialize<'t>>(&self, rule: &str) -> Result<T, ConfigError> {
        toml::from_str(self.text).map_err(|error| self.error(error.span(), rule))
    }

    /// What to do about a key that belongs above the first section.
    fn section_hint(&self, message: &str, span: Option<&std::ops::Range<usize>>) -> String {
        let before = span.and_then(|span| self.text.get(..span.start)).unwrap_or_default();
        let section = before.lines().rev().find(|line| line.starts_with('['));
        let key = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        match key.zip(section) {
            Some((key, section)) if self.top_keys().contains(&key) => {
                format!("; {key} is a key of the whole file: write it above the first section, not below {section}")
            }
            _ => String::new(),
        }
    }

    /// The keys above the first section of this file.
    fn top_keys(&self) -> &'static [&'static str] {
        match self.file.parent().and_then(Path::file_name).and_then(OsStr::to_str) {
            Some("users.d") => &USER_KEYS,
            Some("commands.d") => &COMMAND_KEYS,
            _ => &GATEWAY_KEYS,
        }
    }

    /// The time that `until` gives, which ends a rotation's overlap.
    fn until(&self, written: &toml::value::Datetime) -> Result<Timestamp, ConfigError> {
        let time = Timestamp::parse(&written.to_string());
        time.ok_or_else(|| self.error_at("until", "until: write it like 2026-12-01T00:00:00Z"))
    }

    /// An error at the line that sets `key`, where one does.
    fn error_at(&self, key: &str, what: impl Into<String>) -> ConfigError {
        let mut offset = 0;
        let span = self.text.split_inclusive('\n').find_map(|line| {
            let at = offset;
            offset += line.len();
            let rest = line.trim_start().strip_prefix(key)?;
            rest.trim_start().starts_with('=').then_some(at..at)
        });
        self.error(span, what)
    }

    fn error(&self, span: Option<std::ops::Range<usize>>, what: impl Into<String>) -> ConfigError {
        let line = span
            .and_then(|span| self.text.get(..span.start))
            .map(|before| 1 + before.bytes().filter(|&byte| byte == b'\n').count());
        ConfigError::Content { file: self.file.to_owned(), line, what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_belongs_above_the_first_section_of_its_file_is_led_there() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Empty {}
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[expect(dead_code, reason = "only its keys are read")]
            section: Empty,
        }
        for (file, key, is_led) in [
            ("mailsudo.toml", "retention", true),
            ("mailsudo.toml", "clients", false),
            ("mailsudo.toml", "output", false),
            ("users.d/alice.toml", "clients", true),
            ("users.d/alice.toml", "retention", false),
            ("commands.d/restart.toml", "output", true),
        ] {
            let text = format!("[section]\n{key} = 1\n");
            let source = Source { file: Path::new(file), text: &text };
            let error = source.parse::<File>().expect_err(key).to_string();
            assert_eq!(error.contains("above the first section, not below [section]"), is_led, "{file}: {error}");
        }
    }
}
