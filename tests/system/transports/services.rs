//! Mail servers that cannot be installed beside Postfix, unpacked into the sandbox's copy of this machine.
//!
//! In: the packages that tests/setup has downloaded. Out: their programs where Debian has them, and the users that they
//! run as. Never: a package's own scripts, and what would take the place of Postfix's programs.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::process::{self, run};
use crate::system_env;

static UNPACKED: LazyLock<()> = LazyLock::new(unpack);

/// What these users own or run as is made by the packages' scripts elsewhere.
const USERS: [&str; 6] = ["Debian-exim", "opensmtpd", "opensmtpq", "dovecot", "dovenull", "vmail"];

/// Programs that every mail server has, and that stay Postfix's here.
const POSTFIX: [&str; 4] = ["./usr/sbin/sendmail", "./usr/lib/sendmail", "./usr/bin/mailq", "./usr/*bin/newaliases"];

/// Unpacks all of them, once.
pub(crate) fn unpack_once() {
    LazyLock::force(&UNPACKED);
}

fn unpack() {
    let folder = std::env::var("MAILSUDO_PACKAGES").unwrap_or_else(|_| "target/packages".to_owned());
    let folder = system_env::in_checkout(&folder);
    assert!(Path::new(&folder).join("complete").exists(), "no mail servers in {folder}: run tests/setup");
    let excluded: Vec<_> = POSTFIX.iter().map(|path| format!("--exclude={path}")).collect();
    // Not dpkg-deb --extract, which puts a folder in the place of the link /lib.
    let script = format!(
        "set -eu; for package in {folder}/*.deb; do dpkg-deb --fsys-tarfile \"$package\" | \
         tar --extract --directory=/ --keep-directory-symlink {}; done; ldconfig",
        excluded.join(" ")
    );
    run("sh", &["-c", &script]);
    for user in USERS {
        user_of(user);
    }
}

/// Makes a system user unless this machine has it.
fn user_of(name: &str) {
    if !process::text("/etc/passwd").lines().any(|line| line.starts_with(&format!("{name}:"))) {
        run(
            "useradd",
            &["--system", "--user-group", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name],
        );
    }
}

/// A daemon that is ended when this is dropped.
pub(crate) struct Daemon {
    pid: u32,
}

impl Daemon {
    /// The daemon whose id is in this file.
    pub(crate) fn in_file(path: &str) -> Self {
        crate::poll::until(path, || process::text(path).trim().parse::<u32>().ok()).into()
    }
}

impl From<u32> for Daemon {
    fn from(pid: u32) -> Self {
        Self { pid }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").arg(self.pid.to_string()).status();
        // The next one needs its ports. After a failed test only that test's message counts.
        if !std::thread::panicking() {
            crate::poll::until_true("a daemon's end", || !process::lives(self.pid));
        }
    }
}

/// Which of two texts of a configuration this Dovecot reads: that of 2.3, or that of 2.4.
pub(crate) fn dovecot<'t>(older: &'t str, newer: &'t str) -> &'t str {
    if run("dovecot", &["--version"]).starts_with("2.3.") { older } else { newer }
}

/// Makes a folder of a user's own.
pub(crate) fn folder(path: &str, owner: &str, mode: &str) {
    run("install", &["-d", "-o", owner, "-g", owner, "-m", mode, path]);
}

/// Writes a file of a user's own.
pub(crate) fn file(path: &str, owner: &str, mode: u32, content: &str) {
    process::write(path, mode, content);
    run("chown", &[&format!("{owner}:{owner}"), path]);
}

/// Starts a mail server for which `/usr/sbin/sendmail` is `sendmail`, as on a machine where it is the only one.
pub(crate) fn start_as_the_mail_server(sendmail: &str, command: &str) {
    let script = format!("mount --bind {sendmail} /usr/sbin/sendmail && exec {command}");
    run("unshare", &["--mount", "sh", "-c", &script]);
}

/// The machine as it is with one mail server alone, while this lives: its sendmail, and no postconf(1).
pub(crate) struct Alone(());

/// What Postfix has, and where it is meanwhile.
const OF_POSTFIX: [(&str, &str); 2] =
    [("/usr/sbin/sendmail", "/usr/sbin/sendmail.away"), ("/usr/sbin/postconf", "/usr/sbin/postconf.away")];

impl Alone {
    pub(crate) fn with(sendmail: &str) -> Self {
        for (path, away) in OF_POSTFIX {
            fs::rename(path, away).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        run("ln", &["-s", sendmail, "/usr/sbin/sendmail"]);
        Self(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        for (path, away) in OF_POSTFIX {
            let _ = fs::rename(away, path);
        }
    }
}

/// The number of files in a Maildir.
pub(crate) fn mails_in(maildir: &str) -> usize {
    let files = |part: &str| fs::read_dir(format!("{maildir}/{part}")).map_or(0, Iterator::count);
    files("new") + files("cur")
}
