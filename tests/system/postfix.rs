//! The sandbox's Postfix, as a sysadmin has set it up before mailsudo is installed: it takes mail
//! for example.com, where only Unix accounts exist, and delivers users.example into a Maildir.
//!
//! A deferred mail stays deferred until a test asks for it: nothing here retries by itself.

use std::fs;
use std::path::Path;

use crate::mailbox;
use crate::poll;
use crate::process::{self, run};

const LOG: &str = "/var/log/postfix.log";
pub(crate) const STOCK_SERVICES: &str = "/usr/share/postfix/master.cf.dist";

const MAIN: &str = "\
compatibility_level = 3.6
myhostname = sandbox.example.com
mydestination = example.com, localhost
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
maillog_file = /var/log/postfix.log
default_transport = error:nothing leaves the sandbox
virtual_mailbox_domains = users.example
virtual_mailbox_base = /var/mail
virtual_mailbox_maps = static:users/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
queue_run_delay = 1h
minimal_backoff_time = 1h
maximal_backoff_time = 1h
";

/// Sets Postfix up and starts it.
pub(crate) fn start() {
    // This host's own services may be anything: take the package's example, where it comes with one.
    if Path::new(STOCK_SERVICES).exists() {
        process::write("/etc/postfix/master.cf", 0o644, &process::text(STOCK_SERVICES));
    }
    write_main("/etc/postfix", MAIN);
    process::remove(mailbox::FOLDER);
    fs::create_dir_all(mailbox::FOLDER).expect("/var/mail is writable in the sandbox");
    run("chown", &["nobody:nogroup", mailbox::FOLDER]);
    // The stock services may be in a chroot that only the package's start script fills.
    run("postconf", &["-F", "*/*/chroot = n"]);
    // Copies of this host's log and mail, as far as it has any; Postfix makes the folders again.
    process::remove(LOG);
    for queue in ["maildrop", "incoming", "active", "deferred", "hold"] {
        process::remove(&format!("/var/spool/postfix/{queue}"));
    }
    run("postfix", &["start"]);
}

/// Writes a main.cf that looks older than it is: Postfix's programs wait until it is a second old.
pub(crate) fn write_main(folder: &str, text: &str) {
    let path = format!("{folder}/main.cf");
    process::write(&path, 0o644, text);
    run("touch", &["-d", "1 minute ago", &path]);
}

pub(crate) fn log() -> String {
    process::text(LOG)
}

/// Waits until a mail has left the queue, and every mail that it has caused.
pub(crate) fn wait_until_gone(queue_id: &str) {
    let removed = format!("{queue_id}: removed");
    poll::until_true(&removed, || log().contains(&removed));
    poll::until_true("an empty queue", queue_is_empty);
}

/// Waits until the transport has deferred a mail, the `times`th time.
pub(crate) fn wait_until_deferred(queue_id: &str, times: usize) {
    poll::until_true(&format!("{queue_id} deferred {times} times"), || {
        let log = log();
        let deferrals =
            log.lines().filter(|line| line.contains(&format!("{queue_id}: to=<")) && line.contains("status=deferred"));
        deferrals.count() >= times
    });
}

/// Asks for everything in the queue to be tried again now.
pub(crate) fn retry() {
    run("postqueue", &["-f"]);
}

/// While this is held, what is deferred is tried again every second or two.
pub(crate) struct FastRetries(());

impl FastRetries {
    pub(crate) fn begin() -> Self {
        retry_every("1s", "2s");
        Self(())
    }
}

impl Drop for FastRetries {
    fn drop(&mut self) {
        retry_every("1h", "1h");
    }
}

fn retry_every(least: &str, most: &str) {
    let settings = [
        format!("queue_run_delay = {least}"),
        format!("minimal_backoff_time = {least}"),
        format!("maximal_backoff_time = {most}"),
    ];
    run("postconf", &["-e", &settings[0], &settings[1], &settings[2]]);
    run("touch", &["-d", "1 minute ago", "/etc/postfix/main.cf"]);
    reload();
}

/// Lets Postfix read its configuration anew, and waits until it has begun to: `postfix reload` only asks for that, and a
/// mail that comes before would still go by what was configured.
pub(crate) fn reload() {
    let reloads = || log().matches(": reload -- version").count();
    let before = reloads();
    run("postfix", &["reload"]);
    poll::until_true("Postfix's reload", || reloads() > before);
}

/// Stops the mail system and starts it again; what it had running goes on without it.
pub(crate) fn restart() {
    run("postfix", &["stop"]);
    run("postfix", &["start"]);
}

/// How Postfix reports a mail's delivery: the lines with its status.
pub(crate) fn statuses(queue_id: &str) -> Vec<String> {
    let log = log();
    let about = format!("{queue_id}: to=<");
    log.lines().filter(|line| line.contains(&about)).map(str::to_owned).collect()
}

pub(crate) fn queue_is_empty() -> bool {
    queue().is_empty()
}

/// What is in the queue, a mail on each line.
pub(crate) fn queue() -> String {
    run("postqueue", &["-j"])
}
