//! `mailsudo check` has no finding about a good gateway, and names each thing that is broken, one at a time.

use crate::gateway::{Gateway, Level};
use crate::user::User;
use crate::{poll, postfix, process, syslog};

/// What breaks it and what repairs it, both for sh(1), and the finding: its level, its word, and what it has to name.
struct Break {
    by: &'static str,
    repaired_by: &'static str,
    level: Level,
    about: &'static str,
    named: &'static str,
}

const fn error(by: &'static str, repaired_by: &'static str, about: &'static str, named: &'static str) -> Break {
    Break { by, repaired_by, level: Level::Error, about, named }
}

const fn warning(by: &'static str, repaired_by: &'static str, about: &'static str, named: &'static str) -> Break {
    Break { by, repaired_by, level: Level::Warning, about, named }
}

/// Breaks and repairs one thing after the other; nothing of one may be left when the next begins.
fn each_is_named(breaks: &[Break]) {
    let gateway = Gateway::make();
    let good = gateway.check();
    // No program in the sandbox knows about the clock, and the address is that of the example.
    let worries: Vec<_> = good.complaints().iter().map(|finding| finding.about.clone()).collect();
    assert_eq!(worries, ["address", "clock"], "{:#?}", good.complaints());
    assert_eq!(good.status, 1);

    let mut missed = Vec::new();
    for case in breaks {
        gateway.sh(case.by);
        let found = gateway.check();
        gateway.sh(case.repaired_by);
        if !found.names(case.level, case.about, case.named) {
            missed.push(format!("`{}` is not named: {:#?}", case.by, found.complaints()));
        }
        let worst = found.findings.iter().map(|finding| finding.level).max();
        assert_eq!(found.status, if worst == Some(Level::Error) { 2 } else { 1 }, "`{}`: {found:#?}", case.by);
        assert_eq!(gateway.check(), good, "after `{}`, repaired by `{}`", case.by, case.repaired_by);
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn files_and_users() {
    each_is_named(&[
        error("chmod 0666 mailsudo.toml", "chmod 0644 mailsudo.toml", "configuration", "/etc/mailsudo/mailsudo.toml"),
        error("chmod 0777 .", "chmod 0755 .", "configuration", "/etc/mailsudo"),
        error("chmod 0600 mailsudo.toml", "chmod 0644 mailsudo.toml", "configuration", "mailsudo cannot read"),
        error("chmod 0600 users.d/checker.toml", "chmod 0644 users.d/checker.toml", "users", "mailsudo cannot read"),
        error("chmod 0600 commands.d/own.toml", "chmod 0644 commands.d/own.toml", "commands", "mailsudo cannot read"),
        error("chmod 0700 users.d", "chmod 0755 users.d", "users", "mailsudo cannot open files in"),
        error("chown worker mailsudo.toml", "chown root mailsudo.toml", "configuration", "mailsudo.toml"),
        error("echo 'adress = 1' >>mailsudo.toml", "sed -i '$d' mailsudo.toml", "configuration", "adress"),
        error("chmod 0600 $SECRETS", "chmod 0640 $SECRETS", "secrets", "mailsudo cannot read"),
        error("chgrp worker $SECRETS", "chgrp mailsudo $SECRETS", "secrets", "secrets.d/checker.toml"),
        error("chmod 0644 $SECRETS", "chmod 0640 $SECRETS", "secrets", "secrets.d/checker.toml"),
        error("chmod 0660 $SECRETS", "chmod 0640 $SECRETS", "secrets", "secrets.d/checker.toml"),
        error("chmod 0700 secrets.d", "chmod 0750 secrets.d", "secrets", "secrets.d"),
        error(
            "mv $SECRETS s; sed 's/secret=.*&/secret=1\\&/' s >$SECRETS; chgrp mailsudo $SECRETS; chmod 0640 $SECRETS",
            "mv s $SECRETS",
            "secrets",
            "secrets.d/checker.toml",
        ),
        error(
            "printf 'address = \"ops@example.com\"\\nroles = [\"operator\"]\\n' >users.d/twin.toml",
            "rm users.d/twin.toml",
            "users",
            "twin has the gateway's own address",
        ),
        error(
            "printf 'address = \"a@b.example\"\\nfrom = [\"ops@example.com\"]\\nroles = [\"operator\"]\\n' >users.d/twin.toml",
            "rm users.d/twin.toml",
            "users",
            "twin has the gateway's own address",
        ),
        error("printf 'address = 7\\n' >users.d/twin.toml", "rm users.d/twin.toml", "users", "users.d/twin.toml"),
        warning(
            "printf 'address = \"a@b.example\"\\nroles = [\"operator\"]\\n' >users.d/twin.toml",
            "rm users.d/twin.toml",
            "secrets",
            "twin has no secrets",
        ),
        warning("mv users.d/checker.toml u", "mv u users.d/checker.toml", "secrets", "secrets.d/checker.toml"),
        warning(
            "sed -i 's/operator/opreator/' users.d/checker.toml",
            "sed -i 's/opreator/operator/' users.d/checker.toml",
            "roles",
            "opreator, which no command allows",
        ),
        error(
            "mkdir ../mailsudo.old; cp mailsudo.toml ../mailsudo.old",
            "rm -r ../mailsudo.old",
            "gateway-name",
            "/etc/mailsudo.old",
        ),
        error(
            "sed -i s/mailsudo/nobody-here/ mailsudo.toml",
            "sed -i s/nobody-here/mailsudo/ mailsudo.toml",
            "service-user",
            "nobody-here",
        ),
    ]);
}

#[test]
fn commands_and_the_sudo_rules() {
    const OWN: &str = "/usr/local/libexec/own";
    each_is_named(&[
        error("echo nonsense >commands.d/bad.toml", "rm commands.d/bad.toml", "commands", "commands.d/bad.toml"),
        error("mv /usr/local/libexec/own o", "mv o /usr/local/libexec/own", "programs", OWN),
        error("chmod 0644 /usr/local/libexec/own", "chmod 0755 /usr/local/libexec/own", "programs", OWN),
        error(
            "chmod 0777 /usr/local/libexec/own",
            "chmod 0755 /usr/local/libexec/own",
            "programs",
            "changed by others",
        ),
        error(
            "chown worker /usr/local/libexec/own",
            "chown root /usr/local/libexec/own",
            "programs",
            "belongs to the account",
        ),
        error("chmod 0777 /usr/local/libexec", "chmod 0755 /usr/local/libexec", "programs", "/usr/local/libexec"),
        error("chown worker /usr/local/libexec", "chown root /usr/local/libexec", "programs", "/usr/local/libexec"),
        error(
            "sed -i 's/\"worker\"/\"ghost\"/' commands.d/own.toml",
            "sed -i 's/\"ghost\"/\"worker\"/' commands.d/own.toml",
            "commands",
            "ghost",
        ),
        warning(
            "echo '[allow.director]' >>commands.d/own.toml",
            "sed -i '$d' commands.d/own.toml",
            "roles",
            "director, which no user holds",
        ),
        warning(
            "sed -i 's/^.allow.*/#&/' commands.d/own.toml",
            "sed -i 's/^#//' commands.d/own.toml",
            "commands",
            "no role may run own",
        ),
        error("echo '# more' >>$RULES", "sed -i '$d' $RULES", "sudoers", "/etc/sudoers.d/mailsudo"),
        error("mv $RULES r", "mv r $RULES", "sudoers", "/etc/sudoers.d/mailsudo"),
        error("sed -i 's/^@include/#&/' /etc/sudoers", "sed -i 's/^#@/@/' /etc/sudoers", "sudoers", "does not start"),
        error(
            "echo 'mailsudo ALL = (ALL) !/usr/bin/timeout' >/etc/sudoers.d/zz",
            "rm /etc/sudoers.d/zz",
            "sudoers",
            "does not start",
        ),
        error(
            "echo '%mailsudo ALL=(ALL:ALL) ALL' >/etc/sudoers.d/zz",
            "rm /etc/sudoers.d/zz",
            "sudoers",
            "/etc/sudoers.d/zz:1",
        ),
        error(
            "cp -p /etc/sudoers /root/s; echo '%mailsudo ALL=(ALL:ALL) ALL' >>/etc/sudoers",
            "mv /root/s /etc/sudoers",
            "sudoers",
            "a later rule is in /etc/sudoers:",
        ),
        error("echo 'Defaults requiretty' >/etc/sudoers.d/zz", "rm /etc/sudoers.d/zz", "sudoers", "have a tty"),
        error("echo 'Defaults intercept' >/etc/sudoers.d/zz", "rm /etc/sudoers.d/zz", "sudoers", "Permission denied"),
        error("echo 'Defaults log_input' >/etc/sudoers.d/zz", "rm /etc/sudoers.d/zz", "sudoers", "log_input"),
        warning("seq 2001 | sed 's/^/# /' >/etc/sudoers.d/long", "rm /etc/sudoers.d/long", "sudoers", "lines"),
        error("chmod u-s /usr/bin/sudo", "chmod u+s /usr/bin/sudo", "sudo", "setuid"),
        error(
            "mount --bind /usr/bin /usr/bin; mount -o remount,bind,nosuid /usr/bin",
            "umount -l /usr/bin",
            "sudo",
            "nosuid",
        ),
        warning(
            "sed -i '/execution/a run_via = \"direct\"' mailsudo.toml",
            "sed -i /^run_via/d mailsudo.toml",
            "run_via",
            "direct",
        ),
        warning(
            "sed -i '/execution/a fence = \"sudo\"' mailsudo.toml",
            "sed -i /^fence/d mailsudo.toml",
            "configuration",
            "fence = \"sudo\" is an old name",
        ),
    ]);
}

#[test]
fn the_ledger() {
    const OWNER: &str = "chown mailsudo:mailsudo $LEDGER";
    each_is_named(&[
        error("mv $LEDGER l", "mv l $LEDGER", "ledger", "no ledger at /var/lib/mailsudo/ledger.db"),
        error("chown root:root $LEDGER", OWNER, "ledger", "mailsudo cannot write to /var/lib/mailsudo/ledger.db"),
        error("chmod 0400 $LEDGER", "chmod 0600 $LEDGER", "ledger", "ledger.db"),
        error("chown root:root ${LEDGER%/*}", "chown mailsudo:mailsudo ${LEDGER%/*}", "ledger", "/var/lib/mailsudo"),
        error("chown worker $LEDGER", OWNER, "ledger", "ledger.db"),
        warning(
            "cp -a ${LEDGER%/*} /srv/kept; mount -t tmpfs tmpfs ${LEDGER%/*}; cp -a /srv/kept/. ${LEDGER%/*}/",
            "umount ${LEDGER%/*}; rm -r /srv/kept",
            "ledger",
            "tmpfs",
        ),
        error(
            "cp -a ${LEDGER%/*} /srv/kept; rm -f $LEDGER-wal $LEDGER-shm; echo nonsense >$LEDGER",
            "rm ${LEDGER%/*}/*; cp -a /srv/kept/. ${LEDGER%/*}/; rm -r /srv/kept",
            "ledger",
            "not a database",
        ),
    ]);
}

#[test]
fn a_damaged_page_of_the_ledger_is_found_by_reading_all_of_it() {
    let gateway = Gateway::make();
    // A page that is not also in the write-ahead log, and not the first, which identifies the file.
    gateway.sh(
        "cp -a ${LEDGER%/*} /srv/kept; mailsudo ledger backup /srv/whole; rm -f $LEDGER $LEDGER-wal $LEDGER-shm; \
                mv /srv/whole $LEDGER; chown mailsudo: $LEDGER; \
                dd if=/dev/urandom of=$LEDGER bs=4096 seek=1 count=2 conv=notrunc",
    );
    let found = gateway.check_with(&["--deep"]);
    gateway.sh("rm ${LEDGER%/*}/*; cp -a /srv/kept/. ${LEDGER%/*}/; rm -r /srv/kept");
    assert!(found.names(Level::Error, "ledger", "is damaged"), "{:#?}", found.complaints());
}

#[test]
fn postfix_and_the_programs_around_it() {
    const LIMIT: &str = "mailsudo_destination_recipient_limit";
    each_is_named(&[
        error("cp $MASTER m; postconf -MX mailsudo/unix", "cp m $MASTER; rm m", "postfix", "no transport"),
        error("sed -i s/flags=Rq/flags=DRq/ $MASTER", "sed -i s/flags=DRq/flags=Rq/ $MASTER", "postfix", "the flag D"),
        warning(
            "sed -i s/flags=Rq/flags=R/ $MASTER",
            "sed -i s/flags=R/flags=Rq/ $MASTER",
            "postfix",
            "lacks the flag q",
        ),
        error("sed -i 's/flags=Rq/& size=9/' $MASTER", "sed -i 's/ size=9//' $MASTER", "postfix", "size="),
        error(
            "sed -i s/user=mailsudo/user=worker/ $MASTER",
            "sed -i s/user=worker/user=mailsudo/ $MASTER",
            "postfix",
            "does not run as mailsudo",
        ),
        error("cp $MASTER m; sed -i 's/--reply-via[^ ]*//' $MASTER", "cp m $MASTER; rm m", "postfix", "--reply-via"),
        warning(
            "cp $MASTER m; sed -i 's/null_sender=[^ ]*//' $MASTER",
            "cp m $MASTER; rm m",
            "postfix",
            "null_sender=",
        ),
        error("cp $MAIN m; postconf -e mailsudo_destination_recipient_limit=50", "cp m $MAIN; rm m", "postfix", LIMIT),
        error("cp $MAIN m; postconf -X mailsudo_destination_recipient_limit", "cp m $MAIN; rm m", "postfix", LIMIT),
        error("cp $MAIN m; postconf -e mailsudo_time_limit=60s", "cp m $MAIN; rm m", "postfix", "mailsudo_time_limit"),
        error("cp $MAIN m; postconf -e mailsudo_time_limit=7m", "cp m $MAIN; rm m", "postfix", "480 s"),
        error("cp $MAIN m; postconf -e transport_maps=", "cp m $MAIN; rm m", "postfix", "transport_maps"),
        error(
            "cp $MAIN m; postconf -e transport_maps=inline:{ops@example.com=local:}",
            "cp m $MAIN; rm m",
            "postfix",
            "to local:",
        ),
        error("postfix stop", "postfix start", "postfix", "Postfix is not running"),
        warning(
            "cp $MAIN m; postconf -e mydestination=localhost",
            "cp m $MAIN; rm m",
            "postfix",
            "example.com is in none of mydestination",
        ),
        error(
            "cp $MAIN m; postconf -e mydestination=localhost virtual_alias_domains=example.com",
            "cp m $MAIN; rm m",
            "postfix",
            "example.com is in virtual_alias_domains",
        ),
        error(
            "cp $MAIN m; postconf -e local_recipient_maps=unix:passwd.byname",
            "cp m $MAIN; rm m",
            "postfix",
            "ops@example.com is not in local_recipient_maps",
        ),
        warning(
            "cp $MAIN m; postconf -e virtual_alias_maps=inline:{ops@example.com=root@users.example}",
            "cp m $MAIN; rm m",
            "postfix",
            "virtual_alias_maps turns ops@example.com into root@users.example",
        ),
        error("mv /usr/sbin/sendmail s", "mv s /usr/sbin/sendmail", "sendmail", "/usr/sbin/sendmail"),
        error(
            "mv /etc/postfix/mailsudo_transport t",
            "mv t /etc/postfix/mailsudo_transport",
            "postfix",
            "transport_maps",
        ),
    ]);
}

#[test]
fn sender_authentication() {
    const REPAIR: &str = "sed -i '$d' users.d/checker.toml";
    const INTAKE: &str = "sed -i '/^.intake/,$d' mailsudo.toml";
    each_is_named(&[
        error(
            "sed -i '$a require_sasl = true' users.d/checker.toml",
            REPAIR,
            "sender-auth",
            "checker must log in, and has no login",
        ),
        warning(
            "sed -i '$a logins = [\"checker\"]' users.d/checker.toml",
            REPAIR,
            "sender-auth",
            "checker has logins, and need not log in",
        ),
        warning(
            "sed -i '$a logins = [\"checker\"]\\nrequire_sasl = true' users.d/checker.toml",
            "sed -i '$d' users.d/checker.toml; sed -i '$d' users.d/checker.toml",
            "sender-auth",
            "no smtpd of this Postfix offers a login",
        ),
        error(
            "sed -i '$a require_sasl = true' users.d/checker.toml; cp $MASTER m; sed -i 's/--sasl-username=[^ ]*//' $MASTER",
            "sed -i '$d' users.d/checker.toml; cp m $MASTER; rm m",
            "postfix",
            "lacks --sasl-username=${sasl_username}",
        ),
        error(
            "sed -i '$a clients = [\"127.0.0.1\"]' users.d/checker.toml; cp $MASTER m; sed -i 's/--client-address=[^ ]*//' $MASTER",
            "sed -i '$d' users.d/checker.toml; cp m $MASTER; rm m",
            "postfix",
            "lacks --client-address=${client_address}",
        ),
        error(
            "sed -i '$a require_authentication_results = true' users.d/checker.toml",
            REPAIR,
            "sender-auth",
            "no authserv_id is trusted",
        ),
        warning(
            "printf '[intake]\nauthserv_id = \"mx.example.com\"\n' >>mailsudo.toml",
            INTAKE,
            "sender-auth",
            "no user needs its results",
        ),
        warning(
            "printf '[intake]\nauthserv_id = \"mx.example.com\"\nrequire_authentication_results = true\n' >>mailsudo.toml",
            INTAKE,
            "sender-auth",
            "no filter that could write one",
        ),
        warning(
            "printf '[intake]\nclients = [\"2001:db8::/32\"]\n' >>mailsudo.toml",
            INTAKE,
            "sender-auth",
            "clients names ipv6 addresses",
        ),
        error(
            "printf '[intake]\nclients = [\"127.0.0.0/8\"]\n' >>mailsudo.toml; \
             sed -i '$a clients = [\"192.0.2.1\"]' users.d/checker.toml",
            "sed -i '/^.intake/,$d' mailsudo.toml; sed -i '$d' users.d/checker.toml",
            "sender-auth",
            "checker's clients are none of those in [intake]",
        ),
    ]);
}

#[test]
fn other_gateways() {
    const OLD: &str = "rm -r ../mailsudo.old";
    each_is_named(&[
        error(
            "mkdir ../mailsudo.old; sed 's/^gateway.*/gateway = \"old\"/; s/ops@/old@/' mailsudo.toml >../mailsudo.old/mailsudo.toml",
            OLD,
            "ledger",
            "/etc/mailsudo.old has the same ledger",
        ),
        error(
            "mkdir inner; printf 'gateway = \"inner\"\naddress = \"OPS@example.com\"\n' >inner/mailsudo.toml",
            "rm -r inner",
            "postfix",
            "/etc/mailsudo/inner has the address ops@example.com too",
        ),
        error(
            "mkdir /srv/far; cp mailsudo.toml /srv/far; cp $MASTER m; \
             postconf -M 'far/unix=far unix - n n - 4 pipe user=mailsudo argv=/usr/local/bin/mailsudo deliver --config /srv/far'",
            "cp m $MASTER; rm m; rm -r /srv/far",
            "gateway-name",
            "/srv/far has the name",
        ),
        warning(
            "sed 's/gateway `[a-z]*`/gateway `gone`/' $RULES >/etc/sudoers.d/mailsudo-gone; chmod 0440 /etc/sudoers.d/mailsudo-gone",
            "rm /etc/sudoers.d/mailsudo-gone",
            "sudoers",
            "/etc/sudoers.d/mailsudo-gone permits what the gateway gone may run",
        ),
    ]);
}

#[test]
fn a_silent_syslog() {
    let gateway = Gateway::make();
    syslog::stop();
    let found = gateway.check();
    syslog::start();
    assert!(found.names(Level::Error, "syslog", "/dev/log"), "{found:#?}");
    assert_eq!(found.status, 2);
    assert!(gateway.check().names(Level::Ok, "syslog", "/dev/log"));
}

#[test]
fn mail_that_waits() {
    let gateway = Gateway::make();
    let user = User::enrol("waiting");
    gateway.sh("mv commands.d/own.toml o; echo nonsense >commands.d/own.toml");
    let id = user.send(&user.request(&["own"]));
    postfix::wait_until_deferred(&id, 1);
    let found = gateway.check();
    gateway.sh("mv o commands.d/own.toml");
    assert!(found.names(Level::Warning, "queue", "1 mail"), "{found:#?}");
    // As docs/operations.md has it.
    let explained = process::run("sh", &["-ec", &format!("postcat -qbh {id} | mailsudo explain")]);
    assert!(explained.contains("mac: right") && explained.contains("would run: "), "{explained}");

    postfix::retry();
    user.mailbox().single();
    postfix::wait_until_gone(&id);
    poll::until_true("a queue without mail", || gateway.check().names(Level::Ok, "queue", "no mail waits"));
}
