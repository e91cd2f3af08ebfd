//! The services on this host: syslog, sendmail, the clock.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::programs::{CLOCK, ask, output, output_of};
use super::{CheckedGateway, Report};
use crate::config::LogTarget;
use crate::execute;
use crate::remedy::{self, Remedy};
use crate::system::permissions::Permissions;

pub(super) fn check(gateway: &CheckedGateway<'_>, report: &mut Report) {
    syslog(gateway, report);
    sendmail(report);
    clock(report);
    if gateway.uses_sudo() {
        host_name(report);
    }
}

/// sudo looks up the host's own name before it starts a command (docs/measurements.md#sudo-looks-its-host-name-up).
fn host_name(report: &mut Report) {
    let name = execute::host_name();
    if output("getent", &["hosts", "--", &name]).is_none() {
        report.warning(
            "host-name",
            format!("the host's own name, {name}, cannot be resolved: sudo waits for it before each command"),
            Remedy::HostName(name),
        );
    }
}

fn syslog(gateway: &CheckedGateway<'_>, report: &mut Report) {
    match &gateway.settings().syslog.to {
        LogTarget::Stderr => report.warning(
            "syslog",
            "the audit trail goes to standard error, so it is lost under Postfix",
            format!("remove `to` in [syslog] of {}", gateway.gateway.path().join("mailsudo.toml").display()),
        ),
        LogTarget::Socket(path) => match UnixDatagram::unbound().and_then(|socket| socket.connect(path)) {
            Ok(()) => report.ok("syslog", format!("{} takes messages", path.display())),
            Err(error) => report.error(
                "syslog",
                format!("{}: {error}; without a log nothing runs", path.display()),
                if remedy::has("rsyslogd") { Remedy::Start("rsyslog") } else { Remedy::Install("rsyslog") },
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
            Remedy::Install("postfix"),
        ),
    }
}

/// A code is accepted within one step of 30 s, so the clocks of host and phone must be right.
fn clock(report: &mut Report) {
    match output_of(CLOCK).as_deref().map(str::trim) {
        Some("yes") => report.ok("clock", "it is synchronised"),
        Some(_) => report.warning(
            "clock",
            "it is not synchronised",
            if can_ntp() { Remedy::SynchroniseClock } else { Remedy::Install("chrony") },
        ),
        None => report.warning(
            "clock",
            "no program here says whether it is synchronised (no timedatectl, or no systemd)",
            "make sure that a service keeps it right",
        ),
    }
}

/// Whether systemd has a service for it to switch on.
fn can_ntp() -> bool {
    let asked = ask(Command::new("timedatectl").args(["show", "--property=CanNTP", "--value"]));
    asked.is_some_and(|answer| answer.out.trim() == "yes")
}
