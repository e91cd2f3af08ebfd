//! `mailsudo check` and what is around a gateway: the clock, NoNewPrivileges, and users who may not read every file.

use std::process::{Command, Output};

use crate::gateway::{Found, Gateway, Level};
use crate::process::{self, run};
use crate::system_env::PROGRAM;

/// In the place of systemd's, because the sandbox has no systemd.
const TIMEDATECTL: &str = "/usr/local/bin/timedatectl";

fn clock_says(word: &str) {
    let script = format!("#!/bin/sh\n[ \"$*\" = 'show --property=NTPSynchronized --value' ] || exit 64\necho {word}\n");
    process::write(TIMEDATECTL, 0o755, &script);
}

#[test]
fn a_clock_that_is_synchronised_and_one_that_is_not() {
    let gateway = Gateway::make();
    clock_says("yes");
    let right = gateway.check();
    clock_says("no");
    let wrong = gateway.check();
    process::remove(TIMEDATECTL);
    assert!(right.names(Level::Ok, "clock", "synchronised"), "{right:#?}");
    let complaints: Vec<_> = right.complaints().iter().map(|finding| finding.about.clone()).collect();
    assert_eq!((right.status, complaints), (1, vec!["address".to_owned()]), "all else is correct: {right:#?}");
    assert!(wrong.names(Level::Warning, "clock", "not synchronised"), "{wrong:#?}");
}

#[test]
fn a_postfix_without_new_privileges() {
    let gateway = Gateway::make();
    run("postfix", &["stop"]);
    run("setpriv", &["--no-new-privs", "postfix", "start"]);
    let found = gateway.check();
    run("postfix", &["stop"]);
    // Another program's process by now: a stale process id is no finding.
    let pid_file = "/var/spool/postfix/pid/master.pid";
    let mut other = Command::new("setpriv")
        .args(["--no-new-privs", "sleep", "300"])
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start setpriv: {error}"));
    process::write(pid_file, 0o600, &format!("{:>10}\n", other.id()));
    let stale = gateway.check();
    let _ = other.kill();
    let _ = other.wait();
    run("postfix", &["start"]);
    assert!(found.names(Level::Error, "sudo", "Postfix runs with NoNewPrivileges"), "{found:#?}");
    assert!(!stale.complaints().iter().any(|finding| finding.about == "sudo"), "{stale:#?}");
    assert!(!gateway.check().complaints().iter().any(|finding| finding.about == "sudo"));
}

#[test]
fn a_shell_without_new_privileges() {
    let gateway = Gateway::make();
    let found = Found::read(&output("setpriv", &["--no-new-privs", PROGRAM, "check", "--json"]));
    assert!(found.names(Level::Warning, "sudo", "this shell has NoNewPrivileges"), "{found:#?}");
    assert!(!gateway.check().complaints().iter().any(|finding| finding.about == "sudo"));
}

fn output(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("cannot start {program}: {error}"))
}

/// Runs `mailsudo` as another account.
fn run_as(account: &str, words: &[&str]) -> Output {
    output("setpriv", &[&["--reuid", account, "--regid", account, "--init-groups", PROGRAM], words].concat())
}

/// What it says: exit status, standard output, standard error.
fn said_to(account: &str, words: &[&str]) -> (Option<i32>, String, String) {
    let output = run_as(account, words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn only_the_service_user_and_root_find_out_what_sudo_permits() {
    let gateway = Gateway::make();
    let asked = |account: &str| said_to(account, &["sudoers", "--check"]);
    let (status, said, _) = asked("mailsudo");
    assert!(status == Some(0) && said.contains("sudo -l"), "{status:?} {said}");

    gateway.sh("echo 'mailsudo ALL = (root) NOPASSWD: /usr/bin/sync' >/etc/sudoers.d/zz");
    let wider = asked("mailsudo");
    gateway.sh("rm /etc/sudoers.d/zz; sed -i '$d' $RULES");
    let narrower = asked("mailsudo");
    gateway.sh("mailsudo sudoers --install --yes");
    assert!(wider.0 == Some(1) && wider.1.contains("-(root) NOPASSWD: /usr/bin/sync"), "{wider:?}");
    assert!(narrower.0 == Some(1) && narrower.1.contains("\n+(worker) "), "{narrower:?}");
    assert_eq!(asked("mailsudo").0, Some(0));

    let (status, said, complaint) = asked("worker");
    assert_eq!((status, said.as_str()), (Some(2), ""), "{complaint}");
    assert!(complaint.contains("run it as root"), "{complaint}");

    // Odd literals: sudo lists fewer backslashes than its file has.
    let odd = r#"summary = "odd"
run_as = "worker:nogroup"
argv = ["/usr/bin/printf", "a,b:c=d#e", "[x]*?!", 'back\slash', "\"q'", "^x$", "~{{}}%&|;<>()@+-._`", "{longer}"]
[parameters.longer]
pattern = "^[a-z][a-z,:=.-]{0,2}$"
max_length = 3
[allow.operator]
"#;
    process::write("/etc/mailsudo/commands.d/odd.toml", 0o644, odd);
    let listed = odd.replace("pattern = \"^[a-z][a-z,:=.-]{0,2}$\"\nmax_length = 3", "one_of = [\"x\", 'y\\z']");
    process::write("/etc/mailsudo/commands.d/odder.toml", 0o644, &listed);
    gateway.sh("mailsudo sudoers --install --yes");
    let (status, said, complaint) = asked("mailsudo");
    assert_eq!(status, Some(0), "{said}{complaint}");
}

#[test]
fn a_user_without_rights_is_told_who_has_them() {
    let _gateway = Gateway::make();
    let found = Found::read(&run_as("worker", &["check", "--json"]));
    for about in ["secrets", "ledger", "sudoers"] {
        assert!(found.names(Level::Warning, about, "only root"), "{about}: {found:#?}");
    }
    assert_eq!(found.worst, Level::Warning, "what the caller may not open is not broken: {found:#?}");
    for words in [
        &["log"][..],
        &["ledger", "status"],
        &["user", "disable", "checker"],
        &["user", "test", "checker", "--code", "123456"],
    ] {
        let (status, _, complaint) = said_to("worker", words);
        assert!(status == Some(1) && complaint.trim_end().ends_with("run it as root"), "{words:?}: {complaint}");
    }
}
