//! A user of the gateway: enrols, signs, reads replies, all through the program's own commands.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::mailbox::Mailbox;
use crate::process::{self, run, run_with_input};
use crate::system_env::{CONFIG, GATEWAY, PROGRAM};
use crate::{commands, smtp};

/// Longer than any code of an authenticator that the program makes secrets for, so never right.
pub(crate) const WRONG_CODE: &str = "00000000";

pub(crate) struct User {
    pub(crate) address: String,
    program: &'static str,
    key: String,
    secret: String,
}

impl User {
    /// Enrols a user of this name; a test picks one that no other test has.
    pub(crate) fn enrol(name: &str) -> Self {
        Self::enrol_by(PROGRAM, name, commands::ROLE)
    }

    /// The same with another mailsudo and another role.
    pub(crate) fn enrol_by(program: &'static str, name: &str, role: &str) -> Self {
        Self::enrol_at(CONFIG, program, name, role)
    }

    /// The same at the gateway in another folder.
    pub(crate) fn enrol_at(folder: &str, program: &'static str, name: &str, role: &str) -> Self {
        let address = format!("{name}@users.example");
        let key = format!("/root/{name}.key.toml");
        let secret = format!("/root/{name}.secret");
        let words =
            ["user", "add", name, "--config", folder, "--address", &address, "--role", role, "--key-file", &key];
        let said = run(program, &words);
        let url = said
            .split_whitespace()
            .find(|word| word.starts_with("otpauth://"))
            .unwrap_or_else(|| panic!("no otpauth URL in what `user add` said: {said}"));
        process::write(&secret, 0o600, &format!("{url}\n"));
        Self { address, program, key, secret }
    }

    /// A signed request with the code of this moment.
    pub(crate) fn request(&self, command: &[&str]) -> String {
        self.signed(command, "--totp-secret-file", &self.secret)
    }

    /// A signed request with a code that cannot be right.
    pub(crate) fn request_with_wrong_code(&self, command: &[&str]) -> String {
        self.signed(command, "--code", WRONG_CODE)
    }

    /// Signs a request and has `sign --send` hand it to sendmail, as the README says.
    pub(crate) fn sign_and_send(&self, command: &[&str]) {
        let more = ["--key", &self.key, "--totp-secret-file", &self.secret, "--send", "--from", &self.address];
        sign(self.program, &[command, &more].concat());
    }

    /// A whole message with a signed request and what these options add to it.
    pub(crate) fn signed_mail(&self, words: &[&str]) -> String {
        let more = ["--key", &self.key, "--totp-secret-file", &self.secret, "--eml", "--from", &self.address];
        sign(self.program, &[words, &more].concat())
    }

    /// Has `sign --send --wait-reply` hand a request to sendmail and wait in the mailbox of root's settings. Its record
    /// of used codes is the same each time.
    pub(crate) fn sign_and_wait(&self, command: &[&str]) -> Child {
        let state = self.key.replace(".key.toml", ".state");
        let words = ["--key", &self.key, "--totp-secret-file", &self.secret, "--from", &self.address];
        Command::new(self.program)
            .args([&["sign"], command, &words, &["--send", "--wait-reply", "--reply-within", "2m"]].concat())
            .envs([("HOME", "/root"), ("XDG_STATE_HOME", &state)])
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program")
    }

    fn signed(&self, command: &[&str], option: &str, value: &str) -> String {
        sign(self.program, &[command, &["--key", &self.key, option, value]].concat())
    }

    /// A mail such as the user's own client would make of a request.
    pub(crate) fn mail(&self, request: &str) -> String {
        mail(&self.address, request)
    }

    /// Sends a request from the user's own address; gives Postfix's queue id.
    pub(crate) fn send(&self, request: &str) -> String {
        send(&self.address, &self.mail(request))
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox::of(&self.address)
    }

    /// What `verify` says of a mail.
    pub(crate) fn verify(&self, more: &[&str], mail: &str) -> String {
        let said = run_with_input(self.program, &[&["verify", "--key", &self.key], more].concat(), mail);
        [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }

    /// Panics unless the reply is one that the user's key proves genuine and unaltered.
    pub(crate) fn assert_genuine(&self, reply: &str) {
        let verdict = run_with_input(self.program, &["verify", "--key", &self.key], reply);
        let said = String::from_utf8_lossy(&verdict.stdout);
        assert!(
            verdict.status.success() && said.contains("genuine"),
            "not genuine: {said}{}\n{reply}",
            String::from_utf8_lossy(&verdict.stderr)
        );
    }
}

/// Runs `sign` with a record of used codes of its own: a test may sign twice in one step.
pub(crate) fn sign(program: &str, words: &[&str]) -> String {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let state = format!("XDG_STATE_HOME=/root/state-{}", CALLS.fetch_add(1, Ordering::Relaxed));
    run("env", &[&[state.as_str(), program, "sign"], words].concat())
}

/// A mail to the gateway with a request in it.
pub(crate) fn mail(from: &str, request: &str) -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes unique ids");
    format!(
        "From: A User <{from}>\nTo: {GATEWAY}\nSubject: please\nMessage-ID: <{}@client.example>\n\
         Date: Mon, 23 Nov 2026 10:15:00 +0000\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\nHello,\n\n{request}\n-- \nsent from a phone\n",
        id.trim()
    )
}

/// Hands a mail for the gateway to Postfix, which takes it.
pub(crate) fn send(envelope_sender: &str, mail: &str) -> String {
    smtp::send(envelope_sender, GATEWAY, mail)
        .unwrap_or_else(|refusal| panic!("Postfix refuses the gateway's mail: {refusal}"))
}

/// The value of a line of the reply's signed block.
pub(crate) fn in_block<'a>(reply: &'a str, key: &str) -> &'a str {
    let block = reply.rfind("mailsudo-reply:").map_or("", |start| &reply[start..]);
    block
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no `{key}` in the block of the reply:\n{reply}"))
}
