//! A gateway of two commands and one user in the place of the main one, and what `mailsudo check` says of it.
//!
//! In: nothing. Out: findings. The main gateway is moved away meanwhile and comes back when this is dropped; Postfix,
//! sudo and the ledger are those of the main gateway.

use std::process::{Command, Output, Stdio};

use serde::Deserialize;

use crate::process::{self, run};
use crate::sudo_rules;
use crate::system_env::{self, CONFIG, PROGRAM};
use crate::user::User;

const AWAY: &str = "/srv/gateway-away";
const OWN: &str = r#"
summary = "Nothing, for a while"
run_as  = "worker"
argv    = ["/usr/local/libexec/own", "{what}"]
timeout = "5m"
[parameters.what]
one_of  = ["a", "b"]
default = "a"
[allow.operator]
"#;
const DISK: &str = r#"
summary = "How full it is"
run_as  = "nobody"
argv    = ["/usr/bin/df"]
[allow.operator]
"#;

pub(crate) struct Gateway {
    folder: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) about: String,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// What `check --json` prints, and its exit status.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Found {
    #[serde(default)]
    pub(crate) status: i32,
    pub(crate) worst: Level,
    pub(crate) findings: Vec<Finding>,
}

impl Found {
    /// Panics where its parts do not fit each other.
    pub(crate) fn read(output: &Output) -> Self {
        let mut found: Self =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"));
        found.status = output.status.code().unwrap_or(-1);
        let worst = found.findings.iter().map(|finding| finding.level).max();
        assert_eq!(worst, Some(found.worst), "{found:#?}");
        assert_eq!(found.status, found.worst as i32, "{found:#?}");
        found
    }

    pub(crate) fn complaints(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.level != Level::Ok).collect()
    }

    /// Whether there is such a finding, with a remedy if it is not well.
    pub(crate) fn names(&self, level: Level, about: &str, what: &str) -> bool {
        let is = |found: &&Finding| found.level == level && found.about == about && found.what.contains(what);
        self.findings.iter().filter(is).any(|found| level == Level::Ok || !found.remedy.is_empty())
    }
}

impl Gateway {
    pub(crate) fn make() -> Self {
        system_env::enter();
        let settings = process::text(format!("{CONFIG}/mailsudo.toml"));
        run("cp", &["-a", CONFIG, AWAY]);
        let gateway = Self { folder: CONFIG };
        for part in ["users.d", "commands.d", "secrets.d"] {
            run("find", &[&format!("{CONFIG}/{part}"), "-type", "f", "-delete"]);
        }
        process::write(format!("{CONFIG}/mailsudo.toml"), 0o644, &settings);
        process::write("/usr/local/libexec/own", 0o755, "#!/bin/sh\nexit 0\n");
        process::write(format!("{CONFIG}/commands.d/own.toml"), 0o644, OWN);
        process::write(format!("{CONFIG}/commands.d/disk.toml"), 0o644, DISK);
        process::remove("/root/checker.key.toml");
        User::enrol("checker");
        run(PROGRAM, &["sudoers", "--install", "--yes"]);
        gateway
    }

    /// Runs a script of sh(1) in the gateway's folder; it knows the files that it may want to break by name.
    pub(crate) fn sh(&self, script: &str) {
        let files = "SECRETS=secrets.d/checker.toml RULES=/etc/sudoers.d/mailsudo LEDGER=/var/lib/mailsudo/ledger.db \
                     MASTER=/etc/postfix/master.cf MAIN=/etc/postfix/main.cf";
        run("sh", &["-ec", &format!("cd {}; {files}; {script}", self.folder)]);
    }

    /// Runs `mailsudo check --json`.
    pub(crate) fn check(&self) -> Found {
        self.check_with(&[])
    }

    /// The same with more options.
    pub(crate) fn check_with(&self, options: &[&str]) -> Found {
        let words = [&["check", "--json", "--config", self.folder], options].concat();
        let output = Command::new(PROGRAM).args(words).stdin(Stdio::null()).output();
        Found::read(&output.unwrap_or_else(|error| panic!("cannot start {PROGRAM}: {error}")))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // What a failed test has broken outside the folder stays broken; read that test's message first.
        process::remove(CONFIG);
        run("mv", &[AWAY, CONFIG]);
        sudo_rules::raise_sudo();
    }
}
