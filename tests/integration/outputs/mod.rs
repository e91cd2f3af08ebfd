//! No text of a sender and nothing in the ledger acts on a terminal: every output makes such characters visible.

mod files;
mod ledger;

use mailsudo::protocol::is_unsafe;
use proptest::prelude::*;

use crate::cli::CliGateway;

/// The characters in `text` that could act on a terminal or hide something.
pub(crate) fn unsafe_characters(text: &str) -> Vec<char> {
    text.chars().filter(|c| *c != '\n' && *c != '\t' && is_unsafe(*c)).collect()
}

/// Each byte of `text` as the mark and two hex digits.
fn coded(text: &str, mark: char) -> String {
    let mut coded = String::new();
    for byte in text.bytes() {
        coded.push(mark);
        coded.push_str(&hex::encode_upper([byte]));
    }
    coded
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
            &["ledger", "check"],
            &["ledger", "resume"],
            &["user", "show", "alice"],
            &["user", "list"],
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

/// The sysadmin's own files, perhaps copied from elsewhere: each text in them, through each command that shows one.
#[test]
fn no_command_shows_a_control_character_of_the_gateways_files() {
    let test_gateway = CliGateway::new();
    let request = test_gateway.eml(&["say"]);
    let say = std::fs::read_to_string(test_gateway.path("commands.d/say.toml")).expect("a command");
    let alice = std::fs::read_to_string(test_gateway.path("users.d/alice.toml")).expect("a user");
    let settings = std::fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("settings");
    proptest!(ProptestConfig::with_cases(8), |(text in hostile())| {
        // A JSON string is a basic string of TOML, except for DEL.
        let string = serde_json::to_string(&text.replace('\u{7f}', "\u{80}")).expect("text");
        test_gateway.write("commands.d/say.toml", &say.replace("\"Say it\"", &string).replace("\"nobody\"", &string));
        test_gateway.write("commands.d/odd.toml", &say.replace("\"heard: {what}\"", &string));
        test_gateway.write("users.d/alice.toml", &alice.replace("\"web\"", &string));
        test_gateway.write("users.d/odd.toml", &alice.replace("\"alice@example.com\"", &string));
        for (words, input) in [
            (&["user", "list"][..], ""),
            (&["user", "list", "--json"], ""),
            (&["user", "show", "alice"], ""),
            (&["user", "show", "alice", "--json"], ""),
            (&["user", "show", "odd"], ""),
            (&["command", "list"], ""),
            (&["command", "list", "--json"], ""),
            (&["command", "show", "say"], ""),
            (&["command", "show", "odd"], ""),
            (&["may", "alice", "say"], ""),
            (&["sudoers"], ""),
            (&["command", "show", "say", "--json"], ""),
            (&["command", "edit", "say", "--timeout", "9s", "--yes"], ""),
            (&["command", "remove", "odd"], "n\n"),
            (&["user", "test", "alice", "--code", "123456"], ""),
            (&["user", "disable", "odd"], ""),
            (&["config", "show"], ""),
            (&["config", "show", "--json"], ""),
            (&["page", "--user", "alice"], ""),
            (&["page", "--role", "web"], ""),
            (&["postfix", "show"], ""),
            (&["metrics"], ""),
            (&["ledger", "check"], ""),
            (&["ledger", "resume"], ""),
            (&["check"], ""),
            (&["check", "--json"], ""),
            (&["explain"], &request),
            (&["deliver"], "From: a@b\n\nhello\n"),
        ] {
            let said = test_gateway.run_with(words, input);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
        }
        let file = settings.replace("\"ops@example.com\"", &string);
        test_gateway.write("mailsudo.toml", &file);
        for words in [
            &["config", "get", "address"][..],
            &["config", "show"],
            &["config", "set", "max_age", "10m"],
            &["page", "--user", "alice"],
            &["setup", "--plan"],
            &["check"],
            &["log"],
        ] {
            let said = test_gateway.run(words);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
        }
        test_gateway.write("mailsudo.toml", &settings);
    });
}

/// A word of the command line, for instance one that was pasted from a mail.
#[test]
fn no_command_shows_a_control_character_of_its_arguments() {
    let test_gateway = CliGateway::new();
    proptest!(ProptestConfig::with_cases(8), |(text in hostile())| {
        let word = text.replace('\0', "x");
        for words in [
            &[word.as_str()][..],
            &["user", "show", &word],
            &["user", "add", "bob", "--address", &word],
            &["user", "add", "bob", "--address", "b@example.com", "--role", &word],
            &["user", "unlock", "alice", &word],
            &["command", "show", &word],
            &["may", "alice", "say", &format!("what={word}")],
            &["may", "alice", "say", &word],
            &["log", "--user", &word],
            &["log", "--since", &word],
            &["log", "show", &word],
            &["ledger", "prune", "--older-than", &word],
            &["config", "get", &word],
            &["postfix", "show", "--transport", &word],
            &["sign", &word, "--key", "alice.key", "--code", "123456"],
            &["sign", "say", "--key", &word, "--code", "123456"],
            &["verify", "--key", &word],
            &["key", "--gateway", &word],
            &["key", "import", &word],
            &["page", "--user", &word],
            &["page", "--role", &word],
            &["config", "set", "address", &word],
            &["config", "set", &word, "x"],
            &["config", "unset", &word],
            &["command", "add", &word, "--run", "/bin/true", "--yes"],
            &["command", "edit", "say", "--summary", &word, "--yes"],
            &["command", "remove", &word],
            &["user", "rotate", &word, "--totp"],
            &["user", "test", "alice", "--code", &word],
            &["user", "import", &word],
            &["user", "export", &word],
            &["ledger", "backup", &word],
            &["ledger", "restore", &word],
            &["ledger", "copy", &word],
            &["metrics", &word],
            &["completions", &word],
            &["setup", "--address", &word, "--plan"],
        ] {
            let said = test_gateway.run(words);
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
        }
    });
}
