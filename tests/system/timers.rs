//! The units that send mail, under a real systemd with all their restrictions, and by the real Postfix.

use crate::process::{self, run};
use crate::systemd::Systemd;
use crate::user::User;
use crate::{poll, postfix, system_env};

/// Where `make install` puts them.
pub(crate) const UNITS: &str = "/usr/local/lib/systemd/system";

/// Runs a service of type oneshot to its end, which must be a success.
pub(crate) fn run_service(systemd: &Systemd, service: &str) {
    systemd.must(&["start", service]);
    assert_eq!(systemd.must(&["show", "--value", "--property", "Result", service]), "success", "{service}");
}

#[test]
fn the_units_that_send_mail_are_restricted() {
    system_env::enter();
    for name in ["mailsudo-report", "mailsudo-resume"] {
        let [service, timer] = ["service", "timer"].map(|kind| format!("{UNITS}/{name}.{kind}"));
        run("systemd-analyze", &["verify", &service, &timer]);
        // Exposure from 0 to 10, in tenths. Each unit says why it is not lower.
        run("systemd-analyze", &["security", "--offline=true", "--threshold=60", "--no-pager", &service]);
    }
}

#[test]
fn the_report_is_sent_and_an_unsent_reply_too() {
    system_env::enter();
    let user = User::enrol("relieved");
    let request = user.request(&["whoami"]);
    run("mv", &["/usr/sbin/sendmail", "/usr/sbin/sendmail.away"]);
    let id = user.send(&request);
    postfix::wait_until_deferred(&id, 1);
    run("mv", &["/usr/sbin/sendmail.away", "/usr/sbin/sendmail"]);
    assert!(user.mailbox().messages().is_empty());

    process::write(
        "/run/units/mailsudo-report.service.d/to.conf",
        0o644,
        &format!(
            "[Service]\nExecStart=\nExecStart={} report --since 7d --to reported@users.example\n",
            system_env::PROGRAM
        ),
    );
    let systemd = Systemd::boot(UNITS);
    run_service(&systemd, "mailsudo-resume.service");
    user.assert_genuine(&user.mailbox().single());
    run_service(&systemd, "mailsudo-report.service");
    let mailbox = crate::mailbox::Mailbox::of("reported@users.example");
    let report = mailbox.single();
    assert!(report.contains("Subject: mailsudo sandbox: report from ") && report.contains("  relieved  "), "{report}");

    poll::until_true("the end of the mail", || {
        postfix::retry();
        !run("postqueue", &["-p"]).contains(&id)
    });
    assert_eq!(user.mailbox().messages().len(), 1, "one reply");
}
