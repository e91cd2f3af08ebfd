//! `mailsudo.toml`: the gateway, the services that it uses, and its limits.

use std::path::PathBuf;

use serde::Deserialize;

use super::{ConfigError, Decryption, Encryption, Intake, Ledger, MailAddress, Rate, Size, Source, Span};
use crate::limits::{MAX_AGE, MESSAGE, OUTPUT, RUN_TIME};
use crate::protocol::GatewayName;
use crate::system::program::own_program;

/// The settings in `mailsudo.toml`, each with its default where it has one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The gateway's name: what a request's `gateway` line must say.
    pub gateway: GatewayName,
    /// The address for requests, and the From of replies.
    pub address: MailAddress,
    /// How old a request's signed time may be; a command may set its own.
    #[serde(default = "default_max_age")]
    pub max_age: Span,
    /// How far in the future a signed time may be.
    #[serde(default = "default_max_future")]
    pub max_future: Span,
    /// How long the ledger keeps finished requests.
    #[serde(default = "default_retention")]
    pub retention: Span,
    /// The account that Postfix runs `deliver` as, and that sudoers names.
    #[serde(default = "default_service_user", deserialize_with = "account")]
    pub service_user: String,
    /// Sizes, and how much one user may ask for.
    #[serde(default)]
    pub limits: Limits,
    /// Which messages are processed.
    #[serde(default)]
    pub intake: Intake,
    /// Where the ledger is.
    #[serde(default)]
    pub ledger: Ledger,
    /// Where the audit trail goes.
    #[serde(default)]
    pub syslog: Syslog,
    /// When wrong codes lock a user out.
    #[serde(default)]
    pub lockout: Lockout,
    /// How commands are run.
    #[serde(default)]
    pub execution: Execution,
    /// With which programs mail is encrypted.
    #[serde(default)]
    pub encryption: Encryption,
    /// The gateway's own keys, for requests that are encrypted to it.
    #[serde(default)]
    pub decryption: Decryption,
}

fn default_max_age() -> Span {
    Span::seconds(30 * 60)
}

fn default_max_future() -> Span {
    Span::seconds(2 * 60)
}

fn default_retention() -> Span {
    Span::seconds(90 * 86_400)
}

fn default_service_user() -> String {
    "mailsudo".to_owned()
}

/// `[limits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest message that is parsed.
    pub message: Size,
    /// How much of a command's output is kept for reply and ledger.
    pub output: Size,
    /// How many requests of one user are accepted in a span of time; `None` for no limit.
    pub per_user: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message: Size::kib(256), output: Size::kib(64), per_user: None }
    }
}

/// `[syslog]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Syslog {
    /// The socket, or standard error.
    pub to: LogTarget,
    /// The facility, by its name in syslog(3) without `LOG_`.
    pub facility: Facility,
}

impl Default for Syslog {
    fn default() -> Self {
        Self { to: LogTarget::Socket("/dev/log".into()), facility: Facility::Authpriv }
    }
}

/// Where audit lines go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogTarget {
    /// A datagram socket of a syslog daemon.
    Socket(PathBuf),
    /// Standard error, for tests by hand.
    Stderr,
}

impl TryFrom<String> for LogTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "stderr" => Ok(Self::Stderr),
            path if path.starts_with('/') => Ok(Self::Socket(path.into())),
            _ => Err(format!("`{text}` is neither an absolute path of a socket nor \"stderr\"")),
        }
    }
}

/// A syslog facility (syslog(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are syslog(3)'s own")]
pub enum Facility {
    Auth,
    Authpriv,
    Daemon,
    Mail,
    User,
    Local0,
    Local1,
    Local2,
    Local3,
    Local4,
    Local5,
    Local6,
    Local7,
}

/// `[lockout]`: after `wrong_codes` under a valid mac `within` a span, the user is locked out for `lasts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lockout {
    /// How many wrong codes lock a user out.
    pub wrong_codes: std::num::NonZeroU32,
    /// The span in which they are counted.
    pub within: Span,
    /// How long the lockout lasts.
    pub lasts: Span,
}

impl Default for Lockout {
    fn default() -> Self {
        let quarter = Span::seconds(15 * 60);
        let five = std::num::NonZeroU32::MIN.saturating_add(4);
        Self { wrong_codes: five, within: quarter, lasts: quarter }
    }
}

/// `[execution]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Execution {
    /// How commands are run.
    #[serde(alias = "fence")]
    pub run_via: RunVia,
    /// No command's time limit may be above it.
    pub longest: Span,
    /// The sudo to call.
    pub sudo: PathBuf,
    /// The timeout(1) that ends a command at its time limit.
    pub timeout: PathBuf,
    /// The mailsudo inside the sudo rule, which reports that the command begins.
    pub mailsudo: PathBuf,
}

impl Default for Execution {
    fn default() -> Self {
        Self {
            run_via: RunVia::Sudo,
            longest: Span::seconds(10 * 60),
            sudo: "/usr/bin/sudo".into(),
            timeout: "/usr/bin/timeout".into(),
            mailsudo: own_program().to_owned(),
        }
    }
}

/// How commands are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunVia {
    /// Through sudo, as the generated sudoers fragment permits.
    Sudo,
    /// As the caller, without sudo: for tests by hand.
    #[serde(alias = "none")]
    Direct,
}

/// Whether `name` can be the name of a Unix account or group: it goes into sudoers and onto sudo's command line.
pub(super) fn is_account(name: &str) -> bool {
    let first = |c: char| c.is_ascii_lowercase() || c == '_';
    name.len() <= 32
        && name.starts_with(first)
        && name.chars().all(|c| first(c) || c.is_ascii_digit() || matches!(c, '-' | '.'))
}

fn account<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_account(&name) {
        Ok(name)
    } else {
        Err(serde::de::Error::custom(format!("`{name}` is not the name of a Unix account")))
    }
}

impl Settings {
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, ConfigError> {
        let settings: Self = source.parse()?;
        let wrong = |key: &str, what: &str| Err(source.error_at(key, format!("{key} {what}")));
        if settings.max_age.as_duration() > MAX_AGE {
            return wrong("max_age", "is at most 7d: pruning could remove a request before it is too old");
        }
        if settings.max_future.as_duration() > MAX_AGE {
            return wrong("max_future", "is at most 7d");
        }
        if settings.retention.as_duration() < MAX_AGE {
            return wrong("retention", "is at least 7d, or a pruned request could run again");
        }
        if settings.limits.message.bytes() > MESSAGE {
            return wrong("message", "is at most 16MiB: a request has 4 KiB for each of 32 arguments");
        }
        if settings.limits.output.bytes() > OUTPUT {
            return wrong("output", "is at most 4MiB: Postfix does not accept a reply above its message_size_limit");
        }
        if settings.execution.longest.as_duration() > RUN_TIME {
            return wrong("longest", "is at most 1d");
        }
        if settings.ledger.password_file.as_ref().is_some_and(|file| !file.is_absolute()) {
            return wrong("password_file", "must be an absolute path");
        }
        settings.intake.check(source)?;
        for (key, path) in [("sop", &settings.encryption.sop), ("openssl", &settings.encryption.openssl)] {
            if !path.is_absolute() {
                return wrong(key, "must be an absolute path");
            }
        }
        if let Err((key, what)) = settings.decryption.check() {
            return wrong(key, what);
        }
        let execution = &settings.execution;
        let programs = [("sudo", &execution.sudo), ("timeout", &execution.timeout), ("mailsudo", &execution.mailsudo)];
        for (key, path) in programs {
            if key == "mailsudo" && execution.run_via == RunVia::Direct {
                continue;
            }
            let text = path.to_str().unwrap_or_default();
            if !path.is_absolute() || text.contains(char::is_whitespace) {
                return wrong(key, "must be an absolute path without spaces");
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Settings, String> {
        let file = Path::new("mailsudo.toml");
        Settings::parse(&Source { file, text }).map_err(|error| error.to_string())
    }

    const LEAST: &str = "gateway = \"berlin\"\naddress = \"ops@example.com\"\n";

    #[test]
    fn defaults_are_as_documented() {
        let settings = parse(LEAST).expect("settings");
        assert_eq!(settings.max_age.to_string(), "30m");
        assert_eq!(settings.max_future.to_string(), "2m");
        assert_eq!(settings.retention.to_string(), "90d");
        assert_eq!(settings.service_user, "mailsudo");
        assert_eq!(settings.limits.message.bytes(), 256 * 1024);
        assert_eq!(settings.limits.output.bytes(), 64 * 1024);
        assert_eq!(settings.intake.reject.len(), 2);
        let requirements = settings.intake.requirements();
        assert!(!requirements.sasl && !requirements.authentication_results && requirements.clients.is_empty());
        assert_eq!(settings.syslog.to, LogTarget::Socket("/dev/log".into()));
        assert_eq!(settings.syslog.facility, Facility::Authpriv);
        assert_eq!(settings.lockout.wrong_codes.get(), 5);
        assert_eq!(settings.execution.run_via, RunVia::Sudo);
        assert_eq!(settings.execution.longest.to_string(), "10m");
    }

    #[test]
    fn errors_name_file_line_and_what_is_wrong() {
        for (extra, wanted) in [
            ("colour = 1", "mailsudo.toml:3: unknown field `colour`"),
            ("max_age = \"30\"", "mailsudo.toml:3: `30` is not a duration"),
            ("max_age = \"8d\"", "max_age is at most 7d"),
            ("retention = \"6d\"", "retention is at least 7d"),
            ("service_user = \"a b\"", "mailsudo.toml:3: `a b` is not the name of a Unix account"),
            ("[ledger]\nurl = \"mysql:x\"", "mailsudo.toml:4: `mysql:x` is not a ledger"),
            ("[ledger]\nurl = \"postgresql://x:y@/z\"", "mailsudo.toml:4: [ledger] url: no password"),
            ("[ledger]\npassword_file = \"x\"", "mailsudo.toml:4: password_file must be an absolute path"),
            ("[ledger]\nsynchronous = \"maybe\"", "mailsudo.toml:4: unknown variant `maybe`"),
            ("[syslog]\nto = \"log\"", "mailsudo.toml:4: `log` is neither"),
            ("[intake]\nclients = [\"192.0.2.1/24\"]", "mailsudo.toml:4: `192.0.2.1/24` has bits set"),
            ("[intake]\nauthserv_id = \"a b\"", "mailsudo.toml:4: `a b` is not an authserv-id"),
            ("[intake]\nsign_for_subdomains = [\"com\"]", "mailsudo.toml:4: `com` is not a domain"),
            (
                "[intake]\nrequire_authentication_results = true",
                "mailsudo.toml:4: require_authentication_results needs",
            ),
            ("[lockout]\nwrong_codes = 0", "mailsudo.toml:4:"),
            ("[execution]\nsudo = \"sudo\"", "mailsudo.toml:4: sudo must be an absolute path"),
            ("[limits]\noutput = \"5MiB\"", "mailsudo.toml:4: output is at most 4MiB"),
            ("[execution", "mailsudo.toml:3:"),
        ] {
            let error = parse(&format!("{LEAST}{extra}")).expect_err(extra);
            assert!(error.contains(wanted), "{extra}: {error}");
        }
    }
}
