//! A mail provider: Dovecot with one mailbox over TLS, and a submission server that asks for its password and passes
//! mail on to the sandbox's Postfix. Its certificate is one that this machine trusts, as far as the sandbox goes.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

use super::services::{self, Daemon, file, folder, mails_in};
use crate::poll;
use crate::process::{self, run};

/// What this machine trusts, in the files of examples/imap.
pub(crate) const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";
const MAILBOX: &str = "/srv/imap/ops@example.com";
const KEYS: &str = "/srv/provider";
/// IMAP with TLS, and submission.
const PORTS: [u16; 2] = [993, 587];
const PASSWORD: &str = "an app password";

/// As Dovecot 2.3 reads it.
const DOVECOT: &str = "\
protocols = imap submission
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = syslog
ssl = required
ssl_cert = </srv/provider/cert
ssl_key = </srv/provider/key
mail_location = maildir:/srv/imap/%u
first_valid_uid = 1
passdb {
  driver = passwd-file
  args = /srv/provider/passwd
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/srv/imap/%u
}
submission_relay_host = 127.0.0.1
submission_relay_trusted = yes
";

/// The same for 2.4.
const DOVECOT_2_4: &str = "\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap submission
listen = 127.0.0.1
base_dir = /run/dovecot
log_path = syslog
ssl = required
ssl_server_cert_file = /srv/provider/cert
ssl_server_key_file = /srv/provider/key
mail_driver = maildir
mail_path = /srv/imap/%{user}
first_valid_uid = 1
passdb passwd-file {
  passwd_file_path = /srv/provider/passwd
}
userdb static {
  fields {
    uid = vmail
    gid = vmail
    home = /srv/imap/%{user}
  }
}
submission_relay_host = 127.0.0.1
submission_relay_trusted = yes
";

pub(crate) struct Provider {
    _daemon: Daemon,
}

impl Provider {
    pub(crate) fn start() -> Self {
        services::unpack_once();
        certify();
        file(&format!("{KEYS}/passwd"), "dovecot", 0o600, &format!("ops@example.com:{{PLAIN}}{PASSWORD}\n"));
        process::remove("/etc/dovecot");
        process::write("/etc/dovecot/dovecot.conf", 0o644, services::dovecot(DOVECOT, DOVECOT_2_4));
        let hosts = process::text("/etc/hosts");
        if !hosts.contains("imap.example.com") {
            process::write("/etc/hosts", 0o644, &format!("{hosts}127.0.0.1 imap.example.com smtp.example.com\n"));
        }
        for path in ["/srv/imap", MAILBOX, "/srv/imap/ops@example.com/new", "/srv/imap/ops@example.com/tmp"] {
            folder(path, "vmail", "700");
        }
        // An earlier one's processes may outlive it for a moment.
        poll::until_true("free ports", || !PORTS.into_iter().any(listens));
        // It keeps its standard output and error.
        run("sh", &["-c", "dovecot >/srv/provider/output 2>&1"]);
        let daemon = Daemon::in_file("/run/dovecot/master.pid");
        poll::until_true("Dovecot's ports", || PORTS.into_iter().all(listens));
        Self { _daemon: daemon }
    }

    /// The mailbox's password.
    pub(crate) fn password() -> &'static str {
        PASSWORD
    }

    /// A mail has come. What was the envelope's sender is Return-Path now, as RFC 5321 (4.4) has it.
    pub(crate) fn deliver(sender: &str, mail: &str) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unseen = format!("{MAILBOX}/tmp/{name}");
        file(&unseen, "vmail", 0o600, &format!("Return-Path: <{sender}>\n{mail}"));
        run("mv", &[&unseen, &format!("{MAILBOX}/new/{name}.sandbox")]);
    }

    /// How many mails are in the mailbox.
    pub(crate) fn mails() -> usize {
        mails_in(MAILBOX)
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

impl Drop for Provider {
    fn drop(&mut self) {
        process::remove(MAILBOX);
    }
}

/// Makes a certificate authority that this machine trusts, and a certificate for the provider's hosts.
fn certify() {
    let script = "set -e; mkdir -p /srv/provider; cd /srv/provider
        new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
        openssl req -x509 $new -subj '/CN=an authority' -keyout ca.key -out ca
        openssl req $new -subj /CN=imap.example.com -keyout key -out request
        echo subjectAltName=DNS:imap.example.com,DNS:smtp.example.com >names
        openssl x509 -req -in request -CA ca -CAkey ca.key -CAcreateserial -days 2 -extfile names -out cert";
    run("sh", &["-c", script]);
    trust(&process::text(format!("{KEYS}/ca")));
}

/// Has this machine trust these certificates and no others.
pub(crate) fn trust(certificates: &str) {
    process::write(TRUSTED, 0o644, certificates);
}

/// The provider's certificate authority.
pub(crate) fn authority() -> String {
    process::text(format!("{KEYS}/ca"))
}
