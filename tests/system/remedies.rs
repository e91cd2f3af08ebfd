//! Every remedy that the program prints: each kind is run as it is printed, and those of `check` make its finding go
//! away.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use mailsudo::remedy::{Call, LAST_SUDOERS_FILE, Remedy};

use crate::gateway::{Found, Gateway, Level};
use crate::process::{self, run};
use crate::system_env::PROGRAM;

/// Runs a command line at a terminal, where each question is answered with yes. Returns the exit status and what was
/// shown.
fn at_terminal(line: &str) -> (Option<i32>, String) {
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1), which makes a terminal (package bsdutils)");
    // A command that asks nothing may have ended already.
    let _ = script.stdin.take().expect("a pipe").write_all(b"y\n");
    let output = script.wait_with_output().expect("its end");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The text as the installed program prints it: the library is in the test's executable here.
fn printed(remedy: &Remedy) -> String {
    let own = std::env::current_exe().expect("a path").display().to_string();
    remedy.to_string().replace(&own, PROGRAM)
}

/// What one kind needs before it can be run, and what takes it back; for sh(1).
fn around(remedy: &Remedy) -> (&'static str, &'static str) {
    match remedy {
        Remedy::AddAccount(_) => ("", "userdel mailsudo-new"),
        Remedy::HostName(_) => ("cp /etc/hosts /root/hosts", "cp /root/hosts /etc/hosts"),
        Remedy::Postconf(..) => ("cp /etc/postfix/main.cf /root/main.cf", "cp /root/main.cf /etc/postfix/main.cf"),
        Remedy::StartPostfix => ("postfix stop", ""),
        Remedy::SudoersFlag { file: LAST_SUDOERS_FILE, .. } => ("", "rm /etc/sudoers.d/~mailsudo"),
        Remedy::SudoersFlag { .. } => {
            ("cp -p /etc/sudoers /root/sudoers", "cp -p /root/sudoers /etc/sudoers; rm /root/sudoers")
        }
        Remedy::NeverExpire(_) => ("chage -E 1 mailsudo", "chage -l mailsudo | grep 'Account expires.*never'"),
        Remedy::AllowSetuid(_) => (
            "mkdir -p /srv/nosuid; mount -t tmpfs -o nosuid tmpfs /srv/nosuid",
            "! grep ' /srv/nosuid .*nosuid' /proc/self/mounts; umount /srv/nosuid",
        ),
        _ => ("", ""),
    }
}

#[test]
fn each_kind_works_as_it_is_printed() {
    let _gateway = Gateway::make();
    let file = "/srv/a file of the gateway.toml";
    process::write(file, 0o600, "");
    for remedy in Remedy::each_kind("checker", "own", "mailsudo", Path::new(file)) {
        let remedy =
            if let Remedy::AllowSetuid(_) = remedy { Remedy::AllowSetuid("/srv/nosuid".into()) } else { remedy };
        let mut line = printed(&remedy);
        let program = line.split(' ').next().unwrap_or_default();
        assert!(!remedy.is_command() || program == "echo" || Path::new(program).is_file(), "{line}");
        let expected = match &remedy {
            // No network and no systemd here: that the programs are there is all that is tried.
            Remedy::Words(_)
            | Remedy::Install(_)
            | Remedy::Reinstall(_)
            | Remedy::Start(_)
            | Remedy::SynchroniseClock => continue,
            Remedy::NewPrivileges(unit) => {
                let before = line.split(" && ").take(3).collect::<Vec<_>>().join(" && ");
                run("sh", &["-ec", &before]);
                let written = process::text(format!("/etc/systemd/system/{unit}.d/mailsudo.conf"));
                assert_eq!(written, "[Service]\nNoNewPrivileges=no\n");
                process::remove(&format!("/etc/systemd/system/{unit}.d"));
                continue;
            }
            Remedy::Call(Call::AddUser(_)) => {
                line.push_str(" --address new@users.example --role operator --key-file /root/new.key");
                0
            }
            Remedy::Call(Call::RotateUser(_)) => {
                line.push_str(" --hmac --key-file /root/new-hmac.key");
                0
            }

            // Check finds something in the sandbox; the others are for PostgreSQL, and say so.
            Remedy::Call(Call::Check | Call::MigrateLedger | Call::LedgerNodes) => 1,
            Remedy::Call(Call::TestUser(_)) => {
                line.push_str(" --code 00000000");
                1
            }
            _ => 0,
        };
        let (before, after) = around(&remedy);
        run("sh", &["-ec", before]);
        let (status, shown) = at_terminal(&line);
        assert_eq!(status, Some(expected), "{line}: {shown}");
        run("sh", &["-ec", after]);
    }
    process::remove("/root/new.key");
    process::remove("/root/new-hmac.key");
    assert!(!Path::new(LAST_SUDOERS_FILE).exists());
}

/// What breaks it; the finding; and what takes back the rest after the remedy.
const CASES: [(&str, &str, &str, &str); 22] = [
    ("chmod 0600 mailsudo.toml", "configuration", "mailsudo cannot read", ""),
    ("chmod 0600 users.d/checker.toml", "users", "mailsudo cannot read", ""),
    ("chmod 0700 commands.d", "commands", "mailsudo cannot open files in", ""),
    ("chgrp root secrets.d", "secrets", "mailsudo cannot open files in", ""),
    ("chmod 0600 $SECRETS", "secrets", "mailsudo cannot read", ""),
    ("chmod 0644 /usr/local/libexec/own", "programs", "cannot be executed", ""),
    ("chmod 0777 /usr/local/libexec/own", "programs", "changed by others", ""),
    ("chmod 0777 /usr/local/libexec", "programs", "others can replace it", ""),
    ("chown worker /usr/local/libexec/own", "programs", "belongs to the account", ""),
    ("chown root:root $LEDGER", "ledger", "mailsudo cannot write to", ""),
    ("echo '# more' >>$RULES", "sudoers", "does not permit exactly", ""),
    (
        "echo 'Defaults requiretty' >/etc/sudoers.d/zzzz; chmod 0440 /etc/sudoers.d/zzzz",
        "sudoers",
        "have a tty",
        "rm /etc/sudoers.d/zzzz /etc/sudoers.d/~mailsudo",
    ),
    (
        "cp -p /etc/sudoers /root/sudoers; echo 'Defaults use_pty, requiretty' >>/etc/sudoers",
        "sudoers",
        "requiretty is set in /etc/sudoers:",
        "mv /root/sudoers /etc/sudoers",
    ),
    // Its last line has no end.
    (
        "cp -p /etc/sudoers /root/sudoers; printf 'Defaults requiretty' >>/etc/sudoers",
        "sudoers",
        "requiretty is set in /etc/sudoers:",
        "mv /root/sudoers /etc/sudoers",
    ),
    // It sorts after the file for exceptions.
    (
        "echo 'Defaults intercept' >/etc/sudoers.d/~zzz; chmod 0440 /etc/sudoers.d/~zzz; cp -p /etc/sudoers /root/sudoers",
        "sudoers",
        "intercept is set in /etc/sudoers.d/~zzz:1",
        "rm /etc/sudoers.d/~zzz; mv /root/sudoers /etc/sudoers",
    ),
    (
        "cp -p /etc/sudoers /root/sudoers; echo 'Defaults:%mailsudo intercept' >>/etc/sudoers",
        "sudoers",
        "intercept is set in /etc/sudoers:",
        "mv /root/sudoers /etc/sudoers",
    ),
    ("chage -E 1 mailsudo", "sudoers", "does not start", ""),
    (
        "cp /etc/hosts /srv/hosts; echo '127.0.0.1 localhost' >/etc/hosts",
        "host-name",
        "cannot be resolved",
        "cp /srv/hosts /etc/hosts",
    ),
    ("postconf -e mailsudo_destination_recipient_limit=50", "postfix", "recipient_limit is not 1", ""),
    (
        "postconf -e mailsudo_time_limit=60s",
        "postfix",
        "mailsudo_time_limit is under",
        "postconf -e mailsudo_time_limit=780s",
    ),
    ("postconf -MX mailsudo/unix", "postfix", "no transport", ""),
    ("postfix stop", "postfix", "Postfix is not running", ""),
];

#[test]
fn a_remedy_of_check_makes_its_finding_go_away() {
    let gateway = Gateway::make();
    let good = gateway.check();
    for (by, about, named, rest) in CASES {
        gateway.sh(by);
        let found = gateway.check();
        let finding = found.findings.iter().find(|finding| finding.about == about && finding.what.contains(named));
        let Some(finding) = finding else { panic!("`{by}` is not named: {:#?}", found.complaints()) };
        assert_ne!(finding.level, Level::Ok);
        let (status, shown) = at_terminal(&finding.remedy);
        assert_eq!(status, Some(0), "`{by}`: {}: {shown}", finding.remedy);
        gateway.sh(rest);
        assert_eq!(gateway.check(), good, "after `{by}` and its remedy {}", finding.remedy);
    }
}

/// For a command, a flag counts more than any exception for a user: the line itself is named.
#[test]
fn a_flag_that_is_set_for_commands_is_named_with_its_line() {
    let gateway = Gateway::make();
    let good = gateway.check();
    for flag in ["requiretty", "intercept", "log_input"] {
        let lines = format!("Defaults env_reset\nDefaults!/usr/bin/timeout {flag}\n");
        process::write("/etc/sudoers.d/aaaa-test", 0o440, &lines);
        let found = gateway.check();
        let named = format!("take {flag} out of /etc/sudoers.d/aaaa-test:2: ");
        assert!(found.findings.iter().any(|finding| finding.remedy.starts_with(&named)), "{:#?}", found.complaints());
        run("sed", &["-i", "2d", "/etc/sudoers.d/aaaa-test"]);
        assert_eq!(gateway.check(), good, "{flag}");
        process::remove("/etc/sudoers.d/aaaa-test");
    }
}

/// `check` tries one rule of each command, and `check --deep` each rule.
#[test]
fn a_later_rule_against_one_value_is_found_by_trying_each_rule() {
    let gateway = Gateway::make();
    let ok = |found: &Found, words: &str| found.names(Level::Ok, "sudo", words);
    assert!(ok(&gateway.check(), "2 of 3 rules were tried (--deep tries all)"));
    assert!(ok(&gateway.check_with(&["--deep"]), "2 commands, and each rule was tried"));
    let against_b = process::text("/etc/sudoers.d/mailsudo");
    let rule = against_b.lines().find(|line| line.ends_with(" b") || line.ends_with("own b")).expect("a rule");
    let (_, vector) = rule.split_once("NOSETENV: ").expect("its command line");
    let vector = vector.trim_end_matches([',', '\\', ' ']);
    process::write("/etc/sudoers.d/zzzz-test", 0o440, &format!("mailsudo ALL=(worker) !{vector}\n"));
    let found = gateway.check_with(&["--deep"]);
    process::remove("/etc/sudoers.d/zzzz-test");
    assert!(
        found.names(Level::Error, "sudoers", "a later rule is in /etc/sudoers.d/zzzz-test:1"),
        "{:#?}",
        found.complaints()
    );
}
