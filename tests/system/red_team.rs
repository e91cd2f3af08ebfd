//! Attacks as the service user, with everything that user owns, to run what is not one of the commands.
//!
//! Each attempt is really run: the permitted program records each of its runs, so that whatever sudo permits is seen. A
//! permitted line of each kind is run too, which shows that a run is recorded.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::process::{self, run};
use crate::red_attempts::{Attempt, Kind, mutations, options, other_names};
use crate::red_commands::{EVIDENCE, EVIL, LIMITER, Permitted, Red, TARGET};
use crate::sudo_rules::{SUDO_RS_SUDO, SudoRs};
use crate::system_env::{self, CONFIG, PROGRAM, SERVICE};

const SUDO: &str = "/usr/bin/sudo";

/// What the service user sets for itself before it calls sudo.
const ENVIRONMENT: [(&str, &str); 14] = [
    ("PATH", "/srv/evil:/usr/bin:/bin"),
    ("LD_PRELOAD", "/srv/evil/x.so"),
    ("LD_LIBRARY_PATH", "/srv/evil"),
    ("BASH_ENV", "/srv/evil/rc"),
    ("ENV", "/srv/evil/rc"),
    ("PYTHONPATH", "/srv/evil"),
    ("PERL5OPT", "-I/srv/evil"),
    ("IFS", "/"),
    ("HOME", "/srv/evil"),
    ("TMPDIR", "/srv/evil"),
    ("TZ", ":/srv/evil/tz"),
    ("LC_ALL", "/srv/evil/locale"),
    ("EDITOR", "/srv/evil/timeout"),
    ("BASH_FUNC_id%%", "() { touch /srv/evil/evidence; }"),
];

/// The service user, ready to call a sudo.
struct Attacker<'r> {
    red: &'r Red,
    uid: u32,
    gid: u32,
}

impl<'r> Attacker<'r> {
    fn at(red: &'r Red) -> Self {
        let id = |option: &str| run("id", &[option, SERVICE]).trim().parse().expect("id prints a number");
        let attacker = Self { red, uid: id("-u"), gid: id("-g") };
        let script =
            format!("#!/bin/sh\n[ \"$(id -u)\" = {} ] || {{ id; echo \"$0 $*\"; }} >>{EVIDENCE}\n", attacker.uid);
        for name in ["timeout", "red", "id", "rc"] {
            process::write(format!("{EVIL}/{name}"), 0o755, &script);
        }
        symlink("/usr/bin", format!("{EVIL}/link")).expect("a link");
        fs::create_dir(format!("{EVIL}/bin")).expect("a folder");
        symlink(LIMITER, format!("{EVIL}/bin/timeout")).expect("a link");
        symlink(LIMITER, format!("{EVIL}/another-name")).expect("a link");
        run("chown", &["-R", "-h", SERVICE, EVIL]);
        attacker
    }

    /// Calls sudo with what `attempt` says; none where no process can be given such words.
    fn call(&self, attempt: &Attempt) -> Option<Output> {
        // What `mailsudo begin` asks of its caller, which the attacker can give as well.
        let (_report, stdin) = UnixStream::pair().ok()?;
        Command::new(self.red.sudo)
            .arg("-n")
            .args(&attempt.options)
            .args(&attempt.words)
            .env_clear()
            .envs(ENVIRONMENT)
            .current_dir(EVIL)
            .uid(self.uid)
            .gid(self.gid)
            .stdin(OwnedFd::from(stdin))
            .output()
            .ok()
    }

    fn permits(&self, line: &Permitted) -> bool {
        let words = [vec!["--".to_owned()], line.words.clone()].concat();
        let attempt = Attempt { kind: Kind::Words, what: String::new(), options: line.account.clone(), words };
        self.call(&attempt).is_some_and(|output| output.status.success())
    }

    /// Makes every attempt, on both cores; returns those that sudo itself did not refuse.
    fn get_through(&self, attempts: &[Attempt]) -> Vec<String> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut through = Vec::new();
            while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(output) = self.call(attempt)
                    && !is_refusal(&output)
                {
                    let line = format!("{} {:?} {:?}: {output:?}", attempt.what, attempt.options, attempt.words);
                    through.push(line.chars().take(600).collect());
                }
            }
            through
        };
        std::thread::scope(|scope| {
            let threads = [scope.spawn(work), scope.spawn(work)];
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        })
    }
}

/// Whether sudo refused, and only sudo printed anything.
fn is_refusal(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let starts = ["sudo", "usage: ", " ", "Sorry", "I'm sorry", "invalid option", "--edit cannot"];
    let own = |line: &str| starts.iter().any(|start| line.starts_with(start));
    output.status.code() == Some(1) && output.stdout.is_empty() && said.lines().all(|line| line.is_empty() || own(line))
}

/// The main gateway's commands, as far as their vectors are listed: one vector of each.
fn main_gateway_lines() -> (Vec<Permitted>, Vec<String>) {
    let listed = run(PROGRAM, &["command", "list", "--json", "--config", CONFIG]);
    let commands: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let (mut lines, mut joined) = (Vec::new(), Vec::new());
    for command in commands {
        let limit = command["timeout_seconds"].as_u64().expect("seconds");
        let (user, group) = command["run_as"].as_str().and_then(|text| text.split_once(':')).unwrap_or_default();
        let account = if user.is_empty() {
            vec!["-u".to_owned(), command["run_as"].as_str().expect("an account").to_owned()]
        } else {
            ["-u", user, "-g", group].map(str::to_owned).into()
        };
        let vectors = command["argument_vectors"].as_array().expect("a list");
        for (at, vector) in vectors.iter().enumerate() {
            let argv = vector.as_array().expect("a list").iter().filter_map(Value::as_str).map(str::to_owned);
            let limit = format!("{limit}s");
            let before = [LIMITER, "--kill-after=5s", &limit, PROGRAM, "begin"].map(str::to_owned);
            let words: Vec<String> = before.into_iter().chain(argv).collect();
            joined.push(words[1..].join(" "));
            if at == 0 && !words.iter().any(|word| word.contains('{')) {
                lines.push(Permitted { account: account.clone(), words });
            }
        }
    }
    (lines, joined)
}

/// The whole attack; `is_exact` where the sudo tells arguments from their joined text.
fn attack(red: &Red, is_exact: bool) {
    let attacker = Attacker::at(red);
    for line in red.permitted() {
        assert!(attacker.permits(&line), "a permitted line is refused, so nothing is shown: {:?}", line.words);
    }
    assert_eq!(red.ran().len(), red.permitted().len(), "each permitted line runs");

    let (worlds, known) = main_gateway_lines();
    let permitted = |joined: &str| red.looks_permitted(joined) || known.iter().any(|own| own == joined);
    let plain = &red.permitted()[0];
    // sudo-rs says that it ignores -E, and does: `by_other_names`.
    let is_ignored = |attempt: &Attempt| is_exact && attempt.options.contains(&"-E".to_owned());
    let by_option: Vec<_> = options(plain).into_iter().filter(|attempt| !is_ignored(attempt)).collect();
    let by_options = by_option.len();
    // The words of the limiter are the same everywhere; two lines are enough to attack them.
    let red_lines = red.permitted();
    let all_lines = red_lines.iter().chain(&worlds).enumerate();
    let by_mutation = all_lines.flat_map(|(at, line)| mutations(line, if at < 2 { 1 } else { 5 }));
    let mut attempts: Vec<_> = by_mutation.chain(by_option).collect();
    // A line that is permitted is no attempt. A permitted text with other borders of arguments is judged on its own.
    let is_another =
        |attempt: &Attempt| attempt.kind == Kind::Option || attempt.words.get(1).is_none_or(|word| word != LIMITER);
    attempts.retain(|attempt| is_another(attempt) || attempt.is_cut_otherwise() || !permitted(&attempt.joined()));
    let (cut, attempts): (Vec<_>, Vec<_>) = attempts
        .into_iter()
        .partition(|attempt| !is_exact && attempt.is_cut_otherwise() && permitted(&attempt.joined()));

    let through = attacker.get_through(&attempts);
    assert!(through.is_empty(), "{} of {} got through:\n{}", through.len(), attempts.len(), through.join("\n"));
    assert_eq!(red.ran(), Vec::<String>::new());
    red.assert_no_evidence();
    println!("{}: {} attempts, {by_options} of them by options, none got through", red.sudo, attempts.len());

    // sudo compares the text of all arguments together, so a line with the same text and other borders of arguments is
    // permitted (docs/measurements.md#sudo-matches-arguments-as-one-string). No more than that may be.
    let glued = attacker.get_through(&cut).len();
    for line in red.ran() {
        let arguments: Vec<_> = line.split(['<', '>']).skip(1).filter(|word| !word.is_empty()).collect();
        let text = format!("--kill-after=5s 60s {PROGRAM} begin {TARGET} {}", arguments.join(" "));
        assert!(permitted(text.trim_end()), "{line}");
    }
    println!("{}: {glued} of {} lines cut otherwise are let through as the same text", red.sudo, cut.len());

    by_other_names(red, &attacker);
}

/// Other names for the permitted program, and a hostile environment: if it runs, it is the permitted one, with nothing
/// of ours.
fn by_other_names(red: &Red, attacker: &Attacker<'_>) {
    red.environment();
    let plain = red.permitted()[0].clone();
    let names = other_names(&plain);
    for attempt in &names {
        let _ = attacker.call(attempt);
    }
    assert!(attacker.permits(&plain));
    let ran = red.ran();
    assert!(ran.iter().all(|line| line == "0:0:") && !ran.is_empty(), "{ran:?}");
    let environment = red.environment();
    // The shell's own, of the folder that sudo leaves as it is, and the name that sudo was called with.
    let told = |line: &&str| !line.starts_with("PWD=") && !line.starts_with("SUDO_COMMAND=");
    let evil: Vec<_> = environment.lines().filter(told).filter(|line| line.contains("evil")).collect();
    assert!(environment.contains("SUDO_USER=mailsudo") && evil.is_empty(), "{evil:?}");

    // A program that is another one by the time that sudo starts it.
    fs::create_dir(format!("{EVIL}/race")).expect("a folder");
    let (racing, swaps, over) = (format!("{EVIL}/race/timeout"), AtomicUsize::new(0), AtomicBool::new(false));
    let mut attempt = names.into_iter().next().expect("there are names");
    attempt.words[1].clone_from(&racing);
    symlink(LIMITER, &racing).expect("a link");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for to in [format!("{EVIL}/timeout"), LIMITER.to_owned()] {
                    let unsigned = format!("{racing}.new");
                    symlink(to, &unsigned).and_then(|()| fs::rename(&unsigned, &racing)).expect("swapped");
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..50 {
            let _ = attacker.call(&attempt);
        }
        over.store(true, Ordering::Relaxed);
    });
    red.assert_no_evidence();
    let ran = red.ran();
    assert!(ran.iter().all(|line| line == "0:0:"), "{ran:?}");
    println!(
        "{}: {} swaps of a link during 50 calls; {} calls ran, all the permitted program",
        red.sudo,
        swaps.into_inner(),
        ran.len()
    );
}

#[test]
fn the_service_user_runs_only_what_sudo_permits() {
    let red = Red::raise(SUDO, true);
    attack(&red, false);
}

#[test]
fn the_service_user_runs_only_what_sudo_rs_permits() {
    system_env::enter();
    let _fence = SudoRs::raise();
    let red = Red::raise(SUDO_RS_SUDO, false);
    attack(&red, true);
}

/// A rule is only as good as the program that it names: no account but root may be able to replace it.
#[test]
fn the_service_user_can_replace_nothing_that_it_may_run() {
    system_env::enter();
    let listed = run(PROGRAM, &["command", "list", "--json", "--config", CONFIG]);
    let commands: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let programs = commands.iter().filter_map(|command| command["argument_vectors"][0][0].as_str());
    let mut paths: Vec<_> = programs.chain([SUDO, LIMITER, PROGRAM, "/usr/sbin/sendmail"]).map(str::to_owned).collect();
    paths.extend(
        ["/etc/sudoers.d/mailsudo", "/etc/sudoers", "/etc/mailsudo/x", "/etc/mailsudo/commands.d/x"].map(str::to_owned),
    );
    paths.extend(["/etc/mailsudo/users.d/x", "/etc/mailsudo/secrets.d/x"].map(str::to_owned));
    let script = "for f; do while [ \"$f\" != / ]; do [ ! -w \"$f\" ] || echo \"$f\"; f=$(dirname \"$f\"); done; done";
    let writable = |paths: &[String]| {
        let line = ["--reuid", SERVICE, "--regid", SERVICE, "--clear-groups", "sh", "-c", script, "sh"];
        run("setpriv", &[&line.map(str::to_owned), paths].concat())
    };
    assert_eq!(writable(&paths), "");
    let own = writable(&["/var/lib/mailsudo/ledger.db".to_owned()]);
    assert_eq!(
        own, "/var/lib/mailsudo/ledger.db\n/var/lib/mailsudo\n",
        "the ledger is its own, and shows that the test can tell"
    );
}
