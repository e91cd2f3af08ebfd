//! What a secret argument leaves in the real journal of systemd, which keeps with each line the command line of the
//! process that wrote it. Postfix runs below that systemd, and so do mailsudo and sudo.

use std::os::unix::fs::symlink;
use std::time::Duration;

use crate::confidential::{Secrets, command, found};
use crate::process::{self, run};
use crate::system_env::{CONFIG, PROGRAM, SERVICE, in_checkout};
use crate::systemd::Systemd;
use crate::user::User;
use crate::{poll, postfix, sudo_rules};

const UNITS: &str = "/run/journal-units";
const FILES: &str = "/run/log/journal";
const SOCKETS: [&str; 2] = ["systemd-journald.socket", "systemd-journald-dev-log.socket"];
const JOURNALD: &str = "systemd-journald.service";
const POSTFIX: &str = "[Service]\nType=forking\nExecStart=/usr/sbin/postfix start\n";
const MAIN: &str = "/etc/postfix/main.cf";
/// Where sudo's mails to root end.
const ROOTS_MAIL: &str = "/var/mail/root";
const RULES: &str = "/etc/sudoers.d/mailsudo";

/// What docs/encryption.md recommends.
const QUIET: &str = "!log_allowed, !log_denied, !pam_session, !mailerpath";

/// An entry of the journal, its fields one on a line, as `journalctl --output=export` writes it.
#[derive(Debug)]
struct Entry(String);

impl Entry {
    fn field(&self, name: &str) -> &str {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
    }
}

/// The mail server below a systemd of its own, with the journal on /dev/log. All is as before when this is dropped.
struct Journal {
    systemd: Option<Systemd>,
    main: String,
    _secrets: Secrets,
}

impl Journal {
    fn raise(defaults: &str) -> Self {
        let secrets = Secrets::raise(defaults);
        let asked = command("approved-{password}", "[approval]\nby = [\"role:overseer\"]");
        process::write(format!("{CONFIG}/commands.d/password-asked.toml"), 0o644, &asked);
        run(PROGRAM, &["sudoers", "--install", "--yes"]);
        run("mkdir", &["-p", &format!("{UNITS}/basic.target.wants")]);
        for unit in SOCKETS.into_iter().chain([JOURNALD]) {
            // Another daemon has /dev/log outside.
            let text = process::text(format!("/lib/systemd/system/{unit}")).replace("Symlinks=/dev/log\n", "");
            process::write(format!("{UNITS}/{unit}"), 0o644, &text);
            symlink(format!("../{unit}"), format!("{UNITS}/basic.target.wants/{unit}")).expect("a link");
        }
        process::write(format!("{UNITS}/postfix.service"), 0o644, POSTFIX);
        let main = process::text(MAIN);
        run("postfix", &["stop"]);
        let systemd = Systemd::boot(UNITS);
        let journal = Self { systemd: Some(systemd), main, _secrets: secrets };
        let socket = "/run/systemd/journal/dev-log";
        poll::until_true("the journal's socket", || journal.in_it(&["test", "-S", socket]).is_some());
        journal.in_it(&["mount", "--bind", socket, "/dev/log"]).expect("/dev/log leads to the journal");
        run("postconf", &["-e", "maillog_file =", "mydestination = example.com, localhost, $myhostname"]);
        run("touch", &["-d", "1 minute ago", MAIN]);
        journal.in_it(&["systemctl", "start", "postfix"]).expect("Postfix starts");
        journal
    }

    /// What a program prints in the namespaces of that systemd; `None` where it fails.
    fn in_it(&self, words: &[&str]) -> Option<String> {
        let output = self.systemd.as_ref()?.run(words);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn entries(&self) -> Vec<Entry> {
        self.in_it(&["journalctl", "--sync"]).expect("the journal is written");
        let all = self.in_it(&["journalctl", "--all", "--no-pager", "--output=export"]).expect("the journal");
        all.split("\n\n").map(|entry| Entry(entry.to_owned())).collect()
    }

    /// The entries that have `text` in any field.
    fn with(&self, text: &str) -> Vec<Entry> {
        self.entries().into_iter().filter(|entry| entry.0.contains(text)).collect()
    }

    /// Sends a request and returns when its answer has gone out and the queue is empty.
    fn request(&self, user: &User, words: &[&str], event: &str) {
        let id = user.send(&user.request(words));
        let said = |what: &str| self.with(&id).iter().any(|entry| entry.field("MESSAGE").contains(what));
        poll::until_true(&format!("event={event} about {id}"), || said(&format!("event={event}")));
        poll::until_true(&format!("{id}: removed"), || said(&format!("{id}: removed")));
        poll::until_true("an empty queue", postfix::queue_is_empty);
    }

    /// A run, one that fails, two refusals, and a run that was approved, all with `value`.
    fn every_way(&self, tag: &str, value: &str) {
        let password = format!("password={value}");
        let user = User::enrol(&format!("{tag}setter"));
        let approver = User::enrol_by(PROGRAM, &format!("{tag}approver"), "overseer");
        let replies = |user: &User, count| {
            poll::until_true(&format!("{count} mails"), || user.mailbox().messages().len() >= count);
            user.mailbox().messages()
        };
        self.request(&user, &["password", &format!("account={tag}"), &password], "replied");
        assert!(replies(&user, 1)[0].contains(&format!("set for {tag}: [secret]")));
        for (count, words) in [
            (2, ["password", "account=nobody", &password]),
            (3, ["password", "account=web", &format!("pasword={value}")]),
            (4, ["passwort", "account=web", &password]),
        ] {
            self.request(&User::enrol(&format!("{tag}setter{count}")), &words, "replied");
        }
        let asker = User::enrol(&format!("{tag}asker"));
        self.request(&asker, &["password-asked", &format!("account={tag}"), &password], "pending");
        let notice = replies(&approver, 1).remove(0);
        let value_of = |key: &str| {
            let block = &notice[notice.rfind("mailsudo-notice:").expect("a block")..];
            let value = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            value.expect("a line of the block").to_owned()
        };
        let (id, digest) = (format!("id={}", value_of("request")), format!("digest={}", value_of("digest")));
        self.request(&approver, &["approve", &id, &digest], "replied");
        let ran = replies(&asker, 2).join("\n");
        assert!(ran.contains(&format!("set for {tag}: approved-[secret]")), "{ran}");
        assert!(self.with(&format!("account={tag} password=[secret]")).len() >= 2, "the control: the journal is read");
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.in_it(&["postfix", "stop"]);
        self.systemd = None;
        process::remove(&format!("{CONFIG}/commands.d/password-asked.toml"));
        // Other tests look for values everywhere.
        for path in [UNITS, FILES, ROOTS_MAIL] {
            process::remove(path);
        }
        postfix::write_main("/etc/postfix", &self.main);
        run("postfix", &["start"]);
    }
}

/// The files in which the value was found, without the journal's own.
fn other_files(value: &str) -> Vec<String> {
    found(value).into_iter().map(|(file, _)| file).filter(|file| !file.starts_with(FILES)).collect()
}

#[test]
fn a_secret_value_is_in_the_journal_in_sudos_entries_alone() {
    let journal = Journal::raise("");
    let value = "Gr4nd0llaKreid3";
    journal.every_way("stockjournal", value);
    let entries = journal.with(value);
    assert!(entries.iter().all(|entry| entry.field("_COMM") == "sudo"), "{entries:#?}");
    let runs = entries.iter().filter(|entry| entry.field("MESSAGE").contains("COMMAND="));
    assert_eq!(runs.count(), 3, "the line that sudo writes about each run: {entries:#?}");
    let session =
        |entry: &&Entry| entry.field("MESSAGE").contains("session opened") && entry.field("_CMDLINE").ends_with(value);
    assert_eq!(entries.iter().filter(session).count(), 3, "PAM's lines have sudo's command line: {entries:#?}");
    assert!(!found(value).is_empty(), "the journal's files are looked at");
    assert_eq!(other_files(value), Vec::<String>::new());

    // Where sudo refuses, Debian's settings have it send a mail to root.
    process::write(RULES, 0o440, &format!("{SERVICE} ALL = (root) NOPASSWD: /usr/bin/true\n"));
    let value = "Verw31g3rt0815";
    // A process that sudo leaves behind sends it, and once in many runs it did not come.
    let is_mailed = (0..5).any(|attempt| {
        let user = User::enrol(&format!("norulejournal{attempt}"));
        journal.request(&user, &["password", "account=norule", &format!("password={value}")], "replied");
        assert!(user.mailbox().single().contains("result: refused"));
        (0..40).any(|_| {
            std::thread::sleep(Duration::from_millis(500));
            other_files(value) == [ROOTS_MAIL]
        })
    });
    assert!(is_mailed, "sudo's mail to root, and the value nowhere else: {:?}", other_files(value));
    assert!(journal.with(value).iter().all(|entry| entry.field("_COMM") == "sudo"));
}

#[test]
fn without_sudos_own_line_its_command_line_is_still_in_the_journal() {
    let journal = Journal::raise(&format!("Defaults:{SERVICE} !log_allowed\n"));
    let value = "H4lbL3is3Kuh";
    let user = User::enrol("halfjournal");
    journal.request(&user, &["password", "account=half", &format!("password={value}")], "replied");
    let entries = journal.with(value);
    assert!(!entries.is_empty(), "docs/encryption.md says that PAM's lines have it");
    let only_there = |entry: &Entry| {
        entry.field("_COMM") == "sudo"
            && entry.0.lines().filter(|line| line.contains(value)).all(|line| line.starts_with("_CMDLINE="))
    };
    assert!(entries.iter().all(only_there), "{entries:#?}");
}

#[test]
fn with_the_recommended_settings_and_with_a_payload_it_is_nowhere() {
    let value = "St1lleP0st77x";
    {
        let journal = Journal::raise(&format!("Defaults:{SERVICE} {QUIET}\n"));
        assert!(process::text(in_checkout("docs/encryption.md")).contains(QUIET), "docs/encryption.md recommends it");
        journal.every_way("quietjournal", value);
        // sudo refuses: in each way that sudoers(5) knows.
        for (name, rules) in [
            ("quietother", format!("{SERVICE} ALL = (root) NOPASSWD: /usr/bin/true\n")),
            ("quietfree", format!("Defaults:{SERVICE} !authenticate\n{SERVICE} ALL = (root) /usr/bin/true\n")),
            ("quietnone", format!("Defaults:{SERVICE} !authenticate\n")),
        ] {
            process::write(RULES, 0o440, &rules);
            let user = User::enrol(name);
            journal.request(&user, &["password", "account=norule", &format!("password={value}")], "replied");
            assert!(user.mailbox().single().contains("result: refused"), "{name}");
        }
        assert_eq!(journal.with(value).len(), 0, "{:#?}", journal.with(value));
        assert_eq!(found(value), []);
    }
    // A payload is no argument: with sudo's stock settings too.
    let journal = Journal::raise("");
    let value = "P4yl0adJ0urnal";
    process::write("/root/value", 0o600, &format!("{value}\n"));
    let user = User::enrol("payloadjournal");
    let mail = user.signed_mail(&["password-read", "--payload", "/root/value"]);
    process::remove("/root/value");
    crate::user::send(&user.address, &mail);
    assert!(user.mailbox().single().contains("set for web"));
    poll::until_true("an empty queue", postfix::queue_is_empty);
    assert!(!journal.with("set-password-read").is_empty(), "the control: sudo's line");
    assert_eq!(journal.with(value).len(), 0, "{:#?}", journal.with(value));
    assert_eq!(found(value), []);
    sudo_rules::raise_sudo();
}
