//! Approval between people: one asks, another one approves, through the real Postfix and sudo. With input, with SSH
//! keys, and by the mails that the users' page makes in a real browser.

use std::fs;

use crate::process::{self, run};
use crate::system_env::{self, CONFIG, PROGRAM};
use crate::user::{self, User, in_block};
use crate::{poll, postfix, sudo_rules, syslog};

/// Role `asker` may ask, role `overseer` may approve. Of `lock`, which alice asks for, carol is the only approver.
const COMMANDS: [(&str, &str); 3] = [
    (
        "engrave",
        r#"
summary = "Add a line to what stays"
run_as  = "root"
argv    = ["/usr/local/libexec/append", "/srv/engraved", "{text}"]
[parameters.text]
pattern    = "^[a-z0-9]+$"
max_length = 40
[approval]
by     = ["role:overseer"]
reason = true
[allow.asker]
"#,
    ),
    (
        "pour",
        r#"
summary = "The digest of what comes in"
run_as  = "worker"
argv    = ["/usr/bin/sha256sum"]
[payload]
required = true
type     = "text"
[approval]
by     = ["role:overseer"]
[allow.asker]
"#,
    ),
    (
        "seal",
        r#"
summary = "As whom it runs"
run_as  = "worker"
argv    = ["/usr/bin/id", "-un"]
require_signature = true
[approval]
by     = ["role:overseer"]
[allow.asker]
"#,
    ),
];

/// The commands that need approval. They are gone when this is dropped.
struct Approvals(());

impl Approvals {
    fn raise() -> Self {
        system_env::enter();
        let approvals = Self(());
        for (name, toml) in COMMANDS {
            process::write(format!("{CONFIG}/commands.d/{name}.toml"), 0o644, toml);
        }
        let lock = process::text(system_env::in_checkout("examples/approval/lock.toml"));
        process::write(format!("{CONFIG}/commands.d/lock.toml"), 0o644, &lock);
        run(PROGRAM, &["sudoers", "--install", "--yes"]);
        approvals
    }
}

impl Drop for Approvals {
    fn drop(&mut self) {
        for name in COMMANDS.map(|(name, _)| name).into_iter().chain(["lock"]) {
            process::remove(&format!("{CONFIG}/commands.d/{name}.toml"));
        }
        sudo_rules::raise_sudo();
    }
}

/// The one message to a user whose Subject ends like this.
fn message(to: &User, subject: &str) -> String {
    poll::until(&format!("a mail for {} with {subject}", to.address), || {
        let messages = to.mailbox().messages();
        let mut found = messages.iter().filter(|message| subject_of(message).ends_with(subject));
        let message = found.next()?.clone();
        assert!(found.next().is_none(), "twice: {message}");
        Some(message)
    })
}

/// The Subject of a message, its encoded words decoded.
fn subject_of(message: &str) -> String {
    mailsudo::intake::shown(message.as_bytes()).and_then(|message| message.subject).unwrap_or_default()
}

/// The value of a line of a notice's block.
fn in_notice<'n>(notice: &'n str, key: &str) -> &'n str {
    let block = notice.rfind("mailsudo-notice:").map_or("", |start| &notice[start..]);
    let value = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no `{key}` in the notice:\n{notice}"))
}

fn arguments(notice: &str) -> [String; 2] {
    [format!("id={}", in_notice(notice, "request")), format!("digest={}", in_notice(notice, "digest"))]
}

fn approve(approver: &User, notice: &str) -> String {
    let [id, digest] = arguments(notice);
    approver.send(&approver.request(&["approve", &id, &digest]))
}

#[test]
fn what_another_user_approves_runs_once_under_sudo_and_both_get_signed_replies() {
    let _approvals = Approvals::raise();
    let asker = User::enrol_by(PROGRAM, "ap-asker", "asker");
    let approver = User::enrol_by(PROGRAM, "ap-approver", "overseer");

    let request = asker.request(&["engrave", "text=approved1", "reason=it is time"]);
    let request_id = asker.send(&request);
    let notice = message(&approver, ": to approve");
    approver.assert_genuine(&notice);
    let pending = message(&asker, ": waits for approval");
    asker.assert_genuine(&pending);
    assert_eq!(in_block(&pending, "result"), "pending");
    syslog::wait_for(&request_id, "pending");
    assert!(!process::text("/srv/engraved").contains("approved1"), "nothing ran yet");

    let [id, digest] = arguments(&notice);
    let vote = approver.request(&["approve", &id, &digest]);
    let voted = approver.send(&vote);
    let outcome = message(&asker, ": ok");
    asker.assert_genuine(&outcome);
    assert_eq!(in_block(&outcome, "result"), "exit-0");
    assert!(outcome.contains("approved by ap-approver at "), "{outcome}");
    let own = poll::until("the approver's reply", || {
        approver.mailbox().messages().into_iter().find(|message| message.contains("mailsudo-reply: 1"))
    });
    approver.assert_genuine(&own);
    for event in ["voted", "started", "finished", "replied"] {
        syslog::wait_for(&voted, event);
    }
    assert_eq!(process::text("/srv/engraved").matches("approved1\n").count(), 1);
    assert_eq!(syslog::sudo_ran("approved1").len(), 1);

    // Both mails once more: nothing happens.
    postfix::wait_until_gone(&voted);
    let sent = (asker.mailbox().messages().len(), approver.mailbox().messages().len());
    for (user, block) in [(&asker, &request), (&approver, &vote)] {
        let again = user.send(block);
        syslog::wait_for(&again, "refused");
        postfix::wait_until_gone(&again);
    }
    assert_eq!(sent, (asker.mailbox().messages().len(), approver.mailbox().messages().len()));
    assert_eq!(syslog::sudo_ran("approved1").len(), 1);
}

#[test]
fn an_approved_payload_is_what_the_command_reads() {
    let _approvals = Approvals::raise();
    let asker = User::enrol_by(PROGRAM, "pl-asker", "asker");
    let approver = User::enrol_by(PROGRAM, "pl-approver", "overseer");
    let content = "table inet filter {\n\tchain input { type filter hook input priority 0; }\n}\n";
    process::write("/root/rules.nft", 0o600, content);
    let digest = run("sh", &["-c", "sha256sum </root/rules.nft"]);
    let digest = digest.split_whitespace().next().expect("a digest");

    let mail = asker.signed_mail(&["pour", "--payload", "/root/rules.nft"]);
    user::send(&asker.address, &mail);
    let notice = message(&approver, ": to approve");
    approver.assert_genuine(&notice);
    let shown = mailsudo::intake::readable(notice.as_bytes()).join("\n");
    assert!(shown.contains(&format!("{} bytes on standard input, sha256 {digest}", content.len())), "{shown}");
    assert!(shown.contains("| table inet filter {\n"), "the approver reads it: {shown}");
    approve(&approver, &notice);
    let outcome = message(&asker, ": ok");
    asker.assert_genuine(&outcome);
    assert!(outcome.contains(digest), "{outcome}");
}

#[test]
fn where_a_signature_is_required_asker_and_approver_sign_with_their_ssh_keys() {
    let _approvals = Approvals::raise();
    let asker = User::enrol_by(PROGRAM, "ss-asker", "asker");
    let approver = User::enrol_by(PROGRAM, "ss-approver", "overseer");
    let other = User::enrol_by(PROGRAM, "ss-other", "overseer");
    for (name, kind) in [("ss-asker", "ed25519"), ("ss-approver", "ecdsa"), ("ss-other", "rsa")] {
        let file = format!("/root/{name}.ssh");
        process::remove(&file);
        let bits = if kind == "rsa" { "3072" } else { "256" };
        run("ssh-keygen", &["-q", "-t", kind, "-b", bits, "-N", "", "-C", name, "-f", &file]);
        run(PROGRAM, &["user", "rotate", name, "--ssh-key", &format!("{file}.pub")]);
    }
    let key = |name: &str| format!("/root/{name}.ssh.pub");
    asker.send(&asker.request(&["seal", "--ssh-key", &key("ss-asker")]));
    let notice = message(&approver, ": to approve");
    let [id, digest] = arguments(&notice);

    let unsigned = other.send(&other.request(&["approve", &id, &digest]));
    syslog::wait_for(&unsigned, "refused");
    let refusal = message(&other, ": refused");
    other.assert_genuine(&refusal);
    assert!(refusal.contains("a signature under one of your SSH keys"), "{refusal}");

    let signed = approver.send(&approver.request(&["approve", &id, &digest, "--ssh-key", &key("ss-approver")]));
    syslog::wait_for(&signed, "replied");
    let outcome = message(&asker, ": ok");
    asker.assert_genuine(&outcome);
    assert!(outcome.contains("\nworker\n"), "{outcome}");
    assert!(syslog::authpriv().lines().any(|line| line.contains("event=voted") && line.contains("ssh_key=")));
}

/// alice asks with the page, and carol approves with hers, both in Chromium. What they save goes through Postfix.
#[test]
fn the_mails_that_the_page_saves_are_accepted_and_run() {
    let _approvals = Approvals::raise();
    let asker = User::enrol_by(PROGRAM, "pg-asker", "asker");
    let approver = User::enrol_by(PROGRAM, "pg-approver", "overseer");
    let request = saved_by_page("pg-asker", &["engrave", "text=bypage", "Reason=from a phone"]);
    user::send(&asker.address, &request);
    process::write("/root/notice.eml", 0o600, &message(&approver, ": to approve"));
    let answer = saved_by_page("pg-approver", &["--approve", "/root/notice.eml"]);
    user::send(&approver.address, &answer);
    let outcome = message(&asker, ": ok");
    asker.assert_genuine(&outcome);
    assert!(process::text("/srv/engraved").lines().any(|line| line == "bypage"));
    assert_eq!(syslog::sudo_ran("bypage").len(), 1);
}

/// The same with a file that Chromium attaches: the command reads its bytes.
#[test]
fn a_file_that_the_page_attaches_is_what_the_command_reads() {
    let _approvals = Approvals::raise();
    let asker = User::enrol_by(PROGRAM, "pf-asker", "asker");
    let approver = User::enrol_by(PROGRAM, "pf-approver", "overseer");
    process::write("/root/page-rules.nft", 0o644, "table inet a {\n}\ntext: zo\u{eb}\n");
    let request = saved_by_page("pf-asker", &["pour", "@/root/page-rules.nft"]);
    assert!(request.contains("filename=\"page-rules.nft\""), "{request}");
    user::send(&asker.address, &request);
    process::write("/root/file-notice.eml", 0o600, &message(&approver, ": to approve"));
    let answer = saved_by_page("pf-approver", &["--approve", "/root/file-notice.eml"]);
    user::send(&approver.address, &answer);
    let outcome = message(&asker, ": ok");
    asker.assert_genuine(&outcome);
    let digest = run("sha256sum", &["/root/page-rules.nft"]);
    let digest = digest.split_whitespace().next().expect("a digest");
    assert!(outcome.contains(&format!("\n{digest}  -\n")), "{digest} is not in {outcome}");
}

/// The mail that the page of a user saves in Chromium, its lines ended as sendmail(1) wants them.
fn saved_by_page(name: &str, words: &[&str]) -> String {
    let script = system_env::in_checkout("page/test/save-mail.mjs");
    let [page, key, phone] = ["html", "key.toml", "secret"].map(|ending| format!("/root/{name}.{ending}"));
    process::write(&page, 0o644, &run(PROGRAM, &["page", "--user", name]));
    let path = run("node", &[&[script.as_str(), &page, &key, &phone, "/root/saved"], words].concat());
    let saved = fs::read_to_string(path.trim()).unwrap_or_else(|error| panic!("{path}: {error}"));
    saved.replace("\r\n", "\n")
}

/// What differs from one day to the next: ids, digests, macs, times, and how long it took.
fn without_what_changes(session: &str) -> String {
    let hex = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = |word: &str| word.len() == 20 && word.ends_with('Z') && word.contains('T');
    let mut lines = Vec::new();
    for line in session.lines().map(str::trim_end) {
        if line.contains("took ") {
            lines.push("took".to_owned());
            continue;
        }
        let words = line.split_inclusive([' ', '=', ',', ':', ';', '.', '(']).fold(String::new(), |mut line, word| {
            let bare = word.trim_end_matches([' ', '=', ',', ';', '.', '(']);
            if hex(bare.trim_end_matches(':')) {
                line.push_str(&word.replace(bare.trim_end_matches(':'), "HEX"));
            } else {
                line.push_str(word);
            }
            line
        });
        let words = words
            .split(' ')
            .map(|word| if is_time(word.trim_end_matches(['.', ';', ',', ':'])) { "TIME" } else { word });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

/// docs/approval.md shows a session of two terminals. It is this one.
#[test]
fn the_session_in_the_docs_is_what_the_terminals_show() {
    let _approvals = Approvals::raise();
    for name in ["alice", "carol", "mallory"] {
        run("useradd", &["--create-home", "--password", "$y$j9T$nothing$opens", name]);
    }
    for (name, role) in [("alice", "web"), ("carol", "oncall")] {
        let (address, key) = (format!("{name}@example.com"), format!("/home/{name}/.config/mailsudo/sandbox.toml"));
        run(
            "install",
            &[
                "-d",
                "-o",
                name,
                "-g",
                name,
                &format!("/home/{name}/.config"),
                &format!("/home/{name}/.config/mailsudo"),
            ],
        );
        let words = ["user", "add", name, "--address", &address, "--role", role, "--key-file", &key];
        let said = run(PROGRAM, &words);
        let url = said.split_whitespace().find(|word| word.starts_with("otpauth://")).expect("a secret");
        process::write(format!("/home/{name}/phone"), 0o600, &format!("{url}\n"));
        run("chown", &[&format!("{name}:{name}"), &key, &format!("/home/{name}/phone")]);
    }
    let session = run(&system_env::in_checkout("tests/system/approval-demo"), &[] as &[&str]);
    assert!(run("passwd", &["--status", "mallory"]).starts_with("mallory L "), "the account is locked");
    assert_eq!(syslog::sudo_ran("--lock mallory").len(), 1);
    let docs = process::text(system_env::in_checkout("docs/approval.md"));
    let shown = docs.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
    assert_eq!(
        without_what_changes(shown),
        without_what_changes(&session),
        "docs/approval.md does not show what the terminals show, which is:\n{session}"
    );
}

/// The commands of examples/payload, and `sign --payload FILE --send` as docs/payload.md has it, with the real nft. The
/// rules are those of the sandbox's own network.
#[test]
fn the_examples_of_payload_load_a_firewall_and_deploy_a_release() {
    let _approvals = Approvals::raise();
    for name in ["firewall", "deploy"] {
        let toml = process::text(system_env::in_checkout(&format!("examples/payload/{name}.toml")));
        process::write(format!("{CONFIG}/commands.d/{name}.toml"), 0o644, &toml);
    }
    run(
        "install",
        &["-D", "-m", "755", &system_env::in_checkout("examples/payload/deploy"), "/usr/local/lib/mailsudo/deploy"],
    );
    run("mkdir", &["-p", "/srv/shop/releases/v1.4.2"]);
    run("chown", &["www-data", "/srv/shop"]);
    run(PROGRAM, &["sudoers", "--install", "--yes"]);
    // A code serves one request.
    let user = User::enrol_by(PROGRAM, "ex-firewall", "oncall");
    let other = User::enrol_by(PROGRAM, "ex-wrong", "oncall");
    let deployer = User::enrol_by(PROGRAM, "ex-deploy", "web");

    let rules = "table inet mailsudo_example {\n\tchain input { type filter hook input priority 0; }\n}\n";
    process::write("/root/rules.nft", 0o600, rules);
    user.sign_and_send(&["firewall", "--payload", "/root/rules.nft"]);
    let outcome = message(&user, "firewall: ok");
    user.assert_genuine(&outcome);
    assert!(run("nft", &["list", "ruleset"]).contains("table inet mailsudo_example"));
    run("nft", &["delete", "table", "inet", "mailsudo_example"]);

    process::write("/root/wrong.nft", 0o600, "table inet {\n");
    other.sign_and_send(&["firewall", "--payload", "/root/wrong.nft"]);
    let outcome = message(&other, "firewall: failed (exit 1)");
    assert!(outcome.contains("syntax error"), "{outcome}");

    process::write("/root/deploy.json", 0o600, "{\"site\": \"shop\", \"version\": \"v1.4.2\"}\n");
    deployer.sign_and_send(&["deploy", "--payload", "/root/deploy.json"]);
    let outcome = message(&deployer, "deploy: ok");
    assert!(outcome.contains("shop is now v1.4.2"), "{outcome}");
    for name in ["firewall", "deploy"] {
        process::remove(&format!("{CONFIG}/commands.d/{name}.toml"));
    }
    // They hold roles that approve in other tests.
    for name in ["ex-firewall", "ex-wrong", "ex-deploy"] {
        run(PROGRAM, &["user", "remove", name, "--yes"]);
    }
}
