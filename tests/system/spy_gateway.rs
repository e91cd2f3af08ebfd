//! A gateway of its own beside the main one, whose `deliver` a test calls itself, as Postfix does: as the service user,
//! with an environment and descriptors of the test's choice.
//!
//! Its one command and its sendmail are spies: each writes its process id to a file and runs until it is released, so
//! that a test can read /proc about it and about the delivery that waits for it. All of it is gone when this is
//! dropped.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::process::{self, run};
use crate::system_env::{self, PROGRAM, SERVICE};
use crate::{commands, poll, user};

pub(crate) const FOLDER: &str = "/srv/spy-gateway";
/// What the delivery's parent leaves open in it, to read and to write.
pub(crate) const LEFT_OPEN: [&str; 2] = ["/srv/spy-gateway/open.r", "/srv/spy-gateway/open.w"];
/// Where the main gateway has the command too, after [`SpyGateway::lend_to_the_main_gateway`].
const LENT: &str = "/etc/mailsudo/commands.d/stay.toml";
const FRAGMENT: &str = "/etc/sudoers.d/spy";
const LEDGER: &str = "/srv/spy-ledger";
const KEY: &str = "/root/spy_gateway.key.toml";
const PHONE: &str = "/root/spy_gateway.secret";

const SETTINGS: &str = "gateway = \"spy\"\naddress = \"spy@example.com\"\nservice_user = \"mailsudo\"\n\
                        [ledger]\nurl = \"sqlite:/srv/spy-ledger/ledger.db\"\n";
const SPY: &str = "summary = \"Stay\"\nrun_as = \"root\"\nargv = [\"/usr/local/libexec/spy\", \"command\"]\n\
                   timeout = \"5m\"\n[allow.operator]\n";

pub(crate) struct SpyGateway(());

/// A delivery under way.
pub(crate) struct Delivery(Child);

impl SpyGateway {
    pub(crate) fn raise() -> Self {
        system_env::enter();
        for path in [FOLDER, LEDGER, KEY, "/srv/spy"] {
            process::remove(path);
        }
        let script = "echo $$ >/srv/spy/$1.part && mv /srv/spy/$1.part /srv/spy/$1\n\
                      until [ -e /srv/spy/$1.go ]; do sleep 0.1; done\n";
        process::write("/usr/local/libexec/spy", 0o755, &format!("#!/bin/sh\n{script}"));
        let sendmail = format!("#!/bin/sh\nset -- sendmail\n{script}exec cat >/dev/null\n");
        process::write("/usr/local/libexec/spy-sendmail", 0o755, &sendmail);
        // root's command and the service user's sendmail leave their marks here.
        run("install", &["-d", "-m", "1777", "/srv/spy"]);
        process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, SETTINGS);
        process::write(format!("{FOLDER}/commands.d/stay.toml"), 0o644, SPY);
        for path in LEFT_OPEN {
            process::write(path, 0o666, "");
        }
        for folder in ["users.d", "secrets.d"] {
            fs::create_dir(format!("{FOLDER}/{folder}")).expect("the folder is new");
        }
        run("chgrp", &[SERVICE, &format!("{FOLDER}/secrets.d")]);
        run("chmod", &["0750", &format!("{FOLDER}/secrets.d")]);
        run("install", &["-d", "-o", SERVICE, "-g", SERVICE, "-m", "0700", LEDGER]);
        let spy_gateway = Self(());
        run(PROGRAM, &["sudoers", "--config", FOLDER, "--file", FRAGMENT, "--install", "--yes"]);
        run(PROGRAM, &["ledger", "init", "--config", FOLDER]);
        let add =
            ["user", "add", "ann", "--config", FOLDER, "--address", "ann@users.example", "--role", commands::ROLE];
        let said = run(PROGRAM, &[&add[..], &["--key-file", KEY]].concat());
        let url =
            said.split_whitespace().find(|word| word.starts_with("otpauth:")).expect("`user add` shows the secret");
        process::write(PHONE, 0o600, url);
        spy_gateway
    }

    /// A mail of the one user's that asks for the spy; it can be delivered once.
    #[expect(clippy::unused_self, reason = "there is no mail where there is no gateway")]
    pub(crate) fn mail(&self) -> String {
        // A new ledger refuses what was signed up to the second in which it was made.
        let form = ["--totp-secret-file", PHONE, "--key", KEY, "--eml", "--from", "ann@users.example"];
        let begun = fs::metadata(format!("{LEDGER}/ledger.db")).and_then(|about| about.modified()).expect("a ledger");
        poll::until_true("the ledger's second second", || begun.elapsed().is_ok_and(|age| age.as_secs() > 1));
        user::sign(PROGRAM, &[&["stay"][..], &form].concat())
    }

    /// Gives the command to the main gateway too: the rule in sudoers is the same.
    #[expect(clippy::unused_self, reason = "the command is there only with the gateway")]
    pub(crate) fn lend_to_the_main_gateway(&self) {
        process::write(LENT, 0o644, SPY);
    }

    /// Begins to deliver `mail`. `environment` is in sh(1)'s words; two descriptors more than pipe(8) gives are open.
    #[expect(clippy::unused_self, reason = "nothing can be delivered where there is no gateway")]
    pub(crate) fn deliver(&self, mail: &str, environment: &str) -> Delivery {
        let script = format!(
            "umask 077; ulimit -c unlimited 2>/dev/null; exec 7<{} 8>>{}; exec env -i {environment} setpriv --reuid {SERVICE} \
             --regid {SERVICE} --clear-groups {PROGRAM} deliver --config {FOLDER} --queue-id=4SPY --sender=x@y.example \
             --reply-via /usr/local/libexec/spy-sendmail",
            LEFT_OPEN[0], LEFT_OPEN[1]
        );
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        // In two parts, as a slow mail server writes it: what is left of a buffer then must leave no copy either.
        let mut stdin = child.stdin.take().expect("a pipe");
        let (first, rest) = mail.split_at(mail.find("\n\n").expect("a header"));
        stdin.write_all(first.as_bytes()).expect("deliver reads its mail");
        let waits = format!("/proc/{}/wchan", child.id());
        poll::until_true("a delivery that waits for more of its mail", || process::text(&waits).ends_with("pipe_read"));
        stdin.write_all(rest.as_bytes()).expect("deliver reads its mail");
        drop(stdin);
        Delivery(child)
    }
}

impl Delivery {
    /// The process id of the delivery itself; setpriv and env have become it.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end: exit status 0, and nothing printed.
    pub(crate) fn end(self) {
        let output = self.0.wait_with_output().expect("it can be waited for");
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    }
}

impl Drop for SpyGateway {
    fn drop(&mut self) {
        // As far as a failed test has come.
        for which in ["command", "sendmail"] {
            let _ = fs::write(format!("/srv/spy/{which}.go"), "");
        }
        for path in [FRAGMENT, FOLDER, LEDGER, KEY, PHONE, LENT] {
            process::remove(path);
        }
    }
}

/// The process id of the spy `which` (`command` or `sendmail`), once it is there.
pub(crate) fn spy(which: &str) -> u32 {
    poll::until(&format!("the {which}'s start"), || process::text(format!("/srv/spy/{which}")).trim().parse().ok())
}

/// Lets the spy `which` end.
pub(crate) fn let_go(which: &str) {
    fs::write(format!("/srv/spy/{which}.go"), "").expect("/srv is writable in the sandbox");
}

/// The files that hold the secrets: the user's key file, and the file in the place of the phone.
pub(crate) fn secrets() -> (String, String) {
    (process::text(KEY), process::text(PHONE))
}
