//! Exim's pipe transport.

use super::services::{self, Daemon};
use super::{Packaged, ReplyTransport, checked_with, drive, example};
use crate::gateway::Level;
use crate::mailbox::Mailbox;
use crate::process::{self, run};
use crate::smtp;
use crate::system_env::{GATEWAY, PROGRAM};
use crate::systemd::Systemd;
use crate::timers::{UNITS, run_service};

const PORT: u16 = 2525;
const SENDMAIL: &str = "/usr/sbin/exim4";

struct Exim {
    _program: Packaged,
    _daemon: Daemon,
}

impl Exim {
    fn start() -> Self {
        let program = Packaged::program();
        services::unpack_once();
        services::folder("/var/spool/exim4", "Debian-exim", "750");
        services::folder("/var/log/exim4", "Debian-exim", "750");
        process::write("/etc/exim4/exim4.conf", 0o644, &configuration());
        services::start_as_the_mail_server(SENDMAIL, &format!("{SENDMAIL} -bd -oP /run/exim4.pid"));
        Self { _program: program, _daemon: Daemon::in_file("/run/exim4.pid") }
    }
}

/// An Exim that takes mail for example.com and sends on what is for the users, with the example's parts in it.
fn configuration() -> String {
    format!(
        "primary_hostname = sandbox.example.com\n\
         daemon_smtp_ports = {PORT}\n\
         local_interfaces = 127.0.0.1\n\
         acl_smtp_rcpt = accept\n\
         tls_advertise_hosts =\n\
         keep_environment =\n\
         begin routers\n\
         {}\
         users:\n  driver = manualroute\n  domains = users.example\n  route_list = * 127.0.0.1\n  self = send\n  \
         transport = smtp\n\
         begin transports\n\
         {}\
         smtp:\n  driver = smtp\n\
         begin retry\n* * F,1h,1h\n",
        example("mail-servers/exim/router"),
        example("mail-servers/exim/transport"),
    )
}

impl ReplyTransport for Exim {
    fn send(&self, sender: &str, mail: &str) {
        smtp::send_to(PORT, sender, GATEWAY, mail).expect("Exim takes the mail");
    }

    fn retry(&self) {
        // -qff: frozen ones too.
        services::start_as_the_mail_server(SENDMAIL, &format!("{SENDMAIL} -qff"));
    }

    fn held(&self) -> usize {
        run(SENDMAIL, &["-bpc"]).trim().parse().expect("a number")
    }
}

#[test]
fn exim_runs_refuses_and_tries_again() {
    drive(&Exim::start(), "exim");
}

/// As sendmail(1), it is setuid root, and needs what the unit leaves of root's capabilities.
#[test]
fn exim_takes_a_report_from_the_restricted_unit() {
    let exim = Exim::start();
    process::write(
        "/run/units/mailsudo-report.service.d/exim.conf",
        0o644,
        &format!(
            "[Service]\nExecStart=\nExecStart={PROGRAM} report --to exim-report@users.example --reply-via {SENDMAIL}\n"
        ),
    );
    run_service(&Systemd::boot(UNITS), "mailsudo-report.service");
    exim.retry();
    let report = Mailbox::of("exim-report@users.example").single();
    assert!(report.contains("Subject: mailsudo sandbox: report from "), "{report}");
}

#[test]
fn check_says_whether_exim_leads_the_address_to_the_gateway() {
    let _exim = Exim::start();
    let found = checked_with(SENDMAIL);
    assert!(found.names(Level::Ok, "mail-server", "Exim leads ops@example.com to the gateway"), "{found:#?}");
    let without = configuration().replace(&example("mail-servers/exim/router"), "");
    process::write("/etc/exim4/exim4.conf", 0o644, &without);
    let found = checked_with(SENDMAIL);
    assert!(
        found.names(Level::Error, "mail-server", "Exim does not lead ops@example.com to the gateway"),
        "{found:#?}"
    );
    assert!(!found.findings.iter().any(|finding| finding.about == "postfix"), "{found:#?}");
}
