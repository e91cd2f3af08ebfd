//! What a sender could learn from the time: how much work the gateway does for a mail whose mac is wrong, counted in
//! instructions by callgrind, which repeats to the instruction.
//!
//! Counted here: all three within 0.1 %, which is the digits of their keys and handling the file that nobody has.
//! Reading that file, some microseconds in the kernel, is not counted and left uneven: nobody outside sees when a
//! delivery ends, since mails like these are answered by nothing.

use std::fs;
use std::process::{Command, Stdio};

use crate::cli::CliGateway;

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
