//! OpenSMTPD's `action mda`.

use super::services::{self, Daemon};
use super::{Packaged, ReplyTransport, checked_with, drive, example};
use crate::gateway::Level;
use crate::process::{self, run};
use crate::system_env::GATEWAY;
use crate::{poll, smtp, syslog, user};

const PORT: u16 = 2526;
const CONTROL: &str = "/usr/sbin/smtpctl";

struct OpenSmtpd {
    _program: Packaged,
    _daemon: Daemon,
}

impl OpenSmtpd {
    fn start() -> Self {
        let program = Packaged::program();
        services::unpack_once();
        services::folder("/var/spool/smtpd", "root", "711");
        run("chgrp", &["opensmtpq", CONTROL]);
        run("chmod", &["2555", CONTROL]);
        process::write("/etc/smtpd.conf", 0o644, &configuration());
        services::start_as_the_mail_server(CONTROL, "smtpd");
        let daemon = poll::until("smtpd", || process::find(|line| line.ends_with("smtpd")).into_iter().min());
        let transport = Self { _program: program, _daemon: daemon.into() };
        poll::until_true("smtpd's port", || std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok());
        transport
    }
}

/// An OpenSMTPD that sends on what is for the users, with the example in it.
fn configuration() -> String {
    format!(
        "listen on 127.0.0.1 port {PORT}\n{}\
         action \"users\" relay host smtp://127.0.0.1:25\n\
         match from any for domain \"users.example\" action \"users\"\n",
        example("mail-servers/opensmtpd.conf")
    )
}

impl ReplyTransport for OpenSmtpd {
    fn send(&self, sender: &str, mail: &str) {
        smtp::send_to(PORT, sender, GATEWAY, mail).expect("OpenSMTPD takes the mail");
    }

    fn retry(&self) {
        run(CONTROL, &["schedule", "all"]);
    }

    fn held(&self) -> usize {
        run(CONTROL, &["show", "queue"]).lines().count()
    }
}

#[test]
fn opensmtpd_runs_refuses_and_tries_again() {
    let transport = OpenSmtpd::start();
    drive(&transport, "opensmtpd");

    // The command line goes through a shell: nothing of the sender may be left that means something there.
    let sender = "a'b$x|y&z`w`@users.example";
    match smtp::send_to(PORT, sender, GATEWAY, &user::mail(sender, "How are you?\n")) {
        Ok(_) => {
            poll::until_true("the odd sender", || !syslog::audit("sender=a:b:x:y:z:w:@users.example").is_empty());
        }
        // OpenSMTPD 7.8 takes no such sender at all.
        Err(refusal) => assert!(refusal.starts_with("553"), "{refusal}"),
    }
}

#[test]
fn check_says_that_opensmtpds_way_to_the_gateway_is_not_checked() {
    let _transport = OpenSmtpd::start();
    let found = checked_with(CONTROL);
    assert!(found.names(Level::Ok, "mail-server", "OpenSMTPD is this host's mail server"), "{found:#?}");
    assert!(!found.findings.iter().any(|finding| finding.about == "postfix"), "{found:#?}");
}
