//! The soak under real Postfix (`make soak`): requests go in while processes are killed, disks are full or slow, the
//! gateway's clock steps by an hour and its neighbours die. Whatever happens, no request runs twice and each is
//! answered.
//!
//! `MAILSUDO_SEED` repeats the same events (their moments depend on the machine), `MAILSUDO_REQUESTS` (1000) and
//! `MAILSUDO_CHAOS_SECONDS` (3600) set the size. The clock is libfaketime's: no namespace steps `CLOCK_REALTIME`, and
//! the released program, which is static, takes no preloaded library. So this test runs the same source linked
//! dynamically, which `MAILSUDO_DYNAMIC` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::chaos_events::{self, Dice, Event};
use crate::process::{self, run};
use crate::system_env::{self, CONFIG, GATEWAY, PROGRAM, SERVICE};
use crate::user::{User, in_block};
use crate::{mailbox, postfix, smtp, sudo_rules};

/// Which requests have run: a number on each line.
const RAN: &str = "/srv/chaos-ran";
const STATE: &str = "/var/lib/mailsudo";
const SPOOL: &str = "/var/spool/postfix";
/// Long enough for every request to be judged again after each wait of Postfix's.
const CALM: Duration = Duration::from_mins(15);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The gateway on small disks, with a clock that can be stepped; as before when this is dropped.
struct Stage(());

impl Stage {
    fn set(requests: usize) -> Self {
        system_env::enter();
        let dynamic = std::env::var("MAILSUDO_DYNAMIC").expect("MAILSUDO_DYNAMIC names the program: make soak");
        let stage = Self(());
        run("cp", &[PROGRAM, "/srv/static-mailsudo"]);
        run("install", &["-m", "0755", &dynamic, PROGRAM]);
        process::remove(RAN);
        process::write(
            "/usr/local/libexec/chaos",
            0o755,
            "#!/bin/sh\necho $1 >>/srv/chaos-ran\nsleep 0.2\necho done\n",
        );
        let toml = format!(
            "summary = \"Note a number\"\nrun_as = \"root\"\nargv = [\"/usr/local/libexec/chaos\", \"{{number}}\"]\n\
             timeout = \"60s\"\nmax_age = \"3h\"\nexclusive = false\n[parameters.number]\n\
             integer = {{ min = 1, max = {requests} }}\n[allow.operator]\n"
        );
        process::write(format!("{CONFIG}/commands.d/chaos.toml"), 0o644, &toml);
        run(PROGRAM, &["sudoers", "--install", "--yes"]);

        run("postfix", &["stop"]);
        run("mount", &["-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", STATE]);
        run("chown", &[&format!("{SERVICE}:{SERVICE}"), STATE]);
        system_env::init_ledger(PROGRAM);
        run("mount", &["-t", "tmpfs", "-o", "size=128m,mode=0755", "tmpfs", SPOOL]);
        chaos_events::set_clock(0);
        postfix_settings(&[
            &format!("export_environment = TZ MAIL_CONFIG LANG {}", chaos_events::clock_variables()),
            "transport_retry_time = 2s",
            "queue_run_delay = 1s",
            "minimal_backoff_time = 1s",
            "maximal_backoff_time = 3s",
        ]);
        run("postfix", &["start"]);
        stage
    }
}

fn postfix_settings(settings: &[&str]) {
    run("postconf", &[&["-e"], settings].concat());
    run("touch", &["-d", "1 minute ago", "/etc/postfix/main.cf"]);
}

impl Drop for Stage {
    fn drop(&mut self) {
        chaos_events::heal();
        let _ = Command::new("postfix").arg("stop").output();
        for folder in [STATE, SPOOL] {
            let _ = Command::new("umount").args(["--lazy", folder]).output();
        }
        run("postconf", &["-X", "export_environment", "transport_retry_time"]);
        postfix_settings(&["queue_run_delay = 1h", "minimal_backoff_time = 1h", "maximal_backoff_time = 1h"]);
        run("install", &["-m", "0755", "/srv/static-mailsudo", PROGRAM]);
        process::remove(&format!("{CONFIG}/commands.d/chaos.toml"));
        sudo_rules::raise_sudo();
        run("postfix", &["start"]);
    }
}

/// Hands a mail to Postfix as a mail client does: again, as long as Postfix refuses or is not there.
fn insist(user: &User, mail: &str, refusals: &AtomicUsize) {
    while !matches!(std::panic::catch_unwind(|| smtp::send(&user.address, GATEWAY, mail)), Ok(Ok(_))) {
        refusals.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(500));
    }
}

/// All replies, by the user's address.
fn replies() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(format!("{}/new", mailbox::FOLDER)).into_iter().flatten().flatten() {
        let text = process::text(entry.path());
        if let Some(to) = text.lines().find_map(|line| line.strip_prefix("Delivered-To: ")) {
            found.entry(to.to_owned()).or_default().push(text);
        }
    }
    found
}

#[test]
#[ignore = "an hour: make soak"]
fn whatever_dies_no_request_runs_twice_and_each_is_answered() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = setting("MAILSUDO_SEED", now.as_secs());
    let requests = usize::try_from(setting("MAILSUDO_REQUESTS", 1000)).expect("a number");
    let span = Duration::from_secs(setting("MAILSUDO_CHAOS_SECONDS", 3600));
    println!("chaos: MAILSUDO_SEED={seed} MAILSUDO_REQUESTS={requests} MAILSUDO_CHAOS_SECONDS={}", span.as_secs());
    let _stage = Stage::set(requests);
    let users: Vec<User> = (1..=requests).map(|n| User::enrol(&format!("chaos{n}"))).collect();
    println!("chaos: {requests} users are enrolled");

    let (over, refusals) = (&AtomicBool::new(false), AtomicUsize::new(0));
    let tally: &Mutex<BTreeMap<Event, usize>> = &Mutex::default();
    let begun = Instant::now();
    thread::scope(|scope| {
        let cause = |event: Event, dice: &mut Dice| {
            if chaos_events::cause(event, dice) {
                *tally.lock().expect("no panic").entry(event).or_default() += 1;
            }
            thread::sleep(Duration::from_millis(dice.below(1500)));
        };
        let is_over = || over.load(Ordering::Relaxed);
        scope.spawn(move || {
            let mut dice = Dice(seed);
            while !is_over() {
                cause(dice.event(), &mut dice);
            }
        });
        // And kills while the rest of it goes on.
        scope.spawn(move || {
            let mut dice = Dice(!seed);
            while !is_over() {
                cause(dice.kill(), &mut dice);
            }
        });
        for (at, user) in users.iter().enumerate() {
            let due = span * u32::try_from(at).expect("few") / u32::try_from(requests).expect("few");
            thread::sleep(due.saturating_sub(begun.elapsed()));
            insist(user, &user.mail(&user.request(&["chaos", &format!("number={}", at + 1)])), &refusals);
        }
        thread::sleep(span.saturating_sub(begun.elapsed()));
        over.store(true, Ordering::Relaxed);
    });
    chaos_events::heal();
    let troubled = begun.elapsed();
    let calm = Instant::now();
    while !postfix::queue_is_empty() {
        assert!(calm.elapsed() < CALM, "the queue never became empty:\n{}", postfix::queue());
        postfix::retry();
        thread::sleep(Duration::from_secs(2));
    }

    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for line in process::text(RAN).lines() {
        *runs.entry(line.parse().expect("a number")).or_default() += 1;
    }
    let replies = replies();
    let (mut results, mut wrong): (BTreeMap<String, usize>, Vec<String>) = Default::default();
    let mut sent = 0;
    for (at, user) in users.iter().enumerate() {
        let ran = runs.get(&(at + 1)).copied().unwrap_or_default();
        let own = replies.get(&user.address).map(Vec::as_slice).unwrap_or_default();
        sent += own.len();
        let told: BTreeSet<&str> = own.iter().map(|reply| in_block(reply, "result")).collect();
        for reply in own {
            user.assert_genuine(reply);
        }
        let fits = match told.iter().copied().collect::<Vec<_>>()[..] {
            ["exit-0"] => ran == 1,
            ["refused"] => ran == 0,
            ["unknown" | "signal-9" | "timed-out" | "exit-137"] => ran <= 1,
            _ => false,
        };
        if !fits {
            wrong.push(format!("request {}: {ran} runs, {} replies: {told:?}", at + 1, own.len()));
        }
        *results.entry(told.into_iter().collect::<Vec<_>>().join("+")).or_default() += 1;
    }
    let events = tally.lock().expect("no panic");
    println!(
        "chaos: {requests} requests, {} runs, {sent} replies, {} refused by SMTP and sent again, in {} s of trouble and {} s after it",
        runs.values().sum::<usize>(),
        refusals.into_inner(),
        troubled.as_secs(),
        calm.elapsed().as_secs()
    );
    println!("chaos: results {results:?}");
    println!("chaos: {} events {events:?}", events.values().sum::<usize>());
    assert!(wrong.is_empty(), "{} of {requests} requests:\n{}", wrong.len(), wrong.join("\n"));
    let checked = Command::new(PROGRAM).args(["ledger", "check"]).stdin(Stdio::null()).output().expect("the program");
    assert!(checked.status.success(), "{checked:?}");
    run(PROGRAM, &["log", "--verify"]);
}
