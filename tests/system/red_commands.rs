//! Commands to be attacked: every kind of rule that a fragment can hold, around one program that records each of its
//! runs. In: which sudo. Out: the vectors that are permitted, and what was run.
//!
//! They are there beside the main gateway's, whose fragment stays in force; all of it is gone when this is dropped.

use std::fs;
use std::path::Path;

use regex_lite::Regex;

use crate::process::{self, run};
use crate::system_env::{self, PROGRAM, SERVICE};

const FOLDER: &str = "/srv/red";
const FRAGMENT: &str = "/etc/sudoers.d/red";
/// sudo would mail root about each attempt.
const QUIET: &str = "/etc/sudoers.d/red-quiet";
pub(crate) const TARGET: &str = "/usr/local/libexec/red";
pub(crate) const LIMITER: &str = "/usr/bin/timeout";
const TRACE: &str = "/srv/red/trace";
const ENVIRONMENT: &str = "/srv/red/environment";
/// The service user's own folder, with files of its choice.
pub(crate) const EVIL: &str = "/srv/evil";
/// Where a program of the service user's records that another account has run it.
pub(crate) const EVIDENCE: &str = "/srv/evil/evidence";

const SCRIPT: &str = "#!/bin/sh
{ printf '%s:%s:' \"$(id -u)\" \"$(id -g)\"; for a; do printf '<%s>' \"$a\"; done; echo; } >>/srv/red/trace
env >>/srv/red/environment
";

/// A command: its name, its arguments and the rest in TOML, whether sudo-rs can express its rule, and vectors to
/// attack.
struct Entry {
    name: &'static str,
    run_as: &'static str,
    argv: &'static str,
    rest: &'static str,
    everywhere: bool,
    vectors: &'static [&'static str],
    /// All that is permitted, arguments joined by spaces, as an expression of the test's own.
    permitted: &'static str,
}

const ENTRIES: [Entry; 7] = [
    Entry { name: "plain", run_as: "root", argv: "", rest: "", everywhere: true, vectors: &[""], permitted: "" },
    Entry {
        name: "listed",
        run_as: "root",
        argv: ", \"restart\", \"{service}\"",
        rest: "[parameters.service]\none_of = [\"nginx\", \"php8.2-fpm\"]\n",
        everywhere: true,
        vectors: &[" restart nginx", " restart php8.2-fpm"],
        permitted: " restart (nginx|php8[.]2-fpm)",
    },
    Entry {
        name: "level",
        run_as: "root",
        argv: ", \"n={n}\"",
        rest: "[parameters.n]\ninteger = { min = 1, max = 20 }\n",
        everywhere: true,
        vectors: &[" n=1", " n=20"],
        permitted: " n=([1-9]|1[0-9]|20)",
    },
    Entry {
        name: "other",
        run_as: "worker:adm",
        argv: ", \"as\"",
        rest: "",
        everywhere: true,
        vectors: &[" as"],
        permitted: " as",
    },
    Entry {
        name: "wide",
        run_as: "root",
        argv: ", \"--lines={n}\", \"end\"",
        rest: "[parameters.n]\ninteger = { min = 10, max = 4095 }\n",
        everywhere: false,
        vectors: &[" --lines=10 end", " --lines=4095 end"],
        permitted: " --lines=([1-9][0-9]{1,2}|[1-3][0-9]{3}|40[0-8][0-9]|409[0-5]) end",
    },
    Entry {
        name: "word",
        run_as: "root",
        argv: ", \"word\", \"{w}\"",
        rest: "[parameters.w]\npattern = '^[a-z][a-z0-9.-]{0,9}$'\nmax_length = 10\n",
        everywhere: false,
        vectors: &[" word a", " word abc.def-12"],
        permitted: " word [a-z][a-z0-9.-]{0,9}",
    },
    Entry {
        name: "signs",
        run_as: "root",
        argv: ", \"{v}\"",
        rest: "[parameters.v]\none_of = ['v*', 'v?w', 'v[ab]', 'v,b:c=d', 'v\\x']\n",
        everywhere: false,
        vectors: &[" v*", " v?w", " v[ab]", " v,b:c=d", " v\\x"],
        permitted: r" v(\*|\?w|\[ab\]|,b:c=d|\\x)",
    },
];

/// The commands with their sudo rules.
pub(crate) struct Red {
    /// The sudo in front of it.
    pub(crate) sudo: &'static str,
    entries: Vec<&'static Entry>,
    permitted: Regex,
}

/// A command line that is permitted: sudo's options for the account, and the words after `--`.
#[derive(Clone)]
pub(crate) struct Permitted {
    pub(crate) account: Vec<String>,
    pub(crate) words: Vec<String>,
}

impl Red {
    pub(crate) fn raise(sudo: &'static str, all: bool) -> Self {
        system_env::enter();
        for folder in [FOLDER, EVIL] {
            process::remove(folder);
        }
        process::write(TARGET, 0o755, SCRIPT);
        process::write(
            format!("{FOLDER}/mailsudo.toml"),
            0o644,
            &format!("gateway = \"red\"\naddress = \"red@example.com\"\n[execution]\nsudo = \"{sudo}\"\n"),
        );
        let entries: Vec<_> = ENTRIES.iter().filter(|entry| all || entry.everywhere).collect();
        for Entry { name, run_as, argv, rest, .. } in &entries {
            let toml = format!(
                "summary = \"{name}\"\nrun_as = \"{run_as}\"\nargv = [\"{TARGET}\"{argv}]\n{rest}[allow.operator]\n"
            );
            process::write(format!("{FOLDER}/commands.d/{name}.toml"), 0o644, &toml);
        }
        for path in [TRACE, ENVIRONMENT] {
            process::write(path, 0o666, "");
        }
        run("install", &["-d", "-o", SERVICE, "-g", SERVICE, EVIL]);
        let choices: Vec<_> = entries.iter().map(|entry| entry.permitted).collect();
        let expression = format!("^--kill-after=5s 60s {PROGRAM} begin {TARGET}({})$", choices.join("|"));
        let red = Self { sudo, entries, permitted: Regex::new(&expression).expect("the test's own expression") };
        if all {
            process::write(QUIET, 0o440, &format!("Defaults:{SERVICE} !mail_badpass, !mail_no_perms\n"));
        }
        run(PROGRAM, &["sudoers", "--config", FOLDER, "--file", FRAGMENT, "--install", "--yes"]);
        red
    }

    /// Command lines to attack, at least one for each kind of rule.
    pub(crate) fn permitted(&self) -> Vec<Permitted> {
        let line = |entry: &Entry, arguments: &str| {
            let words = format!("{LIMITER} --kill-after=5s 60s {PROGRAM} begin {TARGET}{arguments}");
            let mut account = vec!["-u".to_owned()];
            match entry.run_as.split_once(':') {
                Some((user, group)) => account.extend([user.to_owned(), "-g".to_owned(), group.to_owned()]),
                None => account.push(entry.run_as.to_owned()),
            }
            Permitted { account, words: words.split(' ').map(str::to_owned).collect() }
        };
        self.entries.iter().flat_map(|entry| entry.vectors.iter().map(move |words| line(entry, words))).collect()
    }

    /// Whether the arguments, joined by spaces, are those of a permitted vector: all that sudo itself can tell.
    pub(crate) fn looks_permitted(&self, joined: &str) -> bool {
        self.permitted.is_match(joined)
    }

    /// What has been run since the last time: one line for each run, `uid:gid:<argument>…`.
    #[expect(clippy::unused_self, reason = "nothing is run before the commands are installed")]
    pub(crate) fn ran(&self) -> Vec<String> {
        let lines = process::text(TRACE).lines().map(str::to_owned).collect();
        fs::write(TRACE, "").expect("the trace is writable");
        lines
    }

    /// The environment that the runs since the last time had.
    #[expect(clippy::unused_self, reason = "nothing is run before the commands are installed")]
    pub(crate) fn environment(&self) -> String {
        let text = process::text(ENVIRONMENT);
        fs::write(ENVIRONMENT, "").expect("the trace is writable");
        text
    }

    /// Panics if another account has run a program of the service user's.
    #[expect(clippy::unused_self, reason = "nothing is run before the commands are installed")]
    pub(crate) fn assert_no_evidence(&self) {
        assert!(!Path::new(EVIDENCE).exists(), "run: {}", process::text(EVIDENCE));
    }
}

impl Drop for Red {
    fn drop(&mut self) {
        for path in [FRAGMENT, &format!("{FRAGMENT}~"), QUIET, FOLDER, EVIL] {
            process::remove(path);
        }
    }
}
