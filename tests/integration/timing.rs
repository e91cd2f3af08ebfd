//! What a sender could learn from the time: how much work the gateway does for a mail whose mac is wrong, counted in
//! instructions by callgrind, which repeats to the instruction.
//!
//! Counted here: all three within 0.1 %, which is the digits of their keys and handling the file that nobody has.
//! Reading that file, some microseconds in the kernel, is not counted and left uneven: nobody outside sees when a
//! delivery ends, since mails like these are answered by nothing. How much that is, and whether it could be told from
//! noise, is shown by `make soak` and asserted nowhere.

#![allow(clippy::cast_precision_loss, reason = "counts of a measurement")]

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::cli::CliGateway;
use crate::common::TestGateway;

/// How far apart the counts may be, in thousandths of the least.
const NOISE: u64 = 10;

/// A request with a wrong mac.
fn forged(user: &str) -> String {
    format!(
        "From: {user}@example.com\nSubject: x\n\nmailsudo: 1\ngateway: berlin\nuser: {user}\ntime: 2026-11-23T10:15:00Z\n\
         totp: 556712\ncommand: say\nmac: {}\n",
        "5a".repeat(32)
    )
}

/// How many instructions it takes to refuse `mail`.
fn instructions(test_gateway: &CliGateway, mail: &str) -> u64 {
    test_gateway.write("forged.eml", mail);
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_mailsudo")])
        .args(["deliver", "--config", "."])
        .current_dir(test_gateway.folder.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::from(fs::File::open(test_gateway.path("forged.eml")).expect("a mail")))
        .output()
        .expect("valgrind: apt-get install valgrind");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("reason=bad-mac "), "{told}");
    let count = told.split("Collected :").nth(1).and_then(|rest| rest.split_whitespace().next());
    count.unwrap_or_else(|| panic!("a count: {told}")).parse().expect("a number")
}

#[test]
fn an_unknown_a_disabled_and_a_known_user_cost_the_same() {
    let test_gateway = CliGateway::new();
    test_gateway.run(&[
        "user",
        "add",
        "frank",
        "--address",
        "frank@example.com",
        "--role",
        "web",
        "--key-file",
        "frank.key",
    ]);
    let disabled = test_gateway.run(&["user", "disable", "frank"]);
    assert_eq!(disabled.status, 0, "{}", disabled.err);
    let counts = ["alice", "frank", "carol"].map(|user| instructions(&test_gateway, &forged(user)));
    let (least, most) = (counts.iter().min().expect("three"), counts.iter().max().expect("three"));
    assert!((most - least) * 1000 <= least * NOISE, "known, disabled, unknown: {counts:?}");
    assert!(!test_gateway.path("ledger/ledger.db").exists(), "and none of them opens the ledger");
}

/// Welch's t of two samples: the difference of their means, in standard errors.
fn welch(first: &[f64], second: &[f64]) -> f64 {
    let moments = |sample: &[f64]| {
        let count = sample.len() as f64;
        let mean = sample.iter().sum::<f64>() / count;
        let variance = sample.iter().map(|each| (each - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    };
    let ((first, first_error), (second, second_error)) = (moments(first), moments(second));
    (first - second) / (first_error + second_error).sqrt()
}

/// The values up to the `percent`-th percentile of both samples together, as dudect crops them: what is above is mostly
/// what else the machine did.
fn cropped(sample: &[f64], both: &[f64], percent: usize) -> Vec<f64> {
    let limit = both[(both.len() - 1) * percent / 100];
    sample.iter().copied().filter(|each| *each <= limit).collect()
}

/// What dudect does (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, 2017): two classes of input in
/// random order, and Welch's t of their times, all of them and the fastest. Above 4.5 the classes can be told apart.
fn compare(what: &str, test_gateway: &mut TestGateway, mails: [&str; 2], rounds: usize) {
    let mut samples = [Vec::with_capacity(rounds), Vec::with_capacity(rounds)];
    let mut order = 0x9e37_79b9_7f4a_7c15_u64;
    while samples.iter().any(|sample| sample.len() < rounds) {
        order ^= order << 13;
        order ^= order >> 7;
        order ^= order << 17;
        let class = usize::from(order & 1 == 1);
        let begun = Instant::now();
        let ended = test_gateway.deliver(mails[class]);
        let took = begun.elapsed().as_nanos() as f64 / 1000.0;
        assert!(ended.refused("bad-mac") && ended.replies.is_empty(), "{ended:?}");
        samples[class].push(took);
    }
    let mut both = samples.concat();
    both.sort_unstable_by(f64::total_cmp);
    let [first, second] = &samples;
    let t = |percent| welch(&cropped(first, &both, percent), &cropped(second, &both, percent));
    let median = |sample: &[f64]| {
        let mut sorted = sample.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    println!(
        "timing: {what}: {} and {} mails, medians {:.2} and {:.2} µs; Welch's t of all {:.1}, of the fastest 99 % {:.1}, 90 % {:.1}, \
         50 % {:.1}",
        first.len(),
        second.len(),
        median(first),
        median(second),
        welch(first, second),
        t(99),
        t(90),
        t(50)
    );
}

#[test]
#[ignore = "measures and asserts nothing about time: make soak"]
fn an_unknown_and_a_known_user_are_compared_by_time() {
    let rounds = std::env::var("MAILSUDO_TIMING").map_or(20_000, |text| text.parse().expect("a number"));
    let mut test_gateway = TestGateway::new();
    let (known, unknown) = (forged("alice"), forged("carol"));
    // Whether the method finds a difference where there is none.
    compare("a known user and the same again", &mut test_gateway, [&known, &known], rounds);
    compare("a known and an unknown user", &mut test_gateway, [&known, &unknown], rounds);
    // Whether it finds one where there is one.
    let longer = known.replace("\n\nmailsudo", &format!("\n\n{}\nmailsudo", "Good morning,\n".repeat(50)));
    compare("a known user and a longer mail", &mut test_gateway, [&known, &longer], rounds);
}
