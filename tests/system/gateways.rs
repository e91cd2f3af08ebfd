//! Two gateways on one host, behind one Postfix: the address chooses, each has its own sudo rules and ledger, and a
//! request for one never runs at the other.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::gateway::Gateway;
use crate::process::{self, run};
use crate::system_env::{self, CONFIG, GATEWAY, PROGRAM};
use crate::user::User;
use crate::{commands, postfix, smtp, syslog};

const FOLDER: &str = "/etc/mailsudo/paris";
const ADDRESS: &str = "ops+paris@example.com";
const TRANSPORT: &str = "mailsudo-paris";
const FRAGMENT: &str = "/etc/sudoers.d/mailsudo";
/// sudo passes over names with a dot.
const OTHER_FRAGMENT: &str = "/etc/sudoers.d/mailsudo-paris+annex";
const LEDGER: &str = "/var/lib/mailsudo/paris.db";
const SETTINGS: &str = "\
gateway = \"paris.annex\"
address = \"ops+paris@example.com\"
[ledger]
url = \"sqlite:/var/lib/mailsudo/paris.db\"
";
/// Called as one of the first gateway's commands is, and another program.
const DISK: &str = r#"
summary = "Not how full it is"
run_as  = "worker"
argv    = ["/usr/bin/id"]
[allow.operator]
"#;

/// The second gateway, made by the steps of docs/several-gateways.md; gone when this is dropped.
struct Paris;

impl Paris {
    fn make() -> Self {
        let paris = Self;
        run("install", &["-d", FOLDER, &format!("{FOLDER}/users.d"), &format!("{FOLDER}/commands.d")]);
        run("install", &["-d", "-m", "0750", "-g", system_env::SERVICE, &format!("{FOLDER}/secrets.d")]);
        process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, SETTINGS);
        process::write(format!("{FOLDER}/commands.d/disk.toml"), 0o644, DISK);
        system_env::init_ledger_of(PROGRAM, FOLDER);
        run(PROGRAM, &["sudoers", "--install", "--yes", "--config", FOLDER]);
        paris
    }
}

impl Drop for Paris {
    fn drop(&mut self) {
        let _ = Command::new(PROGRAM)
            .args(["postfix", "remove", "--yes", "--transport", TRANSPORT])
            .stdin(Stdio::null())
            .output();
        // After a failed test, as much as possible is put back.
        let script =
            format!("postconf -X recipient_delimiter; postfix reload; rm -rf {FOLDER} {OTHER_FRAGMENT}* {LEDGER}*");
        let _ = Command::new("sh").args(["-c", &script]).status();
    }
}

fn install(options: &[&str]) -> Output {
    let words = [&["postfix", "install"], options].concat();
    Command::new(PROGRAM).args(words).stdin(Stdio::null()).output().expect("the program")
}

/// The findings but for two that are always there: no program in the sandbox knows about the clock, and the gateways'
/// addresses are in example.com, which receives no mail from outside.
fn complaints(folder: &str) -> String {
    let output = Command::new(PROGRAM).args(["check", "--quiet", "--config", folder]).stdin(Stdio::null()).output();
    let said = String::from_utf8_lossy(&output.expect("the program is installed").stdout).into_owned();
    let is_usual = |line: &str| line.contains("clock: ") || line.contains("is the placeholder of the example");
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with(' ') && !is_usual(line)).collect();
    lines.join("\n")
}

fn send(user: &User, to: &str, request: &str) -> String {
    smtp::send(&user.address, to, &user.mail(request)).unwrap_or_else(|error| panic!("{to}: {error}"))
}

/// Waits for the end of a mail that must be refused for `reason`, without a reply.
fn assert_refused(user: &User, id: &str, reason: &str) {
    postfix::wait_until_gone(id);
    let audit = syslog::audit(id);
    assert!(audit.iter().any(|line| line.contains(&format!("reason={reason} "))), "{reason}: {audit:#?}");
    assert_eq!(user.mailbox().messages(), Vec::<String>::new());
}

#[test]
fn each_serves_its_own_address_and_its_own_requests() {
    let _first = Gateway::make();
    let fragment = process::text(FRAGMENT);
    let _paris = Paris::make();
    assert_eq!(process::text(FRAGMENT), fragment, "the first gateway's fragment is as it was");
    assert!(process::text(OTHER_FRAGMENT).contains("/usr/bin/id"), "the second gateway's own");
    run("visudo", &["-c"]);

    // One transport cannot serve two.
    let refused = install(&["--yes", "--config", FOLDER]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--transport, such as mailsudo-paris.annex"), "{refused:?}");
    let installed = install(&["--yes", "--config", FOLDER, "--transport", TRANSPORT]);
    assert!(installed.status.success(), "{installed:?}");
    run("postconf", &["-e", "recipient_delimiter=+"]);
    postfix::reload();
    let parisian = User::enrol_at(FOLDER, PROGRAM, "parisian", commands::ROLE);
    assert_eq!(complaints(CONFIG), "");
    assert_eq!(complaints(FOLDER), "");

    // The same command, by name, is another one at each.
    let id = send(&parisian, ADDRESS, &parisian.request(&["disk"]));
    let reply = parisian.mailbox().single();
    parisian.assert_genuine(&reply);
    assert!(reply.contains("(worker)"), "{reply}");
    assert!(postfix::statuses(&id)[0].contains(&format!("relay={TRANSPORT}")), "{:?}", postfix::statuses(&id));
    for (name, to) in [("berliner", GATEWAY), ("extended", "ops+anything@example.com")] {
        let user = User::enrol(name);
        send(&user, to, &user.request(&["disk"]));
        let reply = user.mailbox().single();
        user.assert_genuine(&reply);
        assert!(reply.contains("Filesystem"), "{to}: {reply}");
    }

    // A user whom the second gateway does not know is unknown there. A user whom it knows under the same key has still
    // signed for the first.
    let traveller = User::enrol("traveller");
    let request = traveller.request(&["disk"]);
    assert_refused(&traveller, &send(&traveller, ADDRESS, &request), "bad-mac");
    for part in ["users.d", "secrets.d"] {
        run("cp", &["-a", &format!("{CONFIG}/{part}/traveller.toml"), &format!("{FOLDER}/{part}/")]);
    }
    assert_refused(&traveller, &send(&traveller, ADDRESS, &request), "wrong-gateway");
    send(&traveller, GATEWAY, &request);
    assert!(traveller.mailbox().single().contains("Filesystem"));
    let requests = run(PROGRAM, &["log", "--config", FOLDER]);
    assert!(requests.contains("parisian") && !requests.contains("traveller"), "{requests}");
}

#[test]
fn one_address_has_one_gateway() {
    let _first = Gateway::make();
    let _paris = Paris::make();
    let same = SETTINGS.replace(ADDRESS, GATEWAY);
    process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, &same);
    let refused = install(&["--yes", "--config", FOLDER, "--transport", TRANSPORT]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("behind the transport mailsudo already"), "{refused:?}");
    assert!(!Path::new("/etc/postfix/mailsudo-paris_transport").exists());
    assert!(complaints(FOLDER).contains("has the address ops@example.com too"), "{}", complaints(FOLDER));

    // Nor a transport that another sysadmin has made.
    run("postconf", &["-M", "mailsudo-paris/unix=mailsudo-paris unix - n n - - pipe user=nobody argv=/bin/true"]);
    let refused = install(&["--yes", "--config", FOLDER, "--transport", TRANSPORT]);
    run("postconf", &["-MX", "mailsudo-paris/unix"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not mailsudo's"), "{refused:?}");
}
