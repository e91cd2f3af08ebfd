//! The services on this host: syslog, sendmail, the clock.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::programs::ask;
use super::{CheckedGateway, Report};
use crate::config::LogTarget;
use crate::system::permissions::Permissions;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    syslog(gateway, report);
    sendmail(report);
    clock(report);
    if gateway.uses_sudo() {
        host_name(report);
    }
}

/// sudo looks up the host's own name before it starts a command (docs/measurements.md).
fn host_name(report: &mut Report) {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let found = ask(Command::new("getent").args(["hosts", "--", &name]));
    if found.is_none_or(|answer| !answer.status.success()) {
        report.warning(
            "host-name",
            format!("the host's own name, {name}, cannot be resolved: sudo waits for it before each command"),
            format!("echo '127.0.1.1 {name}' >>/etc/hosts"),
        );
    }
}

fn syslog(gateway: &CheckedGateway<'_>, report: &mut Report) {
    match &gateway.settings().syslog.to {
        LogTarget::Stderr => report.warning(
            "syslog",
            "the audit trail goes to standard error, so it is lost under Postfix",
            "remove [syslog] to from mailsudo.toml",
        ),
        LogTarget::Socket(path) => match UnixDatagram::unbound().and_then(|socket| socket.connect(path)) {
            Ok(()) => report.ok("syslog", format!("{} takes messages", path.display())),
            Err(error) => report.error(
                "syslog",
                format!("{}: {error}; without a log nothing runs", path.display()),
                "start the syslog daemon (apt install rsyslog)",
            ),
        },
    }
}

/// Where Postfix's interface is, and where master.cf expects it.
const SENDMAIL: &str = "/usr/sbin/sendmail";

fn sendmail(report: &mut Report) {
    match std::fs::metadata(Path::new(SENDMAIL)) {
        Ok(about) if Permissions::from(&about).is_program() => report.ok("sendmail", format!("{SENDMAIL} is there")),
        _ => report.error(
            "sendmail",
            format!("{SENDMAIL} cannot be executed: no reply could be sent"),
            "apt install postfix",
        ),
    }
}

/// A code is accepted within one step of 30 s, so the clocks of host and phone must be right.
fn clock(report: &mut Report) {
    let asked = ask(Command::new("timedatectl").args(["show", "--property=NTPSynchronized", "--value"]));
    match asked.filter(|answer| answer.status.success()).map(|answer| answer.out.trim().to_owned()).as_deref() {
        Some("yes") => report.ok("clock", "it is synchronised"),
        Some(_) => report.warning("clock", "it is not synchronised", "timedatectl set-ntp true, or apt install chrony"),
        None => report.warning(
            "clock",
            "no program here says whether it is synchronised (no timedatectl, or no systemd)",
            "make sure that a service keeps it right",
        ),
    }
}
