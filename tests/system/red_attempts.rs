//! Attacks on a permitted command line. In: a line. Out: lines that differ a little from it.

use crate::red_commands::{EVIL, Permitted, TARGET};
use crate::system_env::PROGRAM;

/// What an attempt changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The words that sudo matches.
    Words,
    /// What else sudo is told, the words being permitted or not.
    Option,
}

/// One call of sudo: its options, and the words after them; what it is, for messages.
pub(crate) struct Attempt {
    pub(crate) kind: Kind,
    pub(crate) what: String,
    pub(crate) options: Vec<String>,
    pub(crate) words: Vec<String>,
}

impl Attempt {
    fn new(what: &str, options: &[&str], line: &Permitted) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self {
            kind: Kind::Option,
            what: what.to_owned(),
            options,
            words: [vec!["--".to_owned()], line.words.clone()].concat(),
        }
    }

    /// The arguments of the program that sudo is asked for, joined by spaces, which is what sudo matches.
    pub(crate) fn joined(&self) -> String {
        self.arguments().join(" ")
    }

    /// Whether an argument holds white space, which separates arguments: the same text is another line then.
    pub(crate) fn is_cut_otherwise(&self) -> bool {
        self.arguments().iter().any(|word| word.contains(' '))
    }

    fn arguments(&self) -> &[String] {
        self.words.get(2..).unwrap_or_default()
    }
}

/// Every argument from `first` on dropped, doubled, swapped, extended, emptied, globbed, glued; arguments added
/// everywhere.
pub(crate) fn mutations(line: &Permitted, first: usize) -> Vec<Attempt> {
    let words = &line.words;
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for at in first..words.len() {
        let mut put = |what: &str, with: &[String]| {
            all.push((format!("{what} at {at}"), [&words[..at], with, &words[at + 1..]].concat()));
        };
        let own = &words[at];
        put("dropped", &[]);
        put("doubled", &[own.clone(), own.clone()]);
        for other in variants(own) {
            put("changed", &[other]);
        }
        for more in
            ["", "x", "-x", "--", "--help", "*", ".*", "-s", "--signal=KILL", "--foreground", "--preserve-status"]
        {
            put("before", &[more.to_owned(), own.clone()]);
        }
        if let Some(next) = words.get(at + 1) {
            let rest = &words[at + 2..];
            let mut swap = |what: &str, with: &[String]| {
                all.push((format!("{what} at {at}"), [&words[..at], with, rest].concat()));
            };
            swap("swapped", &[next.clone(), own.clone()]);
            swap("glued", &[format!("{own} {next}")]);
            swap("glued with a tab", &[format!("{own}\t{next}")]);
            swap("run together", &[format!("{own}{next}")]);
        }
    }
    for more in ["", "x", "-x", "--", "--help", "*", "[a]", ";id", "$(id)", "\n", "/bin/sh"] {
        all.push((format!("and {more:?}"), [words.as_slice(), &[more.to_owned()]].concat()));
    }
    all.push(("long".to_owned(), [words.as_slice(), &["x".repeat(100_000)]].concat()));
    all.push(("all glued".to_owned(), vec![words[0].clone(), words[1..].join(" ")]));
    all.push(("nothing but the limiter".to_owned(), vec![words[0].clone()]));
    all.push(("without the limiter".to_owned(), words[3..].to_vec()));
    all.push(("without either".to_owned(), words[5..].to_vec()));
    all.push(("without the report".to_owned(), [&words[..3], &words[5..]].concat()));
    let attempt = |(what, words): (String, Vec<String>)| Attempt {
        kind: Kind::Words,
        what,
        options: line.account.clone(),
        words: [vec!["--".to_owned()], words].concat(),
    };
    all.into_iter().map(attempt).collect()
}

/// What a rule could match in the place of an argument if it is not exact.
fn variants(own: &str) -> Vec<String> {
    let mut all: Vec<String> =
        ["", " ", "*", "?", "[a-z]*", "^.*$", "-", "--help", "-k", "..", "/bin/sh"].map(str::to_owned).into();
    for (before, after) in [
        ("", "x"),
        ("x", ""),
        ("", " "),
        (" ", ""),
        ("", "\n"),
        ("", "\\"),
        ("\\", ""),
        ("-", ""),
        ("", "*"),
        ("\"", "\""),
    ] {
        all.push(format!("{before}{own}{after}"));
    }
    let (left, right) = own.split_at(own.char_indices().nth(1).map_or(own.len(), |(at, _)| at));
    all.extend([
        format!("?{right}"),
        format!("[{left}]{right}"),
        format!("{left} {right}"),
        format!("{left}*"),
        right.to_owned(),
    ]);
    all.extend([
        own.to_uppercase(),
        own.replace('/', "//"),
        own.replace("/red", "/../libexec/red"),
        own.replace('.', "x"),
    ]);
    // Numbers just outside, and numbers written otherwise.
    for (what, instead) in
        [("=1", "=0"), ("=1", "=01"), ("=1", "=+1"), ("=1", "=-1"), ("=1", "=1e0"), ("=1", "=0x1"), ("=20", "=21")]
    {
        all.push(own.replace(what, instead));
    }
    for (what, instead) in
        [("=10", "=9"), ("=10", "=010"), ("4095", "4096"), ("4095", "9999"), ("4095", "40950"), ("1", "١")]
    {
        all.push(own.replace(what, instead));
    }
    for (what, instead) in [("5s", "50s"), ("60s", "0"), ("60s", "61s"), ("60s", "600s"), ("60s", "60"), ("60s", "inf")]
    {
        all.push(own.replace(what, instead));
    }
    all.retain(|other| other != own);
    all.sort_unstable();
    all.dedup();
    all
}

/// What sudo is asked to do otherwise with a permitted line, or beside it: options, accounts, folders, environment.
pub(crate) fn options(line: &Permitted) -> Vec<Attempt> {
    let target = ["-u", "root"];
    let tables: [&[&str]; 25] = [
        &["--preserve-env=PATH,BASH_ENV"],
        &["-D", "/"],
        &["--chdir=/tmp"],
        &["-R", "/"],
        &["--chroot=/srv/evil"],
        &["-u", "worker"],
        &["-u", "nobody"],
        &["-u", "mailsudo"],
        &["-u", "#-1"],
        &["-u", "#4294967295"],
        &["-u", "#1"],
        &["-g", "adm"],
        &["-g", "#4"],
        &["-g", "#-1"],
        &["-s"],
        &["-i"],
        &["--login"],
        &["-e"],
        &["-C", "10"],
        &["-T", "1h"],
        &["-E"],
        &["-h", "elsewhere"],
        &["-l", "-U", "root"],
        &["-l", "-U", "worker"],
        &["-a", "none"],
    ];
    let mut all: Vec<_> =
        tables.iter().map(|more| Attempt::new("an option", &[&target, *more].concat(), line)).collect();
    let set = [
        "LD_PRELOAD=/srv/evil/x.so",
        "PATH=/srv/evil",
        "BASH_ENV=/srv/evil/rc",
        "PYTHONPATH=/srv/evil",
        "ENV=/srv/evil/rc",
    ];
    for variable in set {
        let mut attempt = Attempt::new("a variable", &target, line);
        attempt.words.insert(0, variable.to_owned());
        all.push(attempt);
        let mut attempt = Attempt::new("a variable after --", &target, line);
        attempt.words.insert(1, variable.to_owned());
        all.push(attempt);
    }
    let beside: [&[&str]; 18] = [
        &["--", "--", "/usr/bin/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
        &["--", "-n", "/usr/bin/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
        &["--", "/bin/sh"],
        &["--", "/usr/bin/timeout", "60s", "/bin/sh"],
        &["--", TARGET],
        &["--", PROGRAM, "begin", TARGET],
        &["--", PROGRAM, "begin", "/bin/sh"],
        &["--", "/usr/bin/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", "/bin/sh"],
        &["--", "/usr/bin/env", "/usr/bin/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
        &["--", "sudoedit", "/etc/sudoers.d/mailsudo"],
        &["-e", "--", "/etc/sudoers.d/mailsudo"],
        &["-e", "--", "/etc/mailsudo/mailsudo.toml"],
        &["-s"],
        &["-i"],
        &["-e", "-s", "--", "\\"],
        &["--", "/srv/evil/timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
        &["--", "./timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
        &["--", "evil/../timeout", "--kill-after=5s", "60s", PROGRAM, "begin", TARGET],
    ];
    for words in beside {
        all.push(Attempt {
            kind: Kind::Option,
            what: "beside it".to_owned(),
            options: target.map(str::to_owned).into(),
            words: words.iter().map(|&word| word.to_owned()).collect(),
        });
    }
    all
}

/// Ways to say the permitted program by another name, and options that a sudo may take or pass over: if anything runs,
/// it is the permitted line and nothing else.
pub(crate) fn other_names(line: &Permitted) -> Vec<Attempt> {
    let names = [
        "timeout".to_owned(),
        "/bin/timeout".to_owned(),
        "//usr/bin/timeout".to_owned(),
        "/usr/bin/./timeout".to_owned(),
        "/usr/bin/../bin/timeout".to_owned(),
        "/proc/self/root/usr/bin/timeout".to_owned(),
        "/proc/self/cwd/timeout".to_owned(),
        format!("{EVIL}/bin/timeout"),
        format!("{EVIL}/link/timeout"),
        format!("{EVIL}/another-name"),
    ];
    let say = |name: String| {
        let mut attempt = Attempt::new(&name, &["-u", "root"], line);
        attempt.words[1] = name;
        attempt
    };
    // Of LD_PRELOAD sudo does not even hear: the loader takes it from a setuid program's environment. sudo-rs ignores
    // -E.
    let passed_over: [&[&str]; 9] = [
        &["-E"],
        &["--preserve-env"],
        &["--preserve-env=LD_PRELOAD"],
        &["--chdir=/srv/evil"],
        &["-r", "unconfined_r"],
        &["-k"],
        &["-b"],
        &["-H"],
        &["-u", "#0"],
    ];
    let optional = |more: &&[&str]| Attempt::new("passed over", &[&["-u", "root"], *more].concat(), line);
    names.into_iter().map(say).chain(passed_over.iter().map(optional)).collect()
}
