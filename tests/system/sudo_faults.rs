//! What prevents the real sudo from starting a command: nothing is run, the log has sudo's own message, and the remedy in the
//! log works as it is printed.

use std::process::Command;

use crate::commands::NOTES;
use crate::process::{self, run};
use crate::user::{User, in_block};
use crate::{poll, syslog, system_env};

const LATER: &str = "/etc/sudoers.d/zz-test";

/// What is put into a later file of sudoers, sudo's words for it in the log, and whether the log has a remedy to run.
const FAULTS: [(&str, &str, &str, bool); 5] = [
    ("requiretty", "Defaults requiretty\n", "you must have a tty to run sudo", true),
    ("intercept", "Defaults intercept\n", "failed to run command", true),
    ("loginput", "Defaults log_input\n", "Defaults log_input", true),
    ("shadowed", "%mailsudo ALL=(ALL:ALL) ALL\n", "a password is required", false),
    ("denied", "mailsudo ALL=(ALL:ALL) !ALL\n", "a password is required", false),
];

/// The log line of the end of a run.
fn finished(id: &str) -> String {
    syslog::wait_for(id, "replied");
    let lines = syslog::audit(id);
    lines.into_iter().find(|line| line.contains("event=finished")).expect("the run's end")
}

fn remedy(line: &str) -> String {
    let (_, remedy) = line.split_once("; remedy, as root: ").expect("a remedy");
    remedy.trim_end_matches('"').replace("\\\"", "\"")
}

#[test]
fn nothing_is_run_and_the_remedy_works() {
    system_env::enter();
    for (name, lines, words, has_remedy) in FAULTS {
        let user = User::enrol(name);
        let later = Later::write(lines);
        let id = user.send(&user.request(&["note", &format!("text={name}first")]));
        let reply = user.mailbox().single();
        assert_eq!(in_block(&reply, "result"), "refused", "{name}: {reply}");
        let line = finished(&id);
        assert!(line.contains("sudo did not start the command") && line.contains(words), "{name}: {line}");
        if has_remedy {
            run("sh", &["-ec", &remedy(&line)]);
        } else {
            assert!(remedy(&line).contains("check -q"), "{name}: {line}");
            process::remove(LATER);
        }
        let user = User::enrol(&format!("{name}2"));
        let id = user.send(&user.request(&["note", &format!("text={name}second")]));
        let reply = user.mailbox().single();
        assert_eq!(in_block(&reply, "result"), "exit-0", "{name}: after the remedy: {reply}{}", finished(&id));
        drop(later);
    }
}

/// A later file of sudoers, and the one that a remedy makes. Dropping it removes both.
struct Later;

impl Later {
    fn write(lines: &str) -> Self {
        process::write(LATER, 0o440, lines);
        Self
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        process::remove(LATER);
        process::remove("/etc/sudoers.d/zzz-mailsudo");
    }
}

/// These change nothing.
#[test]
fn other_lines_in_sudoers_cause_no_fault() {
    system_env::enter();
    for (name, lines) in [
        ("usepty", "Defaults use_pty\n"),
        ("logsubcmds", "Defaults log_subcmds\n"),
        ("noexec", "Defaults noexec\n"),
        ("logoutput", "Defaults log_output\n"),
    ] {
        let user = User::enrol(name);
        let later = Later::write(lines);
        user.send(&user.request(&["note", &format!("text={name}")]));
        let reply = user.mailbox().single();
        drop(later);
        assert_eq!(in_block(&reply, "result"), "exit-0", "{name}: {reply}");
    }
}

/// A host whose own name cannot be resolved: it is not in /etc/hosts, and DNS does not answer. Dropping it brings both back.
struct SilentDns {
    hosts: String,
    resolver: String,
    _server: std::net::UdpSocket,
}

impl SilentDns {
    fn begin() -> Self {
        let silent = Self {
            hosts: process::text("/etc/hosts"),
            resolver: process::text("/etc/resolv.conf"),
            _server: std::net::UdpSocket::bind("127.0.0.9:53").expect("a resolver that never answers"),
        };
        process::write("/etc/hosts", 0o644, "127.0.0.1 localhost\n");
        process::write("/etc/resolv.conf", 0o644, "nameserver 127.0.0.9\n");
        silent
    }
}

impl Drop for SilentDns {
    fn drop(&mut self) {
        process::write("/etc/hosts", 0o644, &self.hosts);
        process::write("/etc/resolv.conf", 0o644, &self.resolver);
    }
}

/// sudo waits for DNS; `deliver` is called here, because Postfix waits for it too.
#[test]
fn a_sudo_that_waits_for_dns_is_ended_before_the_command_begins() {
    system_env::enter();
    let user = User::enrol("silentdns");
    process::write("/srv/silentdns.eml", 0o644, &user.mail(&user.request(&["note", "text=waitedfordns"])));
    let ids = ["--reuid=mailsudo", "--regid=mailsudo", "--clear-groups", "--"];
    let script = format!("exec {} deliver </srv/silentdns.eml", system_env::PROGRAM);
    let silent = SilentDns::begin();
    let output = Command::new("setpriv").args(ids).args(["sh", "-c", &script]).output().expect("setpriv");
    drop(silent);
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(in_block(&reply, "result"), "refused", "{reply}");
    let log = syslog::authpriv();
    let line = log.lines().rev().find(|line| line.contains("event=finished")).expect("the run's end");
    assert!(line.contains("cannot start it any more") && line.contains("/etc/hosts"), "{line}");
    // sudo itself cannot be ended while it waits. What it starts then runs nothing.
    poll::until_true("the end of sudo", || process::find(|line| line.contains("waitedfordns")).is_empty());
    assert!(!process::text(NOTES).contains("waitedfordns"), "it ran later");
}
