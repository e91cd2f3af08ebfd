//! A model of the protocol by which several mail servers share one ledger in PostgreSQL, checked in every order of its
//! steps (stateright, breadth first). Nodes, a database with failovers that lose nothing or the newest commits, mail
//! that both nodes have, deliveries that die or pause at any step, commits that end in doubt, clocks that differ.
//!
//! Each rule of the protocol (`rules.rs`) has a test that takes it out and must find what it prevents. `make test`
//! checks worlds that take seconds; `make soak` larger ones.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::indexing_slicing, clippy::panic)]

mod rules;
mod state;
mod steps;
mod world;

use stateright::{Checker, HasDiscoveries, Model};

use rules::{Configuration, Request, Rule};

const PLAIN: Request = Request { signed: 0, is_exclusive: false };
const EXCLUSIVE: Request = Request { signed: 0, is_exclusive: true };

/// Every world that the configuration leads to is right.
fn holds(what: &str, configuration: &Configuration) {
    let checker = configuration.clone().checker().threads(2).spawn_bfs().join();
    println!("{what}: {} worlds, {} steps deep", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

/// Without the rule, this goes wrong.
fn breaks(rule: Rule, what: &'static str, configuration: &Configuration) {
    let configuration = Configuration { without: Some(rule), ..configuration.clone() };
    let checker = configuration.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let Some(path) = checker.discovery(what) else {
        panic!("without {rule:?}, in {} worlds nothing goes wrong", checker.unique_state_count());
    };
    println!(
        "without {rule:?}, {} worlds: {what}: not so after {:?}",
        checker.unique_state_count(),
        path.into_actions()
    );
}

/// Commits that end in doubt, deliveries that die, and a failover that loses nothing that was confirmed.
fn synchronous() -> Configuration {
    Configuration { failovers: 1, kills: 1, doubts: 1, ..Configuration::small() }
}

/// A failover that loses the newest commits.
fn asynchronous() -> Configuration {
    Configuration { synchronous: false, ..synchronous() }
}

/// Two requests for one exclusive command, each with one mail.
fn exclusive() -> Configuration {
    Configuration { requests: vec![EXCLUSIVE; 2], clocks: vec![0], attempts: 1, end: 4, ..Configuration::small() }
}

/// A mail that comes again when its request is pruned, on a node whose clock is slow.
fn pruned() -> Configuration {
    Configuration { clocks: vec![0, -1], attempts: 1, end: 3, prunes: true, ..Configuration::small() }
}

/// A request from the future, which a node with a fast clock takes.
fn future() -> Configuration {
    let request = Request { signed: 2, is_exclusive: false };
    Configuration { requests: vec![request], clocks: vec![1, 1], attempts: 1, kills: 0, doubts: 0, ..asynchronous() }
}

#[test]
fn every_order_of_the_steps_is_right() {
    holds("synchronous", &synchronous());
    holds("asynchronous", &asynchronous());
    holds("exclusive", &Configuration { kills: 1, ..exclusive() });
    holds("exclusive, asynchronous", &Configuration { synchronous: false, failovers: 1, end: 3, ..exclusive() });
    holds("pruned", &pruned());
    holds("future", &future());
}

#[test]
fn each_rule_is_needed() {
    const ONCE: &str = "a request runs at most once";
    const OVERLAP: &str = "exclusive runs do not overlap";
    const ANSWERS: &str = "replies do not contradict";
    const AFTER: &str = "nothing begins after its answer";
    breaks(Rule::Claim, ONCE, &Configuration { kills: 1, ..Configuration::small() });
    breaks(Rule::DoubtDefers, ONCE, &synchronous());
    breaks(Rule::ReadBack, ONCE, &synchronous());
    breaks(Rule::ResumeCommits, ANSWERS, &synchronous());
    breaks(Rule::Lock, AFTER, &Configuration::small());
    breaks(Rule::OwnLock, AFTER, &Configuration { failovers: 1, ..Configuration::small() });
    breaks(Rule::Token, ANSWERS, &Configuration { end: 5, ..Configuration::small() });
    breaks(Rule::InTime, OVERLAP, &exclusive());
    breaks(Rule::HoldMargin, OVERLAP, &exclusive());
    let failing = Configuration { synchronous: false, failovers: 1, ..exclusive() };
    let later = vec![EXCLUSIVE, Request { signed: 3, ..EXCLUSIVE }];
    breaks(Rule::Quiet, OVERLAP, &Configuration { requests: later, clocks: vec![0, 0], end: 2, ..failing.clone() });
    breaks(Rule::LostUntil, ONCE, &asynchronous());
    breaks(Rule::LostUntilWaiting, ONCE, &Configuration { attempts: 2, ..failing });
    breaks(Rule::LostUntilClocks, ONCE, &future());
    breaks(Rule::Watermark, ONCE, &pruned());
    breaks(Rule::SentThenMarked, "no reply is lost", &Configuration { kills: 1, ..Configuration::small() });
}

/// The larger worlds of `make soak`.
#[test]
#[ignore = "minutes: make soak"]
fn every_order_of_the_steps_is_right_in_larger_worlds() {
    let most =
        Configuration { failovers: 2, kills: 2, doubts: 2, end: 4, clocks: vec![1, -1], ..Configuration::small() };
    holds("synchronous", &most);
    holds("asynchronous", &Configuration { synchronous: false, ..most.clone() });
    holds("pruned", &Configuration { prunes: true, failovers: 0, end: 5, ..most.clone() });
    let two = Configuration { requests: vec![PLAIN, EXCLUSIVE], failovers: 1, kills: 1, end: 3, attempts: 1, ..most };
    holds("two requests", &Configuration { doubts: 1, ..two.clone() });
    let exclusive = Configuration { requests: vec![EXCLUSIVE; 2], doubts: 0, kills: 0, ..two };
    holds("two exclusive requests", &exclusive);
    holds("two exclusive requests, asynchronous", &Configuration { synchronous: false, ..exclusive });
}

/// A step that the program renames or gives up must change here too.
#[test]
fn the_code_has_the_same_steps() {
    let read = |file: &str| std::fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).expect(file);
    let model = read("tests/model/steps.rs");
    for (step, file) in [
        ("lock", "ledger/postgres/locks.rs"),
        ("recognise", "ledger/postgres/transaction.rs"),
        ("commit", "ledger/postgres/transaction.rs"),
        ("read_back", "ledger/postgres/transaction.rs"),
        ("end_delivery", "ledger/postgres/mod.rs"),
        ("prune", "ledger/postgres/mod.rs"),
        ("transaction", "ledger/postgres/mod.rs"),
        ("refuse", "admission/refusal.rs"),
        ("admit", "admission/admit.rs"),
        ("give_up", "admission/outcome.rs"),
        ("finish", "admission/outcome.rs"),
        ("execute", "pipeline/delivery.rs"),
        ("send_own", "pipeline/send.rs"),
    ] {
        let is_in = |text: &str| text.contains(&format!("fn {step}(")) || text.contains(&format!("fn {step}<"));
        assert!(is_in(&model), "{step}");
        assert!(is_in(&read(&format!("src/{file}"))), "{step} in src/{file}");
    }
}
