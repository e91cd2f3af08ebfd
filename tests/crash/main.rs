//! Nothing runs twice and no reply is lost, whatever dies and whenever. One delivery is killed at each of its calls in
//! turn, or one of its calls fails, each time from the same beginning; then the same mail is delivered again until it
//! is consumed, as Postfix does. `power.rs` does the same with the machine's power instead of the process.
//!
//! The program is the built one; sudo, sendmail, syslogd and the command are scripts that check what they are given.
//! `make test` kills at every call and lets each call of the main cases fail once; `make soak` (MAILSUDO_SOAK is set)
//! lets every call fail with every error.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::indexing_slicing, clippy::panic)]

mod case;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/database.rs"]
mod database;
mod disk;
mod judge;
mod postgres;
mod power;
mod reader;
mod site;
mod strace;
mod tried;

use anyhow::{Context, Result, ensure};

use case::Case;
use site::Site;
use strace::Call;
use tried::{Tried, each, is_soak};

/// What a call may return instead of doing its work, whether it is known for that or not.
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EAGAIN", "EINTR", "EMFILE"];

/// How many cases are tried at once. A delivery whose call failed may wait for minutes, and the processors have the
/// other cases meanwhile.
const CASES_AT_ONCE: usize = 7;

/// A call of a case, and what happens there.
#[derive(Debug)]
struct Point {
    case: Case,
    call: Call,
    /// The error it returns; none: the process is killed as it makes the call.
    error: Option<&'static str>,
}

/// The calls of a case at which a delivery is disturbed. Those before the ledger is looked at are the same in every
/// case, and an encrypted reply differs from others while it is encrypted.
fn calls(case: Case) -> Vec<Call> {
    let calls = case.site().and_then(|site| case.calls(&site));
    let calls = calls.unwrap_or_else(|error| panic!("{case:?}, undisturbed: {error:#}"));
    let all = is_soak() || case == Case::Exclusive;
    let is_worth = |call: &Call| match case {
        Case::Encrypted => call.while_encrypting,
        _ => call.after_ledger,
    };
    calls.into_iter().filter(|call| all || is_worth(call)).collect()
}

/// Whether it is worth a look how the case goes on when `call` fails.
///
/// exit_group(2) has no error; close(2) has, but the descriptor is gone even then, which strace(1) cannot do. Rust's
/// runtime looks by poll(2) whether descriptors 0 to 2 are open, before main, and aborts at errors that poll(2) does
/// not have; the program itself waits by ppoll(2).
fn can_fail(call: &Call) -> bool {
    !["close", "exit_group", "poll"].contains(&call.name.as_str())
}

/// Delivers with the disturbance, then without until the mail is consumed, and judges what became of it.
fn disturb(site: &mut Site, point: &Point, tried: &Tried) -> Result<()> {
    site.reset();
    let trace = site.trace();
    let words = match point.error {
        None => strace::kill(&trace, &point.call),
        Some(error) => strace::fail(&trace, &point.call, error),
    };
    site.calls_fail = point.error.is_some();
    let ended = point.case.deliver(site, &words);
    let ended = ended.with_context(|| strace::injected(&trace, &point.call))?;
    let happened = match point.error {
        None => ended.signal == Some(9),
        Some(_) => !strace::injected(&trace, &point.call).is_empty(),
    };
    let deferred = point.error.is_some() && ended.status == Some(75);
    ensure!(ended.status == Some(0) || deferred || (point.error.is_none() && happened), "{ended:?}");
    if point.call.after_start {
        site.wait_for_children()?;
    }
    let before = site.look().context("the ledger it left")?;
    site.judge_stored()?;
    let known = site.settle(before.as_ref())?;
    tried.count(happened, &known, site.test_gateway.runs().len());
    Ok(())
}

fn disturb_all(what: &str, points: &[(Case, Vec<Point>)]) {
    let tried = Tried::default();
    for some in points.chunks(CASES_AT_ONCE) {
        std::thread::scope(|scope| {
            for (case, points) in some {
                scope.spawn(|| each(|| case.site(), points, &tried, |site, point| disturb(site, point, &tried)));
            }
        });
    }
    tried.report(what);
}

fn kill_at_every_call(what: &str, cases: &[Case]) {
    let point = |case| move |call| Point { case, call, error: None };
    let points: Vec<_> = cases.iter().map(|&case| (case, calls(case).into_iter().map(point(case)).collect())).collect();
    disturb_all(what, &points);
}

#[test]
fn a_delivery_may_die_at_any_call() {
    kill_at_every_call("killed", &Case::ALL);
}

#[test]
fn a_delivery_about_an_approval_may_die_at_any_call() {
    kill_at_every_call("killed, about approvals", &Case::APPROVALS);
}

// Tests begin in the order of their names: first these two, which wait, and at the same time those that compute.

#[test]
fn a_call_of_a_delivery_may_fail() {
    fail_every_call("failed calls", if is_soak() { &Case::ALL } else { &Case::MAIN });
}

#[test]
fn a_call_of_a_delivery_about_an_approval_may_fail() {
    let cases: &[Case] = if is_soak() { &Case::APPROVALS } else { &[Case::Approving] };
    fail_every_call("failed calls, about approvals", cases);
}

fn fail_every_call(what: &str, cases: &[Case]) {
    let points = |&case: &Case| {
        let calls: Vec<_> = calls(case).into_iter().filter(can_fail).collect();
        let points = calls.into_iter().enumerate().flat_map(|(n, call)| {
            let errors = if is_soak() { &ERRORS[..] } else { &ERRORS[n % ERRORS.len()..][..1] };
            errors.iter().map(move |&error| Point { case, call: call.clone(), error: Some(error) })
        });
        let mut points: Vec<_> = points.collect();
        // What ends locks, and so waits longest, comes first.
        points.sort_by_key(|point: &Point| point.call.name != "fcntl");
        (case, points)
    };
    let points: Vec<_> = cases.iter().map(points).collect();
    disturb_all(what, &points);
}

/// So that being killed at every call is being killed after every call too.
#[test]
fn a_call_at_which_a_process_is_killed_is_not_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let call = Call { name: "write".to_owned(), nth: 2, ..Call::default() };
    let status = std::process::Command::new("strace")
        .args(strace::kill(&folder.path().join("trace"), &call))
        .args(["sh", "-c", "echo 1; echo 2; echo 3"])
        .stdout(std::fs::File::create(folder.path().join("out")).expect("a file"))
        .status();
    let status = status.expect("strace: apt-get install strace");
    assert!(!status.success(), "{status}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).expect("read"), "1\n");
}

/// Whatever its exit status: a reply that fits into a pipe would be lost unread.
#[test]
fn a_sendmail_that_has_not_read_the_reply_has_not_taken_it() {
    let site = Case::Exclusive.site().expect("a gateway");
    let good = std::fs::read_to_string(site.test_gateway.path("sendmail")).expect("sendmail");
    for bad in ["exit 0", "exec <&-; exit 0", "head -c 10 >/dev/null; exit 0"] {
        site.test_gateway.write("sendmail", 0o755, &format!("#!/bin/sh\n{bad}\n"));
        let ended = site.deliver(&[], |_| false).expect("a delivery");
        assert_eq!(ended.status, Some(75), "{bad}: {ended:?}");
        assert!(ended.log.iter().any(|line| line.contains("bytes of the reply")), "{ended:?}");
    }
    site.test_gateway.write("sendmail", 0o755, &good);
    let before = site.look().expect("the ledger");
    site.settle(before.as_ref()).expect("the reply that was stored");
}
