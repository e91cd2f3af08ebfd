//! Dovecot's delivery agent with Pigeonhole's `pipe`. What it cannot pipe it keeps in the service user's inbox, from
//! where sieve-filter(1) takes it again.

use super::local::{HOME, Local};
use super::services::{self, mails_in};
use super::{ReplyTransport, drive, example};
use crate::process;
use crate::system_env::SERVICE;

const SCRIPT: &str = "/var/lib/mailsudo/.dovecot.sieve";

/// A Dovecot 2.3 that delivers to Unix users, with the example in it.
const DOVECOT: &str = "\
protocols =
log_path = syslog
mail_location = maildir:~/Maildir
first_valid_uid = 1
userdb {
  driver = passwd
}
protocol lda {
  mail_plugins = sieve
}
plugin {
  sieve = file:~/sieve;active=~/.dovecot.sieve
}
";

/// The same for 2.4.
const DOVECOT_2_4: &str = "\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols =
log_path = syslog
mail_driver = maildir
mail_path = ~/Maildir
first_valid_uid = 1
userdb passwd {
}
protocol lda {
  mail_plugins {
    sieve = yes
  }
}
sieve_script personal {
  path = ~/sieve
  active_path = ~/.dovecot.sieve
}
";

struct Sieve {
    local: Local,
}

impl Sieve {
    fn set_up() -> Self {
        let script = example("mail-servers/dovecot/mailsudo.sieve");
        let forward = "\"|/usr/lib/dovecot/dovecot-lda -f \\\"$SENDER\\\"\"\n";
        let local = Local::set_up("mailsudo@example.com", &[(".forward", forward), (".dovecot.sieve", &script)]);
        process::remove("/etc/dovecot");
        let own = services::dovecot(DOVECOT, DOVECOT_2_4);
        let name = services::dovecot("mailsudo-2.3.conf", "mailsudo.conf");
        let dovecot = format!("{own}{}", example(&format!("mail-servers/dovecot/{name}")));
        process::write("/etc/dovecot/dovecot.conf", 0o644, &dovecot);
        process::write("/usr/lib/dovecot/sieve-pipe/mailsudo", 0o755, &example("mail-servers/dovecot/mailsudo"));
        Self { local }
    }
}

impl Drop for Sieve {
    fn drop(&mut self) {
        process::remove(&format!("{HOME}/Maildir"));
    }
}

impl ReplyTransport for Sieve {
    fn send(&self, sender: &str, mail: &str) {
        self.local.send(sender, mail);
    }

    fn retry(&self) {
        process::run_as(SERVICE, HOME, &["sieve-filter", "-e", "-W", SCRIPT, "INBOX", "expunge"])
            .wait_with_output()
            .expect("sieve-filter ends");
    }

    fn held(&self) -> usize {
        self.local.held() + mails_in(&format!("{HOME}/Maildir"))
    }
}

#[test]
fn sieve_runs_refuses_and_tries_again() {
    drive(&Sieve::set_up(), "sieve");
}
