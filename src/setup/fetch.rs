//! A mailbox at a provider: the files of `examples/imap`, and the unit that fetches. In: the provider's servers and the
//! account. Out: changes of files, and the program that tries the login.
//!
//! MUST: the password comes from a file, stands in one file that only root and the service user may read, and is no
//! argument.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use zeroize::Zeroizing;

use super::wanted::Wanted;
use crate::system::accounts::Account;
use crate::system::changes::Changes;
use crate::system::files::Rights;

const GETMAIL: &str = include_str!("../../examples/imap/getmailrc");
const FETCHMAIL: &str = include_str!("../../examples/imap/fetchmailrc");
const MSMTP: &str = include_str!("../../examples/imap/msmtprc");

/// The unit calls getmail; this makes it call fetchmail. Its exit status 1 says that there is no mail.
const DROP_IN: &str = "\
[Unit]
ConditionPathExists=
ConditionPathExists=/etc/mailsudo/fetchmailrc

[Service]
ExecStart=
ExecStart=/usr/bin/fetchmail -f /etc/mailsudo/fetchmailrc
SuccessExitStatus=1
";

/// The program that fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fetcher {
    /// getmail6: no shell, and a fetch that reports a deferral.
    Getmail,
    /// fetchmail.
    Fetchmail,
}

impl Fetcher {
    /// Where it is.
    fn program(self) -> &'static str {
        match self {
            Self::Getmail => "/usr/bin/getmail",
            Self::Fetchmail => "/usr/bin/fetchmail",
        }
    }
}

/// The account at the provider.
#[derive(Debug, Clone)]
pub struct Mailbox {
    /// The IMAP server, by TLS on port 993.
    pub imap: String,
    /// The submission server, by STARTTLS on port 587.
    pub smtp: String,
    /// The login.
    pub login: String,
    /// A file with the password alone.
    pub password: PathBuf,
    /// The program that fetches.
    pub fetcher: Fetcher,
}

/// The program that sends replies.
pub(super) const MSMTP_PROGRAM: &str = "/usr/bin/msmtp";

/// The state of getmail; under systemd, the unit makes it.
const GETMAIL_STATE: &str = "/var/lib/mailsudo/getmail";

/// Where the files are; the unit names them.
const PASSWORD: &str = "/etc/mailsudo/imap-password";

/// The changes that fetch the mailbox.
///
/// # Errors
///
/// The password cannot be read, or a name could not stand in these files.
pub(super) fn plan(wanted: &Wanted<'_>, mailbox: &Mailbox, service: Account) -> Result<Changes> {
    for name in [&mailbox.imap, &mailbox.smtp, &mailbox.login] {
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "@._+-".contains(c));
        ensure!(is_plain, "{name}: only letters, digits and @ . _ + - can stand in the fetcher's files");
    }
    let shown = mailbox.password.display();
    let password = std::fs::read_to_string(&mailbox.password).with_context(|| format!("cannot read {shown}"))?;
    let password = Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned());
    ensure!(!password.is_empty() && !password.contains('\n'), "{shown} does not have the password alone, on one line");
    let config = wanted.config.map(|folder| format!("--config {folder} ")).unwrap_or_default();
    let quoted = wanted.config.map(|folder| format!("\"--config\", \"{folder}\", ")).unwrap_or_default();
    let for_service = Rights { mode: 0o640, owner: Some((0, service.gid)) };
    let own = Rights { mode: 0o600, owner: Some((service.uid, service.gid)) };
    let fill = |text: &str| {
        text.replace("imap.example.com", &mailbox.imap)
            .replace("smtp.example.com", &mailbox.smtp)
            .replace("username = ops@example.com", &format!("username = {}", mailbox.login))
            .replace("username \"ops@example.com\"", &format!("username \"{}\"", mailbox.login))
            .replace("user ops@example.com", &format!("user {}", mailbox.login))
            .replace("from ops@example.com", &format!("from {}", wanted.address))
            .replace("/usr/bin/mailsudo deliver ", &format!("/usr/bin/mailsudo deliver {config}"))
            .replace("(\"deliver\", ", &format!("(\"deliver\", {quoted}"))
            .replace("/usr/bin/mailsudo", wanted.program)
    };
    let mut changes = Changes::default();
    changes.write_secret(Path::new(PASSWORD), format!("{}\n", password.as_str()), for_service);
    match mailbox.fetcher {
        Fetcher::Getmail => changes.write(Path::new("/etc/mailsudo/getmailrc"), fill(GETMAIL), for_service),
        Fetcher::Fetchmail => {
            ensure!(
                !password.contains(['"', '\\']),
                "fetchmail's file cannot have a password with \" or \\: use getmail"
            );
            let text = fill(FETCHMAIL).replace("the app password", &password);
            changes.write_secret(Path::new("/etc/mailsudo/fetchmailrc"), text, own);
            let drop_in = Path::new("/etc/systemd/system/mailsudo-fetch.service.d/fetchmail.conf");
            changes.write(drop_in, DROP_IN, Rights::READABLE);
        }
    }
    changes.write(Path::new("/var/lib/mailsudo/.msmtprc"), fill(MSMTP), own);
    changes.needed()
}

/// Makes sure that the program is there.
///
/// # Errors
///
/// It is not.
pub(super) fn find(mailbox: &Mailbox) -> Result<()> {
    let fetcher = Path::new(mailbox.fetcher.program());
    ensure!(fetcher.exists(), "there is no {}: install it, or choose another with --fetch-with", fetcher.display());
    Ok(())
}

/// The program that fetches once, and its exit status for an empty mailbox where that is not 0. What is in the mailbox
/// is handled.
pub(super) fn fetch(mailbox: &Mailbox) -> (Command, Option<i32>) {
    let mut fetch = Command::new(mailbox.fetcher.program());
    match mailbox.fetcher {
        Fetcher::Getmail => {
            fetch.arg(format!("--getmaildir={GETMAIL_STATE}")).arg("--rcfile=/etc/mailsudo/getmailrc");
            (fetch, None)
        }
        Fetcher::Fetchmail => {
            fetch.args(["-f", "/etc/mailsudo/fetchmailrc"]);
            (fetch, Some(1))
        }
    }
}

/// Makes the folder of getmail's state, as the unit does.
///
/// # Errors
///
/// /var/lib/mailsudo is missing or not writable.
pub(super) fn make_folder(service: Account) -> Result<()> {
    let folder = Path::new(GETMAIL_STATE);
    if folder.is_dir() {
        return Ok(());
    }
    let problem = || format!("cannot make {GETMAIL_STATE}");
    DirBuilder::new().mode(0o700).create(folder).with_context(problem)?;
    chown(folder, Some(service.uid), Some(service.gid)).with_context(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_the_account_and_the_password_in_one_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let password = folder.path().join("password");
        std::fs::write(&password, "secret word\n").expect("a file");
        let mailbox = Mailbox {
            imap: "imap.mail.example".to_owned(),
            smtp: "smtp.mail.example".to_owned(),
            login: "box@mail.example".to_owned(),
            password: password.clone(),
            fetcher: Fetcher::Getmail,
        };
        let account = Account { uid: 0, gid: 0 };
        let plan_of = |mailbox: &Mailbox| plan(&Wanted::example(), mailbox, account);
        let changes = plan_of(&mailbox).expect("a plan");
        let texts: Vec<_> = changes
            .iter()
            .map(|(path, text)| {
                (path.display().to_string(), String::from_utf8_lossy(text.unwrap_or_default()).into_owned())
            })
            .collect();
        let of = |name: &str| {
            texts.iter().find(|(path, _)| path.ends_with(name)).map(|(_, text)| text.as_str()).expect(name)
        };
        assert!(of("getmailrc").contains("server = imap.mail.example\nusername = box@mail.example\n"));
        assert!(of("getmailrc").contains("path = /opt/mailsudo\n"));
        assert!(
            of(".msmtprc").contains("host smtp.mail.example\n")
                && of(".msmtprc").contains("from root-ops@mail.example\n")
        );
        assert_eq!(texts.iter().filter(|(_, text)| text.contains("secret word")).count(), 1);
        assert!(!changes.difference().expect("a difference").contains("secret word"));
        std::fs::write(&password, "two\nlines\n").expect("a file");
        assert!(plan_of(&mailbox).is_err());
        assert!(plan_of(&Mailbox { imap: "a b".to_owned(), ..mailbox }).is_err());
    }
}
