//! Many deliveries at once, each a process of its own, on one gateway. A deferred mail (75) is delivered again, as
//! Postfix does, until all are done. Then there is exactly one run where one is due, one reply to each request, and
//! nothing is left.
//!
//! The sendmail refuses every argument vector but the documented one, and the exclusive command reports another run of
//! it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::common::{KEY, TestGateway, block, context, mail};
use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::intake::Envelope;
use mailsudo::limits::Timeouts;
use mailsudo::protocol::Timestamp;
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::SystemClock;

/// Ends a wait that would never end.
const DEADLINE: Duration = Duration::from_mins(3);

const SENDMAIL: &str = r#"#!/bin/sh
[ "$#" = 5 ] && [ "$1 $2 $3 $4" = "-i -f <> --" ] || exit 64
exec cat > "$(mktemp HOME/replies/XXXXXXXX)"
"#;

const ALONE: &str = "mkdir HOME/alone || echo overlap >> HOME/overlaps\nsleep 0.02\nrmdir HOME/alone\n";

fn new() -> TestGateway {
    let test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write("sendmail", 0o755, &SENDMAIL.replace("HOME", &home));
    test_gateway.write("hook", 0o644, &ALONE.replace("HOME", &home));
    test_gateway
}

/// A gateway that logs to standard error, so that the lines of each process are separate.
fn talking() -> TestGateway {
    let test_gateway = new();
    let home = test_gateway.folder.path().display().to_string();
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    test_gateway.write("mailsudo.toml", 0o644, &toml.replace(&format!("\"{home}/log\""), "\"stderr\""));
    test_gateway
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp::from_seconds(i64::try_from(now.as_secs()).expect("a time"))
}

/// How one delivery ended.
#[derive(Debug)]
struct Ended {
    mail: usize,
    status: i32,
    log: String,
}

impl Ended {
    /// Whether it was deferred because of this part.
    fn deferred(&self, part: &str) -> bool {
        self.status == 75 && self.log.contains(&format!("part={part} "))
    }
}

fn start(test_gateway: &TestGateway, mail: &str) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .arg("deliver")
        .arg("--config")
        .arg(test_gateway.folder.path())
        .arg("--reply-via")
        .arg(test_gateway.path("sendmail"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    child.stdin.take().expect("a pipe").write_all(mail.as_bytes()).expect("a mail fits into a pipe");
    child
}

/// Delivers all of them at the same time.
fn deliver(test_gateway: &TestGateway, mails: &[(usize, &str)]) -> Vec<Ended> {
    let all: Vec<_> = mails.iter().map(|(mail, text)| (*mail, start(test_gateway, text))).collect();
    let ended = |(mail, child): (usize, Child)| {
        let output = child.wait_with_output().expect("its end");
        assert!(output.stdout.is_empty(), "Postfix would put it into a bounce: {output:?}");
        let log = String::from_utf8(output.stderr).expect("UTF-8");
        Ended { mail, status: output.status.code().expect("no signal"), log }
    };
    all.into_iter().map(ended).collect()
}

/// Delivers all of them at the same time, and again those that were deferred, until none is; returns every delivery.
fn deliver_until_done(test_gateway: &TestGateway, mails: &[String]) -> Vec<Ended> {
    let begun = Instant::now();
    let mut due: Vec<_> = mails.iter().map(String::as_str).enumerate().collect();
    let mut all = Vec::new();
    while !due.is_empty() {
        assert!(begun.elapsed() < DEADLINE, "never done: {due:?} {all:?}");
        let ended = deliver(test_gateway, &due);
        assert!(ended.iter().all(|ended| ended.status == 0 || ended.status == 75), "{ended:?}");
        due.retain(|(mail, _)| ended.iter().any(|ended| ended.mail == *mail && ended.status == 75));
        all.extend(ended);
    }
    all
}

fn count(test_gateway: &TestGateway, sql: &str) -> u32 {
    test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a count")
}

fn replies(test_gateway: &TestGateway) -> Vec<String> {
    let entries = fs::read_dir(test_gateway.path("replies")).expect("replies");
    entries.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a reply")).collect()
}

/// Nothing is left: every request is answered, no command is held, no byte is locked, the ledger is sound.
fn assert_nothing_is_left(test_gateway: &TestGateway) {
    assert_eq!(count(test_gateway, "SELECT count(*) FROM requests WHERE handed_over IS NULL"), 0, "all are closed");
    assert_eq!(test_gateway.held(), 0, "no command is held");
    let integrity: String =
        test_gateway.ledger().query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(integrity, "ok");
    let locks = fs::File::options().write(true).open(test_gateway.path("ledger/ledger.db-claims")).expect("the claims");
    rustix::fs::fcntl_lock(&locks, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("no byte is locked");
    assert!(!test_gateway.path("overlaps").exists(), "two runs at the same time");
}

#[test]
fn copies_of_one_request_run_once() {
    let test_gateway = talking();
    let request = mail("alice@example.com", &block("alice", KEY, now(), "count", &[], None));
    let ended = deliver_until_done(&test_gateway, &vec![request; 200]);
    assert_eq!(test_gateway.runs().len(), 1);
    assert_eq!(replies(&test_gateway).len(), 1);
    let duplicates = ended.iter().filter(|ended| ended.log.contains("reason=duplicate ")).count();
    assert_eq!(duplicates, 199, "each of the others is a duplicate");
    assert!(ended.iter().all(|ended| ended.status == 0 || ended.deferred("busy")), "{ended:?}");
    assert_nothing_is_left(&test_gateway);
}

#[test]
fn a_captured_refused_mail_is_answered_and_counted_once() {
    let test_gateway = talking();
    let wrong = mail("alice@example.com", &block("alice", KEY, now(), "count", &[], Some("00000000")));
    deliver_until_done(&test_gateway, &vec![wrong; 50]);
    assert_eq!(replies(&test_gateway).len(), 1);
    assert_eq!(count(&test_gateway, "SELECT count(*) FROM requests WHERE reason = 'bad-code'"), 1);
    assert_eq!(count(&test_gateway, "SELECT count(*) FROM lockouts"), 0);
    assert_nothing_is_left(&test_gateway);
}

#[test]
fn requests_with_one_code_have_one_winner() {
    let test_gateway = talking();
    test_gateway.write("commands.d/restart.toml", 0o644, &restart(&test_gateway, 300));
    // Signed at the same second, so that they share a step whatever time it is.
    let signed = now();
    let mails: Vec<_> = (1..=200)
        .map(|level: u32| {
            let arguments = [("service", "nginx"), ("level", &level.to_string())];
            mail("alice@example.com", &block("alice", KEY, signed, "restart", &arguments, None))
        })
        .collect();
    let ended = deliver_until_done(&test_gateway, &mails);
    assert_eq!(test_gateway.runs().len(), 1);
    assert_eq!(count(&test_gateway, "SELECT count(*) FROM requests WHERE reason = 'used-code'"), 199);
    assert_eq!(count(&test_gateway, "SELECT count(step) FROM requests"), 1);
    assert_eq!(replies(&test_gateway).len(), 200, "each is answered, once");
    assert!(ended.iter().all(|ended| ended.status == 0 || ended.deferred("ledger")), "{ended:?}");
    assert_nothing_is_left(&test_gateway);
}

/// common's `restart` with levels up to `most`.
fn restart(test_gateway: &TestGateway, most: u32) -> String {
    let toml = fs::read_to_string(test_gateway.path("commands.d/restart.toml")).expect("a command");
    toml.replace("max = 9", &format!("max = {most}"))
}

#[test]
fn guesses_in_parallel_are_all_counted_and_the_lockout_holds() {
    let test_gateway = talking();
    let signed = now();
    let guesses: Vec<_> = (0..200)
        .map(|n| {
            let code = format!("{n:08}");
            mail("alice@example.com", &block("alice", KEY, signed, "count", &[], Some(&code)))
        })
        .collect();
    let ended = deliver_until_done(&test_gateway, &guesses);
    assert_eq!(
        count(&test_gateway, "SELECT count(*) FROM requests WHERE reason = 'bad-code'"),
        5,
        "no sixth was judged"
    );
    assert_eq!(count(&test_gateway, "SELECT count(*) FROM requests WHERE reason = 'locked-out'"), 195);
    assert_eq!(replies(&test_gateway).len(), 6, "five, and one for the lockout");
    assert!(ended.iter().all(|ended| ended.status == 0 || ended.deferred("ledger")), "{ended:?}");
    let right = mail("alice@example.com", &block("alice", KEY, now(), "count", &[], None));
    deliver_until_done(&test_gateway, &[right]);
    assert_eq!(
        (test_gateway.runs().len(), replies(&test_gateway).len()),
        (0, 6),
        "the right code comes too late and gets no reply"
    );
    assert_nothing_is_left(&test_gateway);
}

/// A request for `count` by each of 50 users.
fn exclusive(test_gateway: &TestGateway) -> Vec<String> {
    let signed = now();
    let request = |n: u32| {
        let (user, key) = (format!("user{n}"), format!("{n:064x}"));
        test_gateway.user(&user, &key, "web");
        mail(&format!("{user}@example.com"), &block(&user, &key, signed, "count", &[], None))
    };
    (1..=50).map(request).collect()
}

fn assert_each_ran_once(test_gateway: &TestGateway) {
    assert_eq!(test_gateway.runs().len(), 50);
    let mut answers = BTreeMap::<String, u32>::new();
    for reply in replies(test_gateway) {
        assert!(reply.contains("\nresult: exit-0\n"), "{reply}");
        let to = reply.lines().find(|line| line.starts_with("To: ")).expect("an address").to_owned();
        *answers.entry(to).or_default() += 1;
    }
    assert!(answers.len() == 50 && answers.values().all(|times| *times == 1), "{answers:?}");
    assert_nothing_is_left(test_gateway);
}

#[test]
fn exclusive_requests_run_one_after_the_other() {
    let test_gateway = talking();
    let mails = exclusive(&test_gateway);
    let ended = deliver_until_done(&test_gateway, &mails);
    assert!(ended.iter().any(|ended| ended.log.contains("event=waiting")), "they ran at the same time");
    // On a busy host a delivery may also wait too long for the ledger; it is delivered again like the others.
    let is_put_off = |ended: &Ended| ended.deferred("busy") || ended.log.contains("database is locked");
    assert!(ended.iter().all(|ended| ended.status == 0 || is_put_off(ended)), "{ended:?}");
    assert_each_ran_once(&test_gateway);
}

/// If no delivery waits, all are deferred while the command is held, and then all but one. They keep their places and
/// their codes until they are delivered again.
#[test]
fn exclusive_requests_that_are_deferred_keep_their_place() {
    let test_gateway = new();
    let mails = exclusive(&test_gateway);
    mailsudo::ledger::init(&test_gateway.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    // By a run whose delivery has died.
    test_gateway.hold(Timestamp::from_seconds(now().seconds() + 60));
    let mut due = deliver_without_waiting(&test_gateway, mails.iter().map(String::as_str).collect());
    assert_eq!((due.len(), test_gateway.runs().len()), (50, 0));
    let kept = "SELECT count(*) FROM requests WHERE state = 'waiting' AND step IS NOT NULL";
    assert_eq!(count(&test_gateway, kept), 50);
    test_gateway.hold(Timestamp::from_seconds(0));
    let begun = Instant::now();
    while !due.is_empty() {
        assert!(begun.elapsed() < DEADLINE, "never done: {due:?}");
        due = deliver_without_waiting(&test_gateway, due);
    }
    assert_each_ran_once(&test_gateway);
}

/// Delivers all at the same time without a wait for an exclusive command; returns those that were deferred.
fn deliver_without_waiting<'m>(test_gateway: &TestGateway, mails: Vec<&'m str>) -> Vec<&'m str> {
    let home = test_gateway.folder.path();
    // Fifty commits one after the other: longer than a delivery waits, if the disk is busy.
    let timeouts = Timeouts { exclusive_wait: Duration::ZERO, transaction: DEADLINE, ..Timeouts::DEFAULT };
    let is_deferred = |mail: &str| {
        let gateway = Gateway::open(home, Trusted::caller()).expect("the gateway");
        let mut audit = Audit::new(gateway.settings(), None);
        let transport = ReplyTransport::Sendmail(home.join("sendmail"));
        let envelope = Envelope::default();
        let context = context(&gateway, &envelope, &SystemClock, timeouts);
        let ended = crate::common::deliver(&context, &transport, mail.as_bytes(), &mut audit);
        assert!(ended.as_ref().is_ok() || ended.as_ref().is_err_and(|deferral| deferral.part == "busy"), "{ended:?}");
        ended.is_err()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = mails.iter().map(|mail| scope.spawn(|| is_deferred(mail))).collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            // Their syslogd, whose socket has room for a dozen lines.
            let _ = test_gateway.log();
            std::thread::sleep(Duration::from_millis(1));
        }
        let deferred = threads.into_iter().map(|thread| thread.join().expect("a delivery"));
        mails.iter().zip(deferred).filter_map(|(mail, is_deferred)| is_deferred.then_some(*mail)).collect()
    })
}
