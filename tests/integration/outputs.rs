//! No text of a sender and nothing in the ledger acts on a terminal: every output makes such characters visible.

use mailsudo::protocol::is_unsafe;
use proptest::prelude::*;

use crate::cli::CliGateway;

/// The characters in `text` that could act on a terminal or hide something.
fn unsafe_characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| *c != '\n' && *c != '\t' && is_unsafe(*c)).collect()
}

/// What a hostile sender may write into the fields and texts that are shown.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\u{1b}[31m".to_owned()),
        Just("\u{1b}]0;title\u{7}".to_owned()),
        Just("\u{9b}2J".to_owned()),
        Just("\u{202e}".to_owned()),
        Just("\u{7f}\u{8}".to_owned()),
        Just("\r\nrefused: none".to_owned()),
        "[ -~]{0,8}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

#[test]
fn explain_shows_no_control_character_of_a_mail() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    proptest!(ProptestConfig::with_cases(40), |(text in hostile())| {
        let field = text.replace(['\r', '\n', '\0'], " ");
        let mails = [
            request.replacen("From: ", &format!("From: \"{field}\" "), 1),
            request.replacen("From: alice@example.com", &format!("From: <a{field}@example.com>"), 1),
            format!("Authentication-Results: {field}; dmarc=pass\nMessage-ID: <{field}@x>\n{request}"),
            format!("{request}\n{text}"),
        ];
        for mail in mails {
            let said = test_gateway.run_with(&["explain"], &mail);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{}", said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{}", said.err);
        }
    });
}

#[test]
fn no_command_shows_a_control_character_of_the_ledger() {
    let test_gateway = CliGateway::new();
    let mail = test_gateway.eml(&["say"]);
    assert_eq!(test_gateway.run_with(&["deliver"], &mail).status, 0);
    let ledger = rusqlite::Connection::open(test_gateway.path("ledger/ledger.db")).expect("the ledger");
    let id: String = ledger.query_row("SELECT hex(name) FROM requests", [], |row| row.get(0)).expect("an id");
    proptest!(ProptestConfig::with_cases(15), |(text in hostile())| {
        let text = text.replace('\0', " ");
        let sql = "UPDATE requests SET user = ?1, command = ?1, arguments = ?1, reason = ?1, run_as = ?1, argv = ?1,
                       queue_id = ?1, reply_to = ?1, reply = CAST('From: x@y' || char(10) || char(10) || ?1 AS BLOB)";
        ledger.execute(sql, [&text]).expect("written");
        for words in [
            &["log"][..],
            &["log", "--json"],
            &["log", "show", &id.to_lowercase()],
            &["log", "show", &id.to_lowercase(), "--json"],
            &["metrics"],
            &["ledger", "status"],
        ] {
            let said = test_gateway.run(words);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
            if words.contains(&"--json") && said.status == 0 {
                let value: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
                let first = if value.is_array() { &value[0] } else { &value };
                prop_assert_eq!(first["user"].as_str(), Some(text.as_str()), "JSON carries the text itself");
            }
        }
    });
}

#[test]
fn verify_shows_no_control_character_of_a_mail() {
    let test_gateway = CliGateway::new();
    let reply = test_gateway.run_with(&["deliver"], &test_gateway.eml(&["say"])).out;
    proptest!(ProptestConfig::with_cases(30), |(text in hostile())| {
        let field = text.replace(['\r', '\n', '\0'], " ");
        let mails = [format!("{reply}\n{text}"), reply.replacen("Subject: ", &format!("Subject: {field}"), 1), text];
        for mail in mails {
            let said = test_gateway.run_with(&["verify", "--key", "alice.key"], &mail);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{}", said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{}", said.err);
        }
    });
}
