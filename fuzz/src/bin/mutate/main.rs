//! mutate [OPTION...] - reads mutated mails as the gateway does, as many as it can.
//!
//! One mail in eight is a genuine request as some mail program may write it: it must be accepted. Four are such mails
//! with one to five changes, two of them within the encoded text, three are mails of tests/mail with as many. A mail
//! that is accepted must say exactly what alice has signed, and no mail may cause a panic. Each mail follows from the
//! seed, its number, tests/mail, the dictionary and this program. A run begins with the number that the run before ended
//! with.
//!
//!   --seconds N    how long (60)
//!   --threads N    how many at a time (1)
//!   --mails DIR    the mails of tests/mail (../tests/mail)
//!   --count FILE   where the next number is kept, in the line `mutated` (executions)
//!   --found DIR    where a mail that breaks a rule is put (artifacts/mutated)
//!   --only NUMBER  checks this mail alone, and prints it
//!
//! Exits 1 where a mail breaks a rule. The next run then begins with that mail. Where the process is killed, by a stack
//! overflow for example, the count is at most ten seconds behind.

mod change;
mod check;
mod count;
mod genuine;
mod mail;
mod mails;
mod random;

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use check::{Check, Verdict};
use count::Count;
use mails::Mails;

/// All numbers belong to this seed. Another one would begin a count of its own.
const SEED: u64 = 20_261_130;

/// How many mails a thread takes at a time.
const TAKEN: u64 = 1000;

/// One mail in so many is checked thoroughly.
const THOROUGH: u64 = 16;

/// A mail that takes longer than this breaks a rule.
const LONGEST: Duration = Duration::from_secs(20);

struct Options {
    seconds: u64,
    threads: usize,
    mails: PathBuf,
    count: PathBuf,
    found: PathBuf,
    only: Option<u64>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            seconds: 60,
            threads: 1,
            mails: "../tests/mail".into(),
            count: "executions".into(),
            found: "artifacts/mutated".into(),
            only: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let number = || value.parse().map_err(|error| format!("{word} {value}: {error}"));
            match word.as_str() {
                "--seconds" => options.seconds = number()?,
                "--threads" => options.threads = value.parse().map_err(|error| format!("{word} {value}: {error}"))?,
                "--only" => options.only = Some(number()?),
                "--mails" => options.mails = value.into(),
                "--count" => options.count = value.into(),
                "--found" => options.found = value.into(),
                _ => return Err(format!("unknown option {word}")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("mutate: {what}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mails = Mails::new(&options.mails, SEED)?;
    if let Some(number) = options.only {
        let (mail, _) = mails.mail(number);
        std::io::stdout().write_all(&mail).map_err(|error| error.to_string())?;
        return one(&mails, &Check::new(&mails.signed), number).map(drop);
    }
    let count = Count::open(&options.count)?;
    println!("mutated: seed {SEED}, from mail {}, {} s, {} threads", count.first(), options.seconds, options.threads);
    let shared = Shared {
        next: AtomicU64::new(count.first()),
        is_over: AtomicBool::new(false),
        threads: (0..options.threads.max(1)).map(|_| Thread::default()).collect(),
    };
    let begun = Instant::now();
    let found = thread::scope(|scope| {
        let runs: Vec<_> = shared.threads.iter().map(|own| scope.spawn(|| shared.work(own, &mails))).collect();
        let limit = Duration::from_secs(options.seconds);
        let slow = shared.watch(begun, limit, &count);
        if let Err(slow) = slow {
            // The thread does not end.
            eprintln!("mutate: {slow}");
            std::process::exit(1);
        }
        runs.into_iter().filter_map(|run| run.join().unwrap_or_else(|_| Some((0, "a thread died".to_owned())))).min()
    });
    let all = found.as_ref().map_or(shared.next.load(Relaxed), |(number, _)| *number);
    count.keep(all)?;
    println!("{}", shared.sum(all - count.first(), all, begun.elapsed()));
    let Some((number, what)) = found else {
        return Ok(());
    };
    fs::create_dir_all(&options.found).map_err(|error| error.to_string())?;
    let file = options.found.join(format!("{number}.eml"));
    fs::write(&file, mails.mail(number).0).map_err(|error| error.to_string())?;
    Err(format!("FOUND mail {number}, in {}: {what}", file.display()))
}

/// Checks one mail.
fn one(mails: &Mails, check: &Check<'_>, number: u64) -> Result<Verdict, String> {
    let (mail, is_genuine) = mails.mail(number);
    let verdict = catch_unwind(AssertUnwindSafe(|| check.mail(&mail, number % THOROUGH == 0)))
        .unwrap_or_else(|_| Err("a panic".to_owned()))?;
    if is_genuine && verdict != Verdict::Accepted {
        return Err("a genuine request that is not accepted".to_owned());
    }
    Ok(verdict)
}

/// What the threads share.
struct Shared {
    /// The first number that no thread has taken.
    next: AtomicU64,
    is_over: AtomicBool,
    threads: Vec<Thread>,
}

/// What one thread has done.
#[derive(Default)]
struct Thread {
    /// The first of the numbers that it has taken.
    taken: AtomicU64,
    current: AtomicU64,
    accepted: AtomicU64,
    without_payload: AtomicU64,
    wrong_mac: AtomicU64,
}

impl Shared {
    /// Takes numbers and checks their mails until the time is over or a mail breaks a rule, which it returns.
    fn work(&self, own: &Thread, mails: &Mails) -> Option<(u64, String)> {
        let check = Check::new(&mails.signed);
        while !self.is_over.load(Relaxed) {
            let first = self.next.fetch_add(TAKEN, Relaxed);
            own.taken.store(first, Relaxed);
            for number in first..first + TAKEN {
                own.current.store(number, Relaxed);
                match one(mails, &check, number) {
                    Ok(Verdict::Accepted) => own.accepted.fetch_add(1, Relaxed),
                    Ok(Verdict::NoPayload) => own.without_payload.fetch_add(1, Relaxed),
                    Ok(Verdict::WrongMac) => own.wrong_mac.fetch_add(1, Relaxed),
                    Ok(Verdict::NoRequest) => 0,
                    Err(what) => {
                        self.is_over.store(true, Relaxed);
                        return Some((number, what));
                    }
                };
            }
        }
        None
    }

    /// Waits for the end, keeps the count every ten seconds, and says every minute how far it is.
    fn watch(&self, begun: Instant, limit: Duration, count: &Count) -> Result<(), String> {
        let mut last: Vec<_> = self.threads.iter().map(|_| (u64::MAX, Instant::now())).collect();
        let (mut kept, mut shown) = (begun, begun);
        while begun.elapsed() < limit && !self.is_over.load(Relaxed) {
            thread::sleep(Duration::from_millis(100));
            for (last, own) in last.iter_mut().zip(&self.threads) {
                let current = own.current.load(Relaxed);
                if last.0 != current {
                    *last = (current, Instant::now());
                } else if last.1.elapsed() > LONGEST {
                    return Err(format!("FOUND mail {current}, which takes longer than {LONGEST:?}: --only {current}"));
                }
            }
            if kept.elapsed() > Duration::from_secs(10) {
                kept = Instant::now();
                count.keep(self.done())?;
            }
            if shown.elapsed() > Duration::from_secs(60) {
                shown = Instant::now();
                println!("{}", self.sum(self.done() - count.first(), self.done(), begun.elapsed()));
            }
        }
        self.is_over.store(true, Relaxed);
        Ok(())
    }

    /// Every number below this one is done.
    fn done(&self) -> u64 {
        self.threads.iter().map(|own| own.taken.load(Relaxed)).min().unwrap_or_default()
    }

    fn sum(&self, mails: u64, all: u64, time: Duration) -> String {
        let sum = |of: fn(&Thread) -> &AtomicU64| -> u64 { self.threads.iter().map(|own| of(own).load(Relaxed)).sum() };
        let seconds = time.as_secs().max(1);
        format!(
            "mutated: {mails} mails in {seconds} s, {} a second, {all} in all; {} accepted, each as it was signed, {} without \
             the payload that was signed, {} with a wrong mac",
            mails / seconds,
            sum(|own| &own.accepted),
            sum(|own| &own.without_payload),
            sum(|own| &own.wrong_mac),
        )
    }
}
