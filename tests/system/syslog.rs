//! The sandbox's rsyslog on /dev/log, and what it wrote.

use std::fs;
use std::path::Path;

use crate::poll;
use crate::process::{self, run};

const SOCKET: &str = "/dev/log";
const PID: &str = "/run/rsyslogd.pid";
/// Where it writes what is said about authority.
pub(crate) const LOG: &str = "/var/log/auth.log";

/// As Debian has it, without the kernel's log and without a rate limit, which may drop lines.
const CONFIG: &str = r#"module(load="imuxsock" SysSock.RateLimit.Interval="0")
module(load="builtin:omfile" Template="RSYSLOG_TraditionalFileFormat")
auth,authpriv.*  /var/log/auth.log
*.*;auth,authpriv.none  /var/log/syslog
"#;

/// Starts the daemon; returns when it listens.
pub(crate) fn start() {
    process::write("/etc/rsyslog.conf", 0o644, CONFIG);
    run("rsyslogd", &["-i", PID]);
    poll::until_true("rsyslogd's socket", || Path::new(SOCKET).exists());
}

/// Stops the daemon; returns when it has let go of its socket.
pub(crate) fn stop() {
    let pid = fs::read_to_string(PID).expect("rsyslogd runs and has its id in a file");
    run("kill", &["-TERM", pid.trim()]);
    let pid = pid.trim().parse().expect("an id file holds a number");
    poll::until_true("rsyslogd's end", || !process::lives(pid));
    // It removes the socket itself; where a version does not, a refused connection is as good.
    let _ = fs::remove_file(SOCKET);
}

/// All of facilities auth and authpriv so far: the program's audit lines, and those of sudo and sudo-rs. (sudo-rs logs
/// to auth, the others to authpriv.)
pub(crate) fn authpriv() -> String {
    process::text(LOG)
}

/// The audit lines about the mail with this queue id.
pub(crate) fn audit(queue_id: &str) -> Vec<String> {
    lines(|line| line.contains("mailsudo[") && line.contains(queue_id))
}

/// Waits until the audit lines about a mail hold the word `event`.
pub(crate) fn wait_for(queue_id: &str, event: &str) {
    poll::until_true(&format!("audit line `{event}` about {queue_id}"), || {
        audit(queue_id).iter().any(|line| has_word(line, event))
    });
}

/// The lines in which sudo or sudo-rs says that it ran a command of which `part` is a part.
pub(crate) fn sudo_ran(part: &str) -> Vec<String> {
    let ran = |line: &str| line.contains("COMMAND=") && !line.contains("not allowed");
    lines(|line| line.contains(" sudo") && ran(line) && line.contains(part))
}

fn lines(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let log = authpriv();
    log.lines().filter(|line| wanted(line)).map(str::to_owned).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|each| each == word)
}
