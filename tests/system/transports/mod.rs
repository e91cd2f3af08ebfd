//! The other transports: every mail server, delivery agent and fetcher that docs/mail-servers.md and docs/imap.md name,
//! set up with the files of examples/ and driven through the same five situations.
//!
//! Each takes the place of Postfix's pipe(8) between a mail and `mailsudo deliver`. Replies go back to the one Postfix,
//! which delivers them to the users' mailbox: so a bounce to a user is seen as a message that is not genuine.

mod awaited;
mod exim;
mod fetched;
mod local;
mod opensmtpd;
mod provider;
mod services;
mod set_up;
mod sieve;

pub(crate) use services::unpack_once as unpack_services;

use std::fs;
use std::process::{Command, Stdio};

use crate::commands::NOTES;
use crate::gateway::Found;
use crate::poll;
use crate::process::{self, run};
use crate::syslog;
use crate::system_env::{self, CONFIG, PROGRAM};
use crate::user::{User, in_block};

/// A transport that brings a mail to the program.
pub(crate) trait ReplyTransport {
    /// Sends a mail into it.
    fn send(&self, sender: &str, mail: &str);
    /// Has everything that it holds tried again.
    fn retry(&self);
    /// How many mails it holds.
    fn held(&self) -> usize;
}

/// Where the Debian package installs the program, as the examples say; `make install` put it elsewhere.
const PACKAGED: &str = "/usr/bin/mailsudo";

/// The program under the name that the examples use, while this lives.
pub(crate) struct Packaged(());

impl Packaged {
    pub(crate) fn program() -> Self {
        system_env::enter();
        run("ln", &["-s", PROGRAM, PACKAGED]);
        linger();
        Self(())
    }
}

impl Drop for Packaged {
    fn drop(&mut self) {
        let _ = fs::remove_file(PACKAGED);
    }
}

/// What `check` finds while the mail server with this sendmail is the only one.
pub(crate) fn checked_with(sendmail: &str) -> Found {
    let _alone = services::Alone::with(sendmail);
    let output = Command::new(PROGRAM).args(["check", "--json"]).stdin(Stdio::null()).output();
    Found::read(&output.unwrap_or_else(|error| panic!("cannot start {PROGRAM}: {error}")))
}

/// A file of examples/, as it is.
pub(crate) fn example(path: &str) -> String {
    let path = system_env::in_checkout(&format!("examples/{path}"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A command that goes on until it is let go, as often as it is started.
fn linger() {
    let toml = r#"
summary   = "Go on until let go"
run_as    = "root"
argv      = ["/usr/local/libexec/linger", "{mark}"]
timeout   = "5m"
exclusive = false
[parameters.mark]
pattern    = "^[a-z]+$"
max_length = 40
[allow.operator]
"#;
    let program =
        "#!/bin/sh\necho lingers >>\"/srv/linger.$1\"\nuntil [ -e \"/srv/linger.$1.go\" ]; do sleep 0.1; done\n";
    process::write("/usr/local/libexec/linger", 0o755, program);
    process::write(format!("{CONFIG}/commands.d/linger.toml"), 0o644, toml);
    run(PROGRAM, &["sudoers", "--install", "--yes"]);
}

/// One run of `linger`.
pub(crate) struct Lingering {
    file: String,
}

impl Lingering {
    /// The run that a request with this mark asks for.
    pub(crate) fn of(mark: &str) -> Self {
        Self { file: format!("/srv/linger.{mark}") }
    }

    pub(crate) fn wait_until_started(&self) {
        poll::until_true("the command's start", || process::text(&self.file) == "lingers\n");
    }

    pub(crate) fn let_go(&self) {
        process::write(format!("{}.go", self.file), 0o644, "");
    }

    /// That it ran to its end, and once.
    pub(crate) fn assert_ran_once(&self) {
        let mark = self.file.trim_start_matches("/srv/linger.");
        let line = format!("libexec/linger {mark}");
        poll::until_true("the command's end", || process::find(|words| words.ends_with(&line)).is_empty());
        assert_eq!(process::text(&self.file), "lingers\n", "it ran again");
    }
}

/// Drives a transport through everything that it must do. `name` is letters only, and no other transport's.
pub(crate) fn drive(transport: &dyn ReplyTransport, name: &str) {
    executed(transport, name);
    refused(transport, name);
    consumed(transport, name);
    deferred(transport, name);
    died(transport, name);
}

fn noted(text: &str) -> usize {
    process::text(NOTES).matches(text).count()
}

fn wait_until_empty(transport: &dyn ReplyTransport) {
    poll::until_true("an empty transport", || transport.held() == 0);
}

/// Makes the transport try again until a user has the answer.
pub(crate) fn retry_until_answered(transport: &dyn ReplyTransport, user: &User) -> String {
    poll::until_true("a reply after a retry", || {
        transport.retry();
        !user.mailbox().messages().is_empty()
    });
    wait_until_empty(transport);
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    reply
}

fn executed(transport: &dyn ReplyTransport, name: &str) {
    let user = User::enrol(&format!("{name}-runner"));
    let text = format!("{name}executed");
    transport.send(&user.address, &user.mail(&user.request(&["note", &format!("text={text}")])));

    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    wait_until_empty(transport);
    assert_eq!(noted(&text), 1);
    assert_eq!(user.mailbox().messages().len(), 1);
}

fn refused(transport: &dyn ReplyTransport, name: &str) {
    let user = User::enrol(&format!("{name}-guesser"));
    let text = format!("{name}refused");
    transport.send(&user.address, &user.mail(&user.request_with_wrong_code(&["note", &format!("text={text}")])));

    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "refused");
    wait_until_empty(transport);
    assert_eq!(noted(&text), 0);
}

/// What is refused without a reply, one mail before its end is read and one for its null sender: both are consumed.
fn consumed(transport: &dyn ReplyTransport, name: &str) {
    let user = User::enrol(&format!("{name}-verbose"));
    let request = user.request(&["note", &format!("text={name}consumed")]);
    for (reason, sender, length) in [("too-large", user.address.as_str(), 20_000), ("automatic", "", 0)] {
        let before = refusals(reason);
        let mail =
            user.mail(&request) + &"and another thing that has to be said before this mail can end\n".repeat(length);
        transport.send(sender, &mail);
        poll::until_true(reason, || refusals(reason) > before);
        wait_until_empty(transport);
    }
    assert_eq!(noted(&format!("{name}consumed")), 0);
    assert_eq!(user.mailbox().messages(), Vec::<String>::new());
}

fn refusals(reason: &str) -> usize {
    syslog::audit(&format!("reason={reason}")).len()
}

fn deferred(transport: &dyn ReplyTransport, name: &str) {
    let user = User::enrol(&format!("{name}-patient"));
    let text = format!("{name}deferred");
    let command = format!("{CONFIG}/commands.d/note.toml");
    let whole = process::text(&command);
    process::write(&command, 0o644, "not even TOML");
    transport.send(&user.address, &user.mail(&user.request(&["note", &format!("text={text}")])));
    syslog::wait_for(&format!("user={name}-patient"), "deferred");
    poll::until_true("the mail held", || transport.held() == 1);
    process::write(&command, 0o644, &whole);
    assert_eq!(noted(&text), 0);
    assert!(user.mailbox().messages().is_empty());

    let reply = retry_until_answered(transport, &user);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    assert_eq!(noted(&text), 1);
}

/// The program dies while its command runs: the mail stays, and the command does not run again.
fn died(transport: &dyn ReplyTransport, name: &str) {
    let user = User::enrol(&format!("{name}-bereft"));
    let run = Lingering::of(name);
    transport.send(&user.address, &user.mail(&user.request(&["linger", &format!("mark={name}")])));
    run.wait_until_started();
    let deliveries = process::find(|line| line.starts_with(&format!("{PACKAGED} deliver ")));
    let [delivery] = deliveries[..] else {
        panic!("not one delivery: {deliveries:?}");
    };
    process::kill(delivery);

    let reply = retry_until_answered(transport, &user);
    assert_eq!(in_block(&reply, "result"), "unknown");
    run.let_go();
    run.assert_ran_once();
    assert_eq!(user.mailbox().messages().len(), 1);
}
