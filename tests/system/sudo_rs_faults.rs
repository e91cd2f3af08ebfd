//! What prevents sudo-rs from starting a command, and what does not: in its own words, with the remedy in the log.

use std::process::Command;

use crate::commands::LEVELS;
use crate::process;
use crate::sudo_faults::{
    Fault, Later, SilentDns, fault, file, hangs_or_is_killed, nothing_runs_until_the_remedy, without_new_privileges,
};
use crate::sudo_rules::SudoRs;
use crate::system_env;
use crate::user::{User, in_block};

/// The faults that sudo-rs has. It knows neither `requiretty` nor `intercept` nor `log_input`, and looks no host name
/// up.
const FAULTS: [Fault; 11] = [
    fault(
        "shadowed",
        "echo 'mailsudo ALL=(ALL:ALL) ALL' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "rm /etc/sudoers.d/zzzz-test",
        "interactive authentication is required",
    ),
    fault(
        "denied",
        "echo 'mailsudo ALL=(ALL:ALL) !ALL' >/etc/sudoers.d/zzzz-test; chmod 0440 /etc/sudoers.d/zzzz-test",
        "rm /etc/sudoers.d/zzzz-test",
        "I'm sorry mailsudo",
    ),
    fault(
        "missing",
        "mv /etc/sudoers.d/mailsudo /root/rules",
        "mv /root/rules /etc/sudoers.d/mailsudo",
        "I'm sorry mailsudo",
    ),
    fault(
        "nopasswd",
        "cp -p /etc/sudoers.d/mailsudo /root/rules; sed -i s/NOPASSWD:// /etc/sudoers.d/mailsudo",
        "mv /root/rules /etc/sudoers.d/mailsudo",
        "interactive authentication is required",
    ),
    Fault {
        remedy: "--expiredate -1 mailsudo",
        is_enough: true,
        ..fault("expired", "chage -E 1 mailsudo", "chage -E -1 mailsudo", "Account validation failure")
    },
    Fault {
        remedy: "--status mailsudo",
        ..fault(
            "pamdeny",
            "cp -p /etc/pam.d/sudo /root/pam; sed -i '1i account required pam_deny.so' /etc/pam.d/sudo",
            "mv /root/pam /etc/pam.d/sudo",
            "Account validation failure",
        )
    },
    file("worldfile", "chmod 0666 /etc/sudoers.d/mailsudo", "cannot be world-writable", "0440 /etc/sudoers.d/mailsudo"),
    Fault {
        undo: "chgrp root /etc/sudoers.d/mailsudo",
        ..file(
            "groupfile",
            "chgrp daemon /etc/sudoers.d/mailsudo; chmod 0460 /etc/sudoers.d/mailsudo",
            "cannot be group-writable",
            "0440 /etc/sudoers.d/mailsudo",
        )
    },
    file("ownedfile", "chown 1 /etc/sudoers.d/mailsudo", "must be owned by root", "root /etc/sudoers.d/mailsudo"),
    file("worldmain", "chmod 0666 /etc/sudoers", "cannot be world-writable", "0440 /etc/sudoers"),
    file("ownedmain", "chown 1 /etc/sudoers", "must be owned by root", "root /etc/sudoers"),
];

#[test]
fn under_sudo_rs_nothing_is_run_and_the_remedy_works() {
    system_env::enter();
    let _sudo_rs = SudoRs::raise();
    for fault in FAULTS {
        let name = format!("rs{}", fault.name);
        let level = |level: &str| vec!["level".to_owned(), "name=heat".to_owned(), format!("level={level}")];
        nothing_runs_until_the_remedy(&fault, &name, [level("19"), level("20")]);
        assert!(!process::text(LEVELS).contains("heat=19"), "{name}: it ran later");
    }
}

#[test]
fn under_sudo_rs_a_hang_a_kill_and_no_new_privs_run_nothing() {
    system_env::enter();
    let _sudo_rs = SudoRs::raise();
    hangs_or_is_killed("rs", &["level", "name=light", "level=19"], "light=19");
    without_new_privileges("nonewprivsrs", &["level", "name=light", "level=19"]);
    assert!(!process::text(LEVELS).contains("light=19"), "it ran later");
}

/// sudo-rs does not know them: it prints that they are unknown where the command prints, and starts it. `noexec` and
/// `use_pty` it knows.
#[test]
fn under_sudo_rs_no_flag_keeps_a_command_from_starting() {
    system_env::enter();
    let _sudo_rs = SudoRs::raise();
    let flags = [
        ("requiretty", false),
        ("intercept", false),
        ("log_input", false),
        ("log_output", false),
        ("log_subcmds", false),
        ("noexec", true),
        ("use_pty", true),
    ];
    for (at, (flag, is_known)) in flags.into_iter().enumerate() {
        let name = format!("rs{}", flag.replace('_', ""));
        let user = User::enrol(&name);
        let later = Later::write(&format!("Defaults {flag}\n"));
        let level = format!("level={}", at + 1);
        user.send(&user.request(&["level", "name=light", &level]));
        let reply = user.mailbox().single();
        drop(later);
        assert_eq!(in_block(&reply, "result"), "exit-0", "{name}: {reply}");
        assert_eq!(
            reply.replace("=\n", "").contains(&format!("unknown setting: '{flag}'")),
            !is_known,
            "{name}: {reply}"
        );
        assert!(process::text(LEVELS).contains(&format!("light={}\n", at + 1)), "{name}: it has run");
    }
}

/// sudo-rs does not look it up.
#[test]
fn under_sudo_rs_a_silent_dns_delays_nothing() {
    system_env::enter();
    let _sudo_rs = SudoRs::raise();
    let user = User::enrol("silentdnsrs");
    process::write("/srv/silentdnsrs.eml", 0o644, &user.mail(&user.request(&["level", "name=light", "level=18"])));
    let ids = ["--reuid=mailsudo", "--regid=mailsudo", "--clear-groups", "--"];
    let script = format!("exec {} deliver </srv/silentdnsrs.eml", system_env::PROGRAM);
    let silent = SilentDns::begin();
    let output = Command::new("setpriv").args(ids).args(["sh", "-c", &script]).output().expect("setpriv");
    drop(silent);
    let reply = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(in_block(&reply, "result"), "exit-0", "{reply}{output:?}");
}
