//! A gateway with one command, and what sudo permits of it.
//!
//! In: a command's file. Out: whether a fragment could be made of it, and yes or no to argument vectors, from sudo
//! itself. The fragment is there beside the main gateway's, and is gone when this is dropped.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use crate::process;
use crate::system_env::{self, PROGRAM, SERVICE};

const FOLDER: &str = "/srv/probe";
const FRAGMENT: &str = "/etc/sudoers.d/probe";
/// What every command here begins with. sudo looks for timeout(1) only, so this program need not exist.
pub(crate) const PROBE: &str = "/usr/local/libexec/probe";
const COMMAND: [&str; 7] = ["--", "/usr/bin/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", PROBE];

/// The one command, with its sudo rules installed.
pub(crate) struct Probe {
    sudo: &'static str,
    folder: &'static str,
}

impl Probe {
    /// Installs the fragment for the command file `toml`; `Err` is what the program said instead.
    pub(crate) fn raise(sudo: &'static str, toml: &str) -> Result<Self, String> {
        system_env::enter();
        process::remove(FOLDER);
        let settings = format!(
            "gateway = \"probe\"\naddress = \"probe@example.com\"\nservice_user = \"{SERVICE}\"\n\
             [execution]\nsudo = \"{sudo}\"\n"
        );
        process::write(format!("{FOLDER}/mailsudo.toml"), 0o644, &settings);
        process::write(format!("{FOLDER}/commands.d/probe.toml"), 0o644, toml);
        let user = "address = \"u@users.example\"\nroles = [\"p\", \"q\"]\n";
        process::write(format!("{FOLDER}/users.d/u.toml"), 0o644, user);

        let probe = Self { sudo, folder: FOLDER };
        // visudo judges it here.
        let output = output(PROGRAM, &["sudoers", "--config", FOLDER, "--file", FRAGMENT, "--install", "--yes"]);
        if output.status.success() { Ok(probe) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// Whether sudo lets the service user run the probe with `arguments` as root.
    pub(crate) fn permits(&self, arguments: &[&str]) -> bool {
        let mut question = vec!["-n", "-l", "-U", SERVICE, "-u", "root"];
        question.extend(COMMAND);
        question.extend(arguments);
        answer(&output(self.sudo, &question), &format!("sudo of {arguments:?}"))
    }

    /// What the probe says when the service user runs it, `run_as` being sudo's options; `None` where sudo does not let
    /// it.
    pub(crate) fn runs_as(&self, run_as: &[&str], arguments: &[&str]) -> Option<String> {
        let mut line = vec!["--reuid", SERVICE, "--regid", SERVICE, "--clear-groups", self.sudo, "-n"];
        line.extend(run_as);
        line.extend(COMMAND);
        line.extend(arguments);
        let (_report, stdin) = UnixStream::pair().expect("a pair");
        let output = Command::new("setpriv").args(&line).stdin(OwnedFd::from(stdin)).output().expect("setpriv");
        let refused = String::from_utf8_lossy(&output.stderr).contains("a password is required");
        assert!(output.status.success() != refused, "{line:?}: {output:?}");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether mailsudo itself lets its user run the probe with these values.
    pub(crate) fn may(&self, values: &[String]) -> bool {
        let mut question = vec!["may", "--config", self.folder, "u", "probe", "--"];
        question.extend(values.iter().map(String::as_str));
        let output = output(PROGRAM, &question);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.starts_with("permit: ") || said.starts_with("deny: "), "may {values:?}: {output:?}");
        answer(&output, &format!("may of {values:?}"))
    }

    /// Panics unless exactly the vectors in `permitted` are let through, of those, of vectors near them and of
    /// `refused`.
    pub(crate) fn assert_exact(&self, what: &str, permitted: &[Vec<String>], refused: &[Vec<String>]) {
        for vector in permitted {
            assert!(self.permits(&words(vector)), "{what}: refused: {vector:?}\n{}", fragment());
        }
        let near = permitted.iter().flat_map(|vector| near(vector));
        for vector in near.chain(refused.iter().cloned()).filter(|vector| !permitted.contains(vector)) {
            assert!(!self.permits(&words(&vector)), "{what}: permitted: {vector:?}\n{}", fragment());
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        process::remove(FRAGMENT);
        process::remove(&format!("{FRAGMENT}~"));
    }
}

/// The installed fragment, for messages.
pub(crate) fn fragment() -> String {
    process::text(FRAGMENT)
}

fn words(vector: &[String]) -> Vec<&str> {
    vector.iter().map(String::as_str).collect()
}

/// What a rule for `vector` alone must not permit: an argument more, one less, one split in two, one reversed.
fn near(vector: &[String]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for more in ["x", "-x", "--help", "*", ""] {
        all.push([vector, &[more.to_owned()]].concat());
        all.push([&[more.to_owned()], vector].concat());
    }
    all.push(vector.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default());
    for (at, argument) in vector.iter().enumerate() {
        for (cut, _) in argument.char_indices().skip(1) {
            let (left, right) = argument.split_at(cut);
            let halves = [left.to_owned(), right.to_owned()];
            all.push([&vector[..at], &halves, &vector[at + 1..]].concat());
        }
        for other in [format!("{argument}x"), format!("x{argument}"), format!("{argument}\n"), format!(" {argument}")] {
            all.push([&vector[..at], &[other], &vector[at + 1..]].concat());
        }
    }
    all
}

fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot start {program}: {error}"))
}

fn answer(output: &Output, what: &str) -> bool {
    match output.status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => panic!("{what}: {output:?}"),
    }
}
