//! Attacks as another local user, who is neither root nor the service user: to read or replace files, to send mail, to
//! act as the gateway or its users, and to make root do it. After each attempt comes one that works, which shows that
//! the test can tell.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::process::{self, run};
use crate::system_env::{self, CONFIG, GATEWAY, PROGRAM, SERVICE};
use crate::user::{self, User};
use crate::{commands, poll, postfix, syslog};

const EVE: &str = "eve";
const HOME: &str = "/home/eve";
/// A folder of eve's where every user may make folders.
const GATEWAY_OF_EVE: &str = "/tmp/eves";
const OWNED: &str = "/srv/owned";

fn enter() {
    system_env::enter();
    if !Path::new(HOME).exists() {
        run("useradd", &["--create-home", "--shell", "/bin/sh", EVE]);
    }
    process::remove(GATEWAY_OF_EVE);
    process::remove(OWNED);
}

/// Runs a script of sh(1) as `user`.
fn sh(user: &str, script: &str) -> Output {
    let line = ["--reuid", user, "--regid", user, "--clear-groups", "sh", "-c", script];
    let output = Command::new("setpriv").args(line).current_dir(HOME).stdin(Stdio::null()).output();
    output.expect("setpriv is part of util-linux")
}

fn works(user: &str, script: &str) -> bool {
    sh(user, script).status.success()
}

/// A gateway's folder: this service user, this sudo, this ledger, and one command as root.
fn gateway(folder: &str, service: &str, sudo: &str, ledger: &str) {
    let settings = format!(
        "gateway = \"sandbox\"\naddress = \"{GATEWAY}\"\nservice_user = \"{service}\"\n\
         [ledger]\nurl = \"sqlite:{ledger}\"\n[execution]\nsudo = \"{sudo}\"\n"
    );
    process::write(format!("{folder}/mailsudo.toml"), 0o644, &settings);
    let command =
        format!("summary = \"x\"\nrun_as = \"root\"\nargv = [\"/usr/bin/touch\", \"{OWNED}\"]\n[allow.operator]\n");
    process::write(format!("{folder}/commands.d/own.toml"), 0o644, &command);
    let about = "address = \"eve@users.example\"\nroles = [\"operator\"]\n";
    process::write(format!("{folder}/users.d/eve.toml"), 0o644, about);
    fs::create_dir(format!("{folder}/secrets.d")).expect("a folder");
}

#[test]
fn another_user_reads_and_changes_nothing() {
    enter();
    let _user = User::enrol("guarded");
    let own = "/tmp/guarded.key.toml";
    process::remove(own);
    run(PROGRAM, &["user", "rotate", "guarded", "--hmac", "--key-file", own]);
    let secrets = format!("{CONFIG}/secrets.d/guarded.toml");
    let ledger = "/var/lib/mailsudo/ledger.db";
    let files =
        [own, &secrets, ledger, &format!("{ledger}-wal"), &format!("{ledger}-claims"), "/etc/sudoers.d/mailsudo"];
    for file in files.into_iter().chain(["/root/guarded.key.toml"]) {
        assert!(Path::new(file).exists(), "{file} is not there to be read");
        assert!(!works(EVE, &format!("head -c1 {file}")), "{EVE} reads {file}");
        assert!(!works(EVE, &format!("echo x >>{file}")), "{EVE} writes to {file}");
    }
    for folder in
        [CONFIG, "/etc/mailsudo/users.d", "/etc/mailsudo/secrets.d", "/etc/mailsudo/commands.d", "/etc/sudoers.d"]
            .into_iter()
            .chain(["/var/lib/mailsudo"])
    {
        assert!(!works(EVE, &format!("ln -s /tmp/x {folder}/x.toml")), "{EVE} makes a link in {folder}");
        assert!(!works(EVE, &format!("mv {folder} {folder}.away || ln -sfn /tmp {folder}")), "{EVE} replaces {folder}");
    }
    // In a sticky folder every user may make files, and no user may remove another's.
    assert!(!works(EVE, &format!("rm -f {own} || mv {own} {own}.away || ln -sf /tmp/x {own}")));
    process::write("/tmp/plain", 0o644, "x");
    assert!(works(EVE, "head -c1 /tmp/plain") && works(SERVICE, &format!("head -c1 {secrets}")), "the test can tell");
    process::remove(own);
}

/// The names of temporary files can be guessed. Who makes them first causes only an error for root.
#[test]
fn existing_temporary_files_are_not_followed() {
    enter();
    process::write("/srv/precious", 0o600, "precious");
    let key = "/tmp/trapped.toml";
    process::remove(key);
    let eve: u32 = run("id", &["-u", EVE]).trim().parse().expect("id prints a number");
    let add = ["user", "add", "trapped", "--address", "t@users.example", "--role", commands::ROLE, "--key-file", key];
    let last: u32 = process::text("/proc/sys/kernel/ns_last_pid").trim().parse().expect("a number");
    for pid in last..last + 100 {
        let unsigned = format!("/tmp/.trapped.toml.{pid}");
        symlink("/srv/precious", &unsigned)
            .and_then(|()| lchown(&unsigned, Some(eve), Some(eve)))
            .expect("a link of eve's");
    }
    let output = Command::new(PROGRAM).args(add).output().expect("it starts");
    assert!(!output.status.success(), "no temporary file was there before, so nothing is shown: {output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("exist"), "{output:?}");
    assert_eq!(process::text("/srv/precious"), "precious");
    assert!(!Path::new(key).exists() && !Path::new("/etc/mailsudo/users.d/trapped.toml").exists());
    run("sh", &["-c", "rm -f /tmp/.trapped.toml.*"]);
    run(PROGRAM, &add);
    assert_eq!(fs::metadata(key).expect("now it is written").mode() & 0o7777, 0o600);
    run(PROGRAM, &["user", "remove", "trapped", "--yes"]);
    process::remove(key);
}

/// The program has no rights of its own: eve's gateway runs what eve may run.
#[test]
fn a_users_own_gateway_has_only_that_users_rights() {
    enter();
    let ledger = format!("{HOME}/state/ledger.db");
    let folder = format!("{HOME}/gateway");
    process::remove(&folder);
    gateway(&folder, EVE, "/usr/bin/sudo", &ledger);
    run("install", &["-d", "-o", EVE, "-g", EVE, "-m", "0700", &format!("{HOME}/state")]);
    run("chown", &["-R", &format!("{EVE}:{EVE}"), &folder]);
    run("rm", &[&format!("{folder}/users.d/eve.toml")]);
    assert!(works(EVE, &format!("rm -f key phone; {PROGRAM} ledger init --config {folder}")));
    // A new ledger refuses what was signed in the second of its making or before: `ledger init` sets its watermark.
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let made = second();
    poll::until_true("the next second", || second() > made);
    let script = format!(
        "set -e; export XDG_STATE_HOME={HOME}/state-of-sign; m() {{ {PROGRAM} \"$@\" --config {folder}; }}
         m user add eve --address eve@users.example --role operator --key-file key | grep -o 'otpauth:.*' >phone
         chmod 600 phone; {PROGRAM} sign own --key key --totp-secret-file phone --eml --from eve@users.example >mail
         m deliver <mail"
    );
    let output = sh(EVE, &script);
    let reply = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && reply.contains("result: refused"), "{output:?}");
    assert!(!Path::new(OWNED).exists(), "eve is root");

    // Eve's gateway has the name of the real one. The real one refuses the mail, and eve may not open its ledger.
    let id = user::send("eve@users.example", &process::text(format!("{HOME}/mail")));
    syslog::wait_for(&id, "bad-mac");
    let settings = process::text(format!("{folder}/mailsudo.toml"));
    let other = settings.replace(&ledger, "/var/lib/mailsudo/ledger.db");
    process::write(format!("{folder}/mailsudo.toml"), 0o644, &other);
    run("chown", &[EVE, &format!("{folder}/mailsudo.toml")]);
    let deliver = sh(EVE, &format!("{PROGRAM} deliver --config {folder} <mail"));
    assert_eq!(deliver.status.code(), Some(75), "{deliver:?}");
    assert!(!works(EVE, &format!("{PROGRAM} ledger prune --older-than 7d --yes --config {folder}")));
    assert!(!works(EVE, &format!("{PROGRAM} log --config {CONFIG}")), "eve may not read the log");
    // Nor may eve call sudo as the service user does.
    assert!(!works(
        EVE,
        &format!("/usr/bin/sudo -n -u root -- /usr/bin/timeout --kill-after=5s 60s /usr/bin/touch {OWNED}")
    ));
}

#[test]
fn forged_mail_and_forged_log_lines_stay_what_they_are() {
    enter();
    let user = User::enrol("forged");
    let bounces = || postfix::log().matches("status=bounced").count();
    let before = bounces();
    let request = user.request(&["whoami"]);
    let mail = |text: &str| process::write(format!("{HOME}/forged"), 0o644, &user.mail(text));
    let submit = format!("/usr/sbin/sendmail -i -f {} {GATEWAY} <forged", user.address);
    let refused = |text: &str| {
        let before = syslog::authpriv().matches("reason=bad-mac").count();
        mail(text);
        assert!(works(EVE, &submit));
        poll::until_true("a refusal", || syslog::authpriv().matches("reason=bad-mac").count() > before);
    };
    // The name on it does not matter: sender, From and every header are the user's own here.
    refused(&request.replace("command: whoami", "command: outlive"));
    refused(&request.replace("user: forged", "user: guarded"));
    assert!(user.mailbox().messages().is_empty());
    // Nor does it matter who brings a genuine one.
    mail(&request);
    assert!(works(EVE, &submit));
    user.assert_genuine(&user.mailbox().single());
    poll::until_true("an empty queue", || run("postqueue", &["-j"]).trim().is_empty());
    assert_eq!(bounces(), before, "a forged mail was bounced");

    // Every user may write to /dev/log under any name; what happened is in the ledger.
    assert!(works(
        EVE,
        "logger -p authpriv.info -t 'mailsudo[1]' 'event=admitted id=0123456789ab user=forged command=forgery'"
    ));
    poll::until_true("the forged line", || syslog::authpriv().contains("command=forgery"));
    let log = run(PROGRAM, &["log"]);
    assert!(log.contains("whoami") && !log.contains("forgery"), "{log}");
}

/// root's commands in a folder of eve's end with errors, and start nothing of eve's.
#[test]
fn root_starts_nothing_from_another_users_folder() {
    enter();
    let sudo = format!("{GATEWAY_OF_EVE}/sudo");
    let ledger = format!("{GATEWAY_OF_EVE}/state/ledger.db");
    gateway(GATEWAY_OF_EVE, EVE, &sudo, &ledger);
    let marker = "#!/bin/sh\n[ \"$(id -u)\" != 0 ] || echo \"$0 $*\" >>/srv/owned\necho 'Sudo version 1.9.13p3'\n";
    for name in ["sudo", "visudo", "timeout", "getent", "diff", "postconf", "sendmail"] {
        process::write(format!("{GATEWAY_OF_EVE}/{name}"), 0o755, marker);
    }
    run("chown", &["-R", &format!("{EVE}:{EVE}"), GATEWAY_OF_EVE]);
    let tries: [&[&str]; 16] = [
        &["check"],
        &["sudoers"],
        &["sudoers", "--check"],
        &["sudoers", "--install", "--yes", "--file", "/etc/sudoers.d/eves"],
        &["user", "list"],
        &["user", "add", "mallory", "--address", "m@users.example"],
        &["user", "disable", "eve"],
        &["user", "rotate", "eve", "--totp"],
        &["user", "remove", "eve", "--yes"],
        &["command", "list"],
        &["may", "eve", "own"],
        &["ledger", "init"],
        &["ledger", "status"],
        &["log"],
        &["metrics"],
        &["explain"],
    ];
    let as_root = |words: &[&str]| {
        // Eve's folder as the working one, eve's files as home, time zone and locale.
        let line = format!("exec {PROGRAM} \"$@\" --config {GATEWAY_OF_EVE}");
        let environment =
            [("HOME", HOME), ("XDG_CONFIG_HOME", HOME), ("TZ", ":/tmp/eves/sudo"), ("LC_ALL", "/tmp/eves/sudo")];
        let mut command = Command::new("sh");
        command
            .args(["-c", &line, "sh"])
            .args(words)
            .envs(environment)
            .current_dir(GATEWAY_OF_EVE)
            .stdin(Stdio::null());
        command.output().expect("it starts")
    };
    for words in tries {
        let output = as_root(words);
        assert!(!output.status.success(), "{words:?}: {output:?}");
    }
    assert!(!Path::new(OWNED).exists(), "started as root: {}", process::text(OWNED));
    assert!(!Path::new("/etc/sudoers.d/eves").exists());

    // root's own folder, and what the service user has in it: it may own commands, and they make no rule.
    run("chown", &["-R", "root:root", GATEWAY_OF_EVE]);
    run("chown", &[EVE, &format!("{GATEWAY_OF_EVE}/commands.d/own.toml")]);
    assert!(as_root(&["command", "list"]).status.success(), "the service user's file is read");
    let output = as_root(&["sudoers"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("chown root"), "{output:?}");
    run("chown", &["root", &format!("{GATEWAY_OF_EVE}/commands.d/own.toml")]);
    let output = as_root(&["sudoers"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("eve ALL = (root)"), "{output:?}");
    assert!(
        process::text(OWNED).contains("/tmp/eves/sudo --version"),
        "root's own word starts it, so the test can tell"
    );
    assert!(!process::text(OWNED).contains("getent"), "nothing is looked for in the working folder");
    process::remove(GATEWAY_OF_EVE);
    process::remove(OWNED);
}
