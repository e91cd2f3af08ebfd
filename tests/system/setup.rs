//! `mailsudo setup` on the real Postfix: one command from an empty gateway to a genuine reply; a second run changes
//! nothing; `--undo` leaves everything as before.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::postgres_server::{DELIVER, OWNER, Server};
use crate::process::{self, run};
use crate::system_env::{self, PROGRAM};
use crate::{poll, postfix, smtp};

/// A gateway of its own, beside the one of the other tests; the address is an extension of nobody's.
pub(crate) const FOLDER: &str = "/etc/mailsudo-setup";
const RULES: &str = "/etc/sudoers.d/mailsudo-setup";
pub(crate) const LEDGER: &str = "/var/lib/mailsudo/setup.db";
const KEY: &str = "/root/setup.key.toml";

/// While this lives, the gateway's folder is there; nothing of it is left afterwards.
pub(crate) struct Bare;

impl Bare {
    pub(crate) fn make() -> Self {
        system_env::enter();
        for name in ["users.d", "commands.d"] {
            run("install", &["-d", &format!("{FOLDER}/{name}")]);
        }
        run("install", &["-d", "-m", "0750", "-g", system_env::SERVICE, &format!("{FOLDER}/secrets.d")]);
        let settings =
            format!("# Ours.\ngateway = \"x\"\naddress = \"x@example.com\"\n[ledger]\nurl = \"sqlite:{LEDGER}\"\n");
        process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, &settings);
        Self
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // As far as a failed test got.
        let _ = setup(&["--undo", "--yes"]);
        let _ = Command::new("sh")
            .args(["-c", &format!("rm -rf {FOLDER} {RULES}* {LEDGER}* {KEY}; postfix reload")])
            .output();
    }
}

pub(crate) fn setup(words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["setup", "--config", FOLDER]).args(words).stdin(Stdio::null());
    command.output().expect("the program")
}

pub(crate) const ANSWERS: [&str; 13] = [
    "--gateway",
    "setup",
    "--address",
    "setup@example.com",
    "--user",
    "sally",
    "--user-address",
    "sally@users.example",
    "--role",
    "web",
    "--command",
    "disk",
    "--key-file=/root/setup.key.toml",
];

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Everything that setup may touch.
pub(crate) fn state() -> Vec<String> {
    let files = ["/etc/postfix/main.cf", "/etc/postfix/master.cf"].map(process::text);
    let list = run("find", &[FOLDER, "/etc/sudoers.d", "/etc/postfix", "-type", "f", "-printf", "%p %m %u:%g\n"]);
    let mut lines: Vec<String> = list.lines().filter(|line| !line.contains("prng_exch")).map(str::to_owned).collect();
    lines.sort();
    lines.extend(files);
    lines.push(process::text(Path::new(FOLDER).join("mailsudo.toml")));
    lines
}

#[test]
fn one_command_leads_to_a_genuine_reply_and_another_one_back() {
    let _bare = Bare::make();
    let before = state();

    let dry = setup(&[&ANSWERS[..], &["--dry-run"]].concat());
    let text = said(&dry);
    assert!(dry.status.success(), "{text}");
    for part in
        ["+gateway = \"setup\"", "users.d/sally.toml", "commands.d/disk.toml", RULES, "+mailsudo-setup_time_limit"]
    {
        assert!(text.contains(part), "{part}: one difference of all files: {text}");
    }
    assert!(!text.contains("otpauth") && !text.contains("hmac_key"), "no secret is shown: {text}");
    assert_eq!(state(), before, "a dry run changes nothing");
    assert_eq!(setup(&ANSWERS).status.code(), Some(64), "unasked and without --yes");

    let done = setup(&[&ANSWERS[..], &["--yes"]].concat());
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    assert!(text.contains("The reply, genuine") && text.contains("| ok: help"), "{text}");
    assert!(text.contains("mailsudo key import setup.key.toml"), "{text}");
    assert!(process::text(Path::new(FOLDER).join("mailsudo.toml")).starts_with("# Ours.\n"), "comments stay");
    assert!(process::text(RULES).contains("/usr/bin/df"), "the sudo rules are there");
    assert!(Path::new(LEDGER).exists() && Path::new(KEY).exists());
    poll::until_true("an empty queue", postfix::queue_is_empty);
    let reply = crate::mailbox::Mailbox::of("sally@users.example").single();
    let verdict = process::run_with_input(PROGRAM, &["verify", "--key", KEY], &reply);
    assert!(verdict.status.success(), "{verdict:?}");

    run(PROGRAM, &["log", "export", "--config", FOLDER, "/root/setup-export.jsonl"]);
    assert!(process::text("/root/setup-export.jsonl").contains("\"change\":\"setup\""), "it is in the audit chain");
    run("rm", &["-f", "/root/setup-export.jsonl", "/root/setup-export.jsonl.manifest.json"]);

    let after = state();
    let again = setup(&[&ANSWERS[..], &["--yes"]].concat());
    assert!(again.status.success() && said(&again).ends_with("nothing to change\n"), "{}", said(&again));
    assert_eq!(state(), after);

    let undone = setup(&["--undo", "--yes"]);
    assert!(undone.status.success(), "{}", said(&undone));
    assert_eq!(state(), before);
    assert!(!Path::new(LEDGER).exists() && !Path::new(KEY).exists());
    assert!(said(&setup(&["--undo", "--yes"])).contains("nothing to undo"));
    assert!(
        smtp::send("sally@users.example", "setup@example.com", "Subject: x\n\nx\n").is_err(),
        "nobody of that name"
    );
}

#[test]
fn an_address_that_gets_no_mail_is_refused_and_a_failed_step_changes_nothing() {
    let _bare = Bare::make();
    let before = state();
    let mut foreign = ANSWERS;
    foreign[3] = "ops@elsewhere.example";
    let refused = setup(&[&foreign[..], &["--yes"]].concat());
    assert!(!refused.status.success() && said(&refused).contains("Relay access denied"), "{}", said(&refused));
    assert_eq!(state(), before);

    // postconf(1) writes main.cf through a file of this name: the step after all of the gateway's own files.
    let in_the_way = "/etc/postfix/main.cf.tmp";
    std::fs::create_dir(in_the_way).expect("a folder");
    let failed = setup(&[&ANSWERS[..], &["--yes"]].concat());
    std::fs::remove_dir(in_the_way).expect("removed");
    assert!(!failed.status.success() && said(&failed).contains("nothing was changed"), "{}", said(&failed));
    assert_eq!(state(), before);
    assert!(!Path::new(LEDGER).exists() && !Path::new(KEY).exists());
}

#[test]
fn a_ledger_in_postgresql_is_made_once_and_stays() {
    // Another mailbox, so that the other test finds one reply in its own.
    let answers = ANSWERS.map(|word| word.replace("sally@", "paul@"));
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let _bare = Bare::make();
    let before = state();
    let server = Server::start("");
    let database = server.database();
    let (url, owner) = (server.url(DELIVER, &database), server.url(OWNER, &database));
    let place = ["--ledger", url.as_str()];
    for (more, why) in [
        (&[][..], "--owner-url"),
        (&["--ledger", "postgresql:///x?host=/nowhere"], "no PostgreSQL server takes the ledger"),
        (&["--owner-url", "postgresql:///x?host=/nowhere"], "no PostgreSQL server takes the ledger"),
    ] {
        let place = if more.first() == Some(&"--ledger") { &[][..] } else { &place };
        let refused = setup(&[&answers[..], place, more, &["--yes"]].concat());
        assert!(refused.status.code() == Some(1) && said(&refused).contains(why), "{more:?}: {}", said(&refused));
        assert_eq!(state(), before, "{more:?}");
    }
    let words = [&answers[..], &place, &["--owner-url", &owner, "--yes"]].concat();
    let done = setup(&words);
    let text = said(&done);
    assert!(done.status.success() && text.contains("The reply, genuine"), "{text}");
    assert!(text.contains(&format!("+url = \"{url}\"")) && text.contains("(the empty ledger)"), "{text}");
    let requests = || server.sql(&database, "SELECT count(*) FROM mailsudo.requests");
    assert_eq!((requests().as_str(), Path::new(LEDGER).exists()), ("1", false));
    assert!(said(&setup(&words)).ends_with("nothing to change\n"));
    // On a second mail server the owner is not needed: the ledger is there.
    assert!(said(&setup(&[&answers[..], &place, &["--yes"]].concat())).ends_with("nothing to change\n"));

    let undone = setup(&["--undo", "--yes"]);
    assert!(
        undone.status.success() && said(&undone).contains("note: the ledger at postgresql://"),
        "{}",
        said(&undone)
    );
    assert_eq!(state(), before);
    assert_eq!(requests(), "1", "other mail servers may use it");
}
