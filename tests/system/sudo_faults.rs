//! What prevents the real sudo from starting a command: nothing is run, the log has sudo's own message, and the remedy
//! in the log works as it is printed.

use std::process::Command;

use crate::commands::NOTES;
use crate::process::{self, run};
use crate::user::{User, in_block};
use crate::{poll, syslog, system_env};

/// It sorts after the usual names, so an exception for the service user in such a file would not count.
const LATER: &str = "/etc/sudoers.d/zzzz-test";

/// Something that keeps sudo from starting a command.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// What makes it, and what takes it back: for sh(1).
    pub(crate) by: &'static str,
    pub(crate) undo: &'static str,
    /// sudo's words, as the log has them.
    pub(crate) words: &'static str,
    /// A part of the remedy; and whether running it is enough.
    pub(crate) remedy: &'static str,
    pub(crate) is_enough: bool,
}

pub(crate) const fn fault(name: &'static str, by: &'static str, undo: &'static str, words: &'static str) -> Fault {
    Fault { name, by, undo, words, remedy: "check --quiet", is_enough: false }
}

/// A file that sudo does not read because of its owner or mode.
pub(crate) const fn file(name: &'static str, by: &'static str, words: &'static str, remedy: &'static str) -> Fault {
    Fault { name, by, undo: ":", words, remedy, is_enough: true }
}

/// A flag of `Defaults` in a later file.
const fn flag(name: &'static str, by: &'static str, words: &'static str, remedy: &'static str) -> Fault {
    // The remedy is at the end of sudo's own file.
    let undo = "rm -f /etc/sudoers.d/zzzz-test; mv /root/sudoers /etc/sudoers";
    Fault { name, by, undo, words, remedy, is_enough: true }
}

const FAULTS: [Fault; 14] = [
    flag(
        "requiretty",
        "cp -p /etc/sudoers /root/sudoers; echo 'Defaults requiretty' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "you must have a tty to run sudo",
        "Defaults:mailsudo !requiretty",
    ),
    flag(
        "intercept",
        "cp -p /etc/sudoers /root/sudoers; echo 'Defaults intercept' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "failed to run command",
        "Defaults:mailsudo !intercept",
    ),
    flag(
        "loginput",
        "cp -p /etc/sudoers /root/sudoers; echo 'Defaults log_input' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "Defaults log_input",
        "Defaults:mailsudo !log_input",
    ),
    // Below the line that includes the folder, and the last line without an end.
    flag(
        "below",
        "cp -p /etc/sudoers /root/sudoers; printf 'Defaults requiretty' >>/etc/sudoers",
        "you must have a tty to run sudo",
        "Defaults:mailsudo !requiretty",
    ),
    fault(
        "shadowed",
        "echo '%mailsudo ALL=(ALL:ALL) ALL' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "rm /etc/sudoers.d/zzzz-test",
        "a password is required",
    ),
    fault(
        "denied",
        "echo 'mailsudo ALL=(ALL:ALL) !ALL' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "rm /etc/sudoers.d/zzzz-test",
        "a password is required",
    ),
    fault(
        "missing",
        "mv /etc/sudoers.d/mailsudo /root/rules",
        "mv /root/rules /etc/sudoers.d/mailsudo",
        "a password is required",
    ),
    fault(
        "nopasswd",
        "cp -p /etc/sudoers.d/mailsudo /root/rules; sed -i s/NOPASSWD:// /etc/sudoers.d/mailsudo",
        "mv /root/rules /etc/sudoers.d/mailsudo",
        "a password is required",
    ),
    Fault {
        remedy: "--expiredate -1 mailsudo",
        is_enough: true,
        ..fault("expired", "chage -E 1 mailsudo", "chage -E -1 mailsudo", "account validation failure")
    },
    Fault {
        remedy: "--status mailsudo",
        ..fault(
            "pamdeny",
            "cp -p /etc/pam.d/sudo /root/pam; sed -i '1i account required pam_deny.so' /etc/pam.d/sudo",
            "mv /root/pam /etc/pam.d/sudo",
            "account validation failure",
        )
    },
    file("worldfile", "chmod 0666 /etc/sudoers.d/mailsudo", "is world writable", "0440 /etc/sudoers.d/mailsudo"),
    file("ownedfile", "chown 1 /etc/sudoers.d/mailsudo", "is owned by uid 1", "root /etc/sudoers.d/mailsudo"),
    file("worldmain", "chmod 0666 /etc/sudoers", "is world writable", "0440 /etc/sudoers"),
    file("ownedmain", "chown 1 /etc/sudoers", "is owned by uid 1", "root /etc/sudoers"),
];

/// The log line of the end of a run.
fn finished(id: &str) -> String {
    syslog::wait_for(id, "replied");
    let lines = syslog::audit(id);
    lines.into_iter().find(|line| line.contains("event=finished")).expect("the run's end")
}

fn remedy(line: &str) -> String {
    let (_, remedy) = line.split_once("; remedy, as root: ").unwrap_or_else(|| panic!("no remedy: {line}"));
    // As it stands in the log, without its end quotation mark: a sysadmin copies it from there.
    remedy.trim_end_matches('"').to_owned()
}

#[test]
fn nothing_is_run_and_the_remedy_works() {
    system_env::enter();
    for fault in FAULTS {
        let name = fault.name;
        let note = |which: &str| vec!["note".to_owned(), format!("text={name}{which}")];
        nothing_runs_until_the_remedy(&fault, name, [note("first"), note("second")]);
        assert!(!process::text(NOTES).contains(&format!("{name}first")), "{name}: it ran later");
    }
}

/// Sends a request under the fault, then does what the log says, and sends another one.
pub(crate) fn nothing_runs_until_the_remedy(fault: &Fault, name: &str, requests: [Vec<String>; 2]) {
    let words = requests.each_ref().map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
    let user = User::enrol(name);
    run("sh", &["-ec", fault.by]);
    let id = user.send(&user.request(&words[0]));
    let reply = user.mailbox().single();
    assert_eq!(in_block(&reply, "result"), "refused", "{name}: {reply}");
    assert!(reply.replace("=\n", "").contains("Nothing was run."), "{name}: {reply}");
    let line = finished(&id);
    assert!(line.contains("sudo did not start the command") && line.contains(fault.words), "{name}: {line}");
    let remedy = remedy(&line);
    // sudo 1.9.16 and 1.9.17 do not name a file that sudoers includes. `check` does, and says how to install it anew.
    let is_nameless = line.contains("printed: sudo: is ");
    let wanted = if is_nameless { "check --quiet" } else { fault.remedy };
    assert!(remedy.contains(wanted), "{name}: {remedy}");
    // `check` finds something, which is its purpose here.
    let ended = Command::new("sh").args(["-ec", &remedy]).output().expect("a shell");
    let expected = if remedy.contains(" check ") { Some(2) } else { Some(0) };
    assert_eq!(ended.status.code(), expected, "{name}: {remedy}: {ended:?}");
    if is_nameless {
        run(system_env::PROGRAM, &["sudoers", "--install", "--yes"]);
    } else if !fault.is_enough {
        run("sh", &["-ec", fault.undo]);
    }
    let user = User::enrol(&format!("{name}2"));
    let id = user.send(&user.request(&words[1]));
    let reply = user.mailbox().single();
    assert_eq!(in_block(&reply, "result"), "exit-0", "{name}: after the remedy: {reply}{}", finished(&id));
    if fault.is_enough {
        run("sh", &["-ec", fault.undo]);
    }
}

/// sudo hangs in PAM, or is killed there: the command has not begun, and cannot begin later. There is no remedy,
/// because the cause is not known.
#[test]
fn a_sudo_that_hangs_or_is_killed_before_the_command_begins_runs_nothing() {
    system_env::enter();
    hangs_or_is_killed("", &["note", "text=inpam"], "inpam");
    assert!(!process::text(NOTES).contains("inpam"), "it ran later");
}

/// Sends a request for `words` while sudo hangs, and another one while it is killed. `last` is the last argument.
pub(crate) fn hangs_or_is_killed(suffix: &str, words: &[&str], last: &str) {
    process::write("/usr/local/libexec/test-pam", 0o755, "#!/bin/sh\nexec kill -KILL $PPID\n");
    for (name, module, said) in [
        ("hung", "account required pam_exec.so seteuid /bin/sleep 14", "cannot start it any more"),
        ("killed", "account required pam_exec.so seteuid /usr/local/libexec/test-pam", "did not start the command"),
    ] {
        let name = &format!("{name}{suffix}");
        let user = User::enrol(name);
        let before = process::text("/etc/pam.d/sudo");
        process::write("/etc/pam.d/sudo", 0o644, &format!("{module}\n{before}"));
        let id = user.send(&user.request(words));
        let reply = user.mailbox().single();
        process::write("/etc/pam.d/sudo", 0o644, &before);
        assert_eq!(in_block(&reply, "result"), "refused", "{name}: {reply}");
        assert!(reply.replace("=\n", "").contains("Nothing was run."), "{name}: {reply}");
        let line = finished(&id);
        assert!(line.contains(said), "{name}: {line}");
        poll::until_true("the end of sudo", || process::find(|line| line.ends_with(last)).is_empty());
    }
    process::remove("/usr/local/libexec/test-pam");
}

/// A later file of sudoers. Dropping it removes it.
pub(crate) struct Later;

impl Later {
    pub(crate) fn write(lines: &str) -> Self {
        process::write(LATER, 0o440, lines);
        Self
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        process::remove(LATER);
    }
}

/// `deliver` is called here, because Postfix runs without the flag.
#[test]
fn under_no_new_privs_nothing_is_run() {
    system_env::enter();
    without_new_privileges("nonewprivs", &["note", "text=nonewprivs"]);
    assert!(!process::text(NOTES).contains("nonewprivs"));
}

pub(crate) fn without_new_privileges(name: &str, words: &[&str]) {
    let user = User::enrol(name);
    process::write("/srv/nonewprivs.eml", 0o644, &user.mail(&user.request(words)));
    let ids = ["--reuid=mailsudo", "--regid=mailsudo", "--clear-groups", "--no-new-privs", "--"];
    let script = format!("exec {} deliver </srv/nonewprivs.eml", system_env::PROGRAM);
    let output = Command::new("setpriv").args(ids).args(["sh", "-c", &script]).output().expect("setpriv");
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(in_block(&reply, "result"), "refused", "{reply}{output:?}");
    let log = syslog::authpriv();
    let line = log.lines().rev().find(|line| line.contains("event=finished")).expect("the run's end");
    // Where the tests run below a service of systemd, the remedy is for its unit.
    let remedy = remedy(line);
    assert!(remedy.contains("no_new_privs") || remedy.contains("NoNewPrivileges=no"), "{line}");
    assert!(line.contains("no new privileges"), "{line}");
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

/// A host whose own name cannot be resolved: it is not in /etc/hosts, and DNS does not answer. Dropping it brings both
/// back.
pub(crate) struct SilentDns {
    hosts: String,
    resolver: String,
    _server: std::net::UdpSocket,
}

impl SilentDns {
    pub(crate) fn begin() -> Self {
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
