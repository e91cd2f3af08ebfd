//! Sender authentication by the real programs: OpenDKIM signs and verifies, OpenDMARC judges, with keys and policy from
//! a zone of the sandbox's own; Cyrus SASL logs users in. Set up as docs/sender-authentication.md says.

use std::net::TcpStream;
use std::process::Command;
use std::sync::LazyLock;

use crate::gateway::{Gateway, Level};
use crate::process::{self, run};
use crate::system_env::GATEWAY;
use crate::user::User;
use crate::{poll, postfix, smtp, syslog};

const FOLDER: &str = "/srv/sender-auth";
/// Signs, and hands over to [`BORDER`].
const SIGNING: u16 = 2602;
/// Removes the Authentication-Results of others, verifies and judges.
const BORDER: u16 = 2601;
/// The same, but removes nothing.
const OPEN_BORDER: u16 = 2603;
/// Lets users log in.
const SUBMISSION: u16 = 2587;

/// A verdict that a sender could forge.
const FORGED: &str = "Authentication-Results: mx.example.com; dkim=pass header.d=users.example;\n\tdmarc=pass header.from=users.example\n";

const SIGNER: &str =
    "Mode s\nDomain users.example\nSelector mail\nKeyFile /srv/sender-auth/key\nSocket inet:8891@127.0.0.1\n";
const VERIFIER: &str = "Mode v\nInternalHosts /srv/sender-auth/nobody\nAuthservID dkim.mx.example.com\nAlwaysAddARHeader yes\n\
                        Nameservers 127.0.0.1\nSocket inet:8892@127.0.0.1\n";
const JUDGE: &str = "AuthservID mx.example.com\nTrustedAuthservIDs dkim.mx.example.com\nIgnoreHosts /srv/sender-auth/nobody\n\
                     SPFIgnoreResults yes\nSocket inet:8893@127.0.0.1\nUserID opendmarc\nPidFile /srv/sender-auth/judge.pid\n";
const SASL: &str =
    "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN\nsasldb_path: /srv/sender-auth/sasldb\n";

/// Started once; they end with the sandbox.
static DAEMONS: LazyLock<()> = LazyLock::new(|| {
    process::write(format!("{FOLDER}/nobody"), 0o644, "192.0.2.254\n");
    process::write(format!("{FOLDER}/forged"), 0o644, "/^Authentication-Results[[:space:]]*:/ IGNORE\n");
    zone();
    for (name, text) in [("signer", SIGNER), ("verifier", VERIFIER)] {
        let file = format!("{FOLDER}/{name}.conf");
        process::write(&file, 0o644, &format!("{text}UserID opendkim\nPidFile {FOLDER}/{name}.pid\n"));
        run("opendkim", &["-x", &file]);
    }
    process::write(format!("{FOLDER}/judge.conf"), 0o644, JUDGE);
    run("opendmarc", &["-c", &format!("{FOLDER}/judge.conf")]);
    for port in [53, 8891, 8892, 8893] {
        poll::until_true(&format!("a daemon on port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
    logins();
});

/// Postfix's services before the daemons; gone when this is dropped.
struct Filters(());

impl Filters {
    fn put_up() -> Self {
        LazyLock::force(&DAEMONS);
        let filters = Self(());
        services();
        filters
    }
}

impl Drop for Filters {
    fn drop(&mut self) {
        // After a failed test, as much as possible is put back.
        let script = format!("cp -a {FOLDER}/master.cf /etc/postfix/master.cf; postfix reload");
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}

/// users.example's key and its policy, to refuse whatever it did not sign.
fn zone() {
    let key = format!("{FOLDER}/key");
    run("openssl", &["genrsa", "-out", &key, "2048"]);
    run("sh", &["-c", &format!("chown opendkim {key}; chmod 0600 {key}")]);
    let public = run("sh", &["-c", &format!("openssl rsa -in {key} -pubout -outform DER 2>/dev/null | base64 -w 0")]);
    // A string of DNS holds 255 bytes.
    let (first, second) = public.split_at(200);
    run(
        "dnsmasq",
        &[
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--listen-address=127.0.0.1",
            "--bind-interfaces",
            "--local=/#/",
            &format!("--pid-file={FOLDER}/dns.pid"),
            &format!("--txt-record=mail._domainkey.users.example,v=DKIM1; k=rsa; p={first},{second}"),
            "--txt-record=_dmarc.users.example,v=DMARC1; p=reject",
        ],
    );
}

fn logins() {
    process::write("/etc/postfix/sasl/smtpd.conf", 0o644, SASL);
    for login in ["keeper", "mallory"] {
        let add = "printf secret | saslpasswd2 -p -c -f /srv/sender-auth/sasldb -u sandbox.example.com \"$0\"";
        run("sh", &["-ec", add, login]);
    }
    run("chown", &["postfix", &format!("{FOLDER}/sasldb")]);
}

fn services() {
    run("cp", &["-a", "/etc/postfix/master.cf", &format!("{FOLDER}/master.cf")]);
    let judged = "-o smtpd_milters=inet:127.0.0.1:8892,inet:127.0.0.1:8893";
    for (service, command) in [
        ("checked/unix", "checked unix n - n - 0 cleanup -o header_checks=regexp:/srv/sender-auth/forged".to_owned()),
        ("2601/inet", format!("2601 inet n - n - - smtpd {judged} -o cleanup_service_name=checked")),
        ("2603/inet", format!("2603 inet n - n - - smtpd {judged}")),
        (
            "2602/inet",
            "2602 inet n - n - - smtpd -o smtpd_milters=inet:127.0.0.1:8891 -o content_filter=smtp:[127.0.0.1]:2601"
                .to_owned(),
        ),
        (
            "2587/inet",
            "2587 inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=cyrus -o smtpd_sasl_path=smtpd \
             -o cyrus_sasl_config_path=/etc/postfix/sasl"
                .to_owned(),
        ),
    ] {
        run("postconf", &["-M", &format!("{service}={command}")]);
    }
    postfix::reload();
    for port in [BORDER, SIGNING, OPEN_BORDER, SUBMISSION] {
        poll::until_true(&format!("smtpd on port {port}"), || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
}

/// Waits until this user's mail is refused for `reason`; there must be no reply.
fn assert_refused(user: &User, reason: &str) {
    let wanted = format!("reason={reason} ");
    let about = format!("sender={}", user.address);
    let id = poll::until("the mail to be received", || {
        let log = syslog::authpriv();
        let line = log.lines().find(|line| line.contains(&about) && line.contains("event=received"))?;
        line.split_once("queue=").and_then(|(_, rest)| rest.split(' ').next()).map(str::to_owned)
    });
    syslog::wait_for(&id, "refused");
    let audit = syslog::audit(&id);
    assert!(audit.iter().any(|line| line.contains(&wanted)), "{reason}: {audit:#?}");
    postfix::wait_until_gone(&id);
    assert_eq!(user.mailbox().messages(), Vec::<String>::new());
}

fn assert_answered(user: &User) {
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert!(reply.contains("Filesystem"), "{reply}");
}

fn submit(user: &User, port: u16, login: Option<&str>, mail: &str) {
    smtp::submit(port, login, &user.address, GATEWAY, mail).unwrap_or_else(|error| panic!("port {port}: {error}"));
}

#[test]
fn a_signature_that_the_border_has_verified() {
    let gateway = Gateway::make();
    let _filters = Filters::put_up();
    gateway.sh("printf '[intake]\\nauthserv_id = \"mx.example.com\"\\nrequire_authentication_results = true\\n' >>mailsudo.toml");
    assert!(gateway.check().names(Level::Ok, "sender-auth", "can"), "{:#?}", gateway.check());
    let disk = |name| {
        let user = User::enrol(name);
        let mail = user.mail(&user.request(&["disk"]));
        (user, mail)
    };

    let (signed, mail) = disk("signed");
    submit(&signed, SIGNING, None, &mail);
    assert_answered(&signed);

    let (unsigned, mail) = disk("unsigned");
    submit(&unsigned, BORDER, None, &mail);
    assert_refused(&unsigned, "unconfirmed-from");

    let (forger, mail) = disk("forger");
    submit(&forger, BORDER, None, &format!("{FORGED}{mail}"));
    assert_refused(&forger, "unconfirmed-from");

    // OpenDMARC reads a forged field with its own name as OpenDKIM's result, and says dmarc=pass. It is refused because
    // the forged field is still there.
    let (lucky, mail) = disk("lucky");
    submit(&lucky, OPEN_BORDER, None, &format!("{FORGED}{mail}"));
    assert_refused(&lucky, "ambiguous-results");

    let (unfiltered, mail) = disk("unfiltered");
    submit(&unfiltered, 25, None, &mail);
    assert_refused(&unfiltered, "unconfirmed-from");
}

#[test]
fn a_login_at_submission() {
    let gateway = Gateway::make();
    let _filters = Filters::put_up();
    for (name, port, login, refused) in [
        ("logged-in", SUBMISSION, Some("keeper"), None),
        ("borrowed", SUBMISSION, Some("mallory"), Some("foreign-login")),
        ("anonymous", 25, None, Some("no-login")),
    ] {
        let user = User::enrol(name);
        gateway.sh(&format!("printf 'logins = [\"keeper\"]\\nrequire_sasl = true\\n' >>users.d/{name}.toml"));
        submit(&user, port, login, &user.mail(&user.request(&["disk"])));
        match refused {
            Some(reason) => assert_refused(&user, reason),
            None => assert_answered(&user),
        }
    }
    assert!(gateway.check().names(Level::Ok, "sender-auth", "can"), "{:#?}", gateway.check());
}

#[test]
fn a_client_in_a_range() {
    let gateway = Gateway::make();
    gateway.sh("printf '[intake]\\nclients = [\"127.0.0.0/8\"]\\n' >>mailsudo.toml");
    let near = User::enrol("near");
    submit(&near, 25, None, &near.mail(&near.request(&["disk"])));
    assert_answered(&near);

    let far = User::enrol("far");
    gateway.sh("echo 'clients = [\"127.0.0.2\"]' >>users.d/far.toml");
    submit(&far, 25, None, &far.mail(&far.request(&["disk"])));
    assert_refused(&far, "foreign-client");

    // sendmail(1) is no client.
    let local = User::enrol("local");
    let mail = local.mail(&local.request(&["disk"]));
    let sent = process::run_with_input("/usr/sbin/sendmail", &["-i", "-f", &local.address, GATEWAY], &mail);
    assert!(sent.status.success(), "{sent:?}");
    assert_refused(&local, "foreign-client");
}
