//! A ledger that moves from SQLite into PostgreSQL keeps its audit chain.

use std::process::Command;

use mailsudo::protocol::Timestamp;

use crate::cli::{CliGateway, said};
use crate::common::TestGateway;
use crate::database::server::{OWNER, server};
use crate::database::{as_owner, owner_of, set};
use crate::nodes::in_database;

/// The head of the chain, which is whole, and without which no record is: `log --verify` says so.
fn whole(cli: &CliGateway, events: u64) -> String {
    let json = cli.run(&["log", "--verify", "--json"]);
    assert_eq!(json.status, 0, "{} {}", json.out, json.err);
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((json["events"].as_u64(), json["without_event"].as_u64()), (Some(events), Some(0)), "{json}");
    json["head"].to_string()
}

#[test]
fn a_copied_ledger_keeps_its_audit_chain() {
    let (cli, database) = (CliGateway::new(), server().database());
    assert!(cli.run_with(&["deliver"], &cli.eml(&["say"])).out.contains("heard: nothing"));
    for _ in 0..2 {
        assert_eq!(cli.run(&["user", "unlock", "alice"]).status, 0);
    }
    let head = whole(&cli, 5);
    let from = format!("sqlite:{}", cli.path("ledger/ledger.db").display());
    let owner = server().url(OWNER, &database);
    in_database(&cli, &database);
    assert_eq!(cli.run(&["ledger", "init", "--owner-url", &owner]).status, 0);
    let copy = || cli.run(&["ledger", "copy", &from, &owner]);
    let copied = copy();
    assert!(copied.out.contains("The audit chain goes on: 5 events copied."), "{} {}", copied.out, copied.err);
    assert_eq!(whole(&cli, 5), head);
    // As if the copy had ended in between.
    server().sql(&database, "DELETE FROM mailsudo.requests; DELETE FROM mailsudo.events WHERE number > 2");
    let copied = copy();
    assert!(
        copied.out.contains("Copied: 1 request (already there: 0)") && copied.out.contains("3 events copied"),
        "{}",
        copied.out
    );
    assert_eq!(whole(&cli, 5), head);
    // It goes on in PostgreSQL, and a further copy changes nothing. (The same change in the same second is one event
    // there.)
    assert_eq!(cli.run(&["user", "disable", "alice"]).status, 0);
    assert!(copy().out.contains("goes on: 0 events copied"));
    whole(&cli, 6);
}

#[test]
fn a_ledger_of_another_gateway_is_not_copied() {
    let (cli, database) = (CliGateway::new(), server().database());
    assert!(cli.run_with(&["deliver"], &cli.eml(&["say"])).out.contains("heard: nothing"));
    let from = format!("sqlite:{}", cli.path("ledger/ledger.db").display());
    let owner = server().url(OWNER, &database);
    in_database(&cli, &database);
    let settings = std::fs::read_to_string(cli.path("mailsudo.toml")).expect("the settings");
    cli.write("mailsudo.toml", &settings.replacen("gateway = \"berlin\"", "gateway = \"paris\"", 1));
    assert_eq!(cli.run(&["ledger", "init", "--owner-url", &owner]).status, 0);
    let copied = cli.run(&["ledger", "copy", &from, &owner]);
    assert!(copied.status == 1 && copied.err.contains("is the ledger of the gateway berlin"), "{}", copied.err);
    assert_eq!(server().sql(&database, "SELECT count(*) FROM mailsudo.requests"), "0");
}

/// A ledger with a chain of its own keeps that, and says how many requests came without events.
#[test]
fn two_chains_are_not_mixed() {
    let (cli, database) = (CliGateway::new(), server().database());
    assert!(cli.run_with(&["deliver"], &cli.eml(&["say"])).out.contains("heard: nothing"));
    let from = format!("sqlite:{}", cli.path("ledger/ledger.db").display());
    let owner = server().url(OWNER, &database);
    in_database(&cli, &database);
    assert_eq!(cli.run(&["ledger", "init", "--owner-url", &owner]).status, 0);
    assert_eq!(cli.run(&["user", "unlock", "alice"]).status, 0);
    for note in ["Requests without an event: 1. Keep sqlite:", "Copied: 0 requests (already there: 1)"] {
        let said = cli.run(&["ledger", "copy", &from, &owner]);
        assert!(said.out.contains(note), "{} {}", said.out, said.err);
    }
    let said = cli.run(&["log", "--verify"]);
    assert!(said.status == 0 && said.out.contains("unchained  1 request without"), "{} {}", said.out, said.err);
    server().sql(&database, "DELETE FROM mailsudo.events WHERE event LIKE 'event: migrated%'");
    assert!(cli.run(&["log", "--verify"]).out.contains("WRONG      requests without an event: 1"));
}

/// What the source has pruned is not missing in the copy.
#[test]
fn a_chain_that_was_pruned_is_copied_from_where_it_begins() {
    let mut test_gateway = TestGateway::new();
    test_gateway.clock.set(Timestamp::from_seconds(1_700_000_000));
    for days in [0, 91, 0] {
        test_gateway.clock.forward(days * 86_400 + 60);
        let request = test_gateway.request("count", &[]);
        assert_eq!(test_gateway.deliver(&request).replies.len(), 1);
    }
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsudo"));
        said(command.args(words).arg("--config").arg(test_gateway.folder.path()).output().expect("the program"))
    };
    let before = run(&["log", "--verify"]);
    assert!(before.status == 0 && before.out.contains("pruned  "), "{} {}", before.out, before.err);
    let (database, path) = (server().database(), test_gateway.path("ledger/ledger.db"));
    set(&test_gateway, &format!("url = \"{}\"\n", server().url(OWNER, &database)));
    let url = owner_of(server(), &database);
    assert!(as_owner(&test_gateway, &url, |owner| mailsudo::ledger::init_database(owner, None)).expect("a ledger"));
    let copied = run(&["ledger", "copy", &format!("sqlite:{}", path.display()), &server().url(OWNER, &database)]);
    assert!(copied.out.contains("The audit chain goes on"), "{} {}", copied.out, copied.err);
    let after = run(&["log", "--verify"]);
    assert_eq!((after.status, after.out), (0, before.out));
}
