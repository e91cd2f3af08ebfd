//! Rows of every state in every table of the ledger, with hostile text in each of their text columns, through every
//! command.

use std::path::Path;

use mailsudo::ledger::State;
use proptest::prelude::*;
use rusqlite::Connection;

use super::{coded, hostile, unsafe_characters};
use crate::cli::CliGateway;

/// Words of the program itself, which decide what a row is. They are tried as hostile text too, in a second round.
const WORDS: [(&str, &str); 4] =
    [("requests", "state"), ("requests", "result"), ("votes", "kind"), ("notices", "kind")];

/// For each state a request, with an approval, a payload, a vote and a notice of each kind.
fn fill(ledger: &Connection) {
    let columns =
        "user, command, arguments, signed, first_seen, reason, run_as, argv, started, finished, result, reply_to,
                   reply, handed_over, queue_id, audit_lost, holds_until";
    for (number, state) in State::ALL.iter().enumerate() {
        let sql = format!(
            "INSERT INTO requests (name, state, step, {columns})
             SELECT randomblob(32), ?1, 1000 + ?2, {columns} FROM requests WHERE step NOT BETWEEN 1000 AND 1100"
        );
        assert_eq!(ledger.execute(&sql, (state.word(), number)).expect("a row"), 1);
    }
    let all = [
        "UPDATE requests SET reason = 'r', argv = 'a' || char(10) || 'b', queue_id = 'q', result = coalesce(result, 'exit-0')",
        "INSERT INTO approvals SELECT name, randomblob(32), 4000000000, 1, 'h', 'r', NULL, state = 'pending' FROM requests",
        "UPDATE approvals SET exception = 'role' WHERE rowid % 2 = 0",
        "INSERT INTO payloads SELECT name, randomblob(32), 3, CAST('abc' AS BLOB) FROM requests",
        "INSERT INTO notices SELECT name, 'u', column1, NULL FROM requests, (VALUES ('ask'), ('exception'), ('lapsed'))",
        "INSERT INTO votes SELECT randomblob(32), name, 'u', column1, 1, 'w' FROM requests,
             (VALUES ('approved'), ('denied'), ('withdrew'), ('cancelled'))",
        "INSERT INTO lockouts VALUES ('u', 4000000000, 0, 0)",
        "INSERT OR REPLACE INTO counters VALUES ('deferrals{part=\"x\"}', 1, 1)",
    ];
    for sql in all {
        assert!(ledger.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}")) > 0, "{sql}");
    }
}

/// Each text column of each table, with the number of its rows.
fn text_columns(ledger: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.type = 'TEXT'";
    let mut read = ledger.prepare(sql).expect("tables");
    let rows = read.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("columns");
    rows.map(|row| row.expect("a column")).collect()
}

/// The rows are such as the program shows: nothing of them stops it before.
fn are_shown(test_gateway: &CliGateway, ids: &[String]) {
    for id in ids {
        let said = test_gateway.run(&["log", "show", id]);
        assert_eq!((said.status, said.err.as_str()), (0, ""), "{id}");
        let shown =
            ["approval ", "asked for ", "payload ", "notice ", "approved ", "denied ", "withdrew ", "cancelled "];
        let missing: Vec<_> = shown.iter().filter(|word| !said.out.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?}: {}", said.out);
    }
}

/// A value as it stands in an event: each byte as `~HH`.
fn encoded(text: &str) -> String {
    coded(text, '~')
}

/// Puts `text` into every text column, where the table takes it.
fn write(ledger: &Connection, text: &str, with_words: bool) {
    for (table, column) in text_columns(ledger) {
        let is_word = WORDS.contains(&(table.as_str(), column.as_str()));
        if (table == "events" && !with_words) || is_word != (is_word && with_words) {
            continue;
        }
        // A key of several rows takes it once.
        let sql = format!("UPDATE OR IGNORE {table} SET {column} = ?1");
        ledger.execute(&sql, [text]).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    let reply =
        "UPDATE requests SET reply = CAST('From: x@y' || char(10) || char(10) || ?1 AS BLOB) WHERE reply IS NOT NULL";
    ledger.execute(reply, [text]).expect("replies");
    // The number makes it one for each row.
    let event = "UPDATE events SET event = replace(replace(event, ?1, ?2), 'alice', ?2) WHERE event LIKE '%alice%'";
    ledger.execute(event, ("say", encoded(text))).expect("events");
}

/// The ids of all requests.
fn ids(path: &Path) -> Vec<String> {
    let ledger = Connection::open(path).expect("the ledger");
    let mut read = ledger.prepare("SELECT lower(hex(name)) FROM requests").expect("ids");
    let ids = read.query_map([], |row| row.get(0)).expect("ids");
    ids.map(|id| id.expect("an id")).collect()
}

/// Every command that the program has, on a ledger whose only hope is the border of its output.
fn commands(id: &str, to: &str) -> Vec<Vec<String>> {
    let lines = [
        "log",
        "log --json",
        "log --limit 100 --user alice",
        "log --state pending",
        "log --verify",
        "log --verify --json",
        "log show ID",
        "log show ID --json",
        "log export TO/exported",
        "log export -",
        "metrics",
        "report",
        "report --html",
        "report --since 4000d",
        "report --html --since 4000d",
        "ledger status",
        "ledger status --json",
        "ledger check",
        "ledger prune --older-than 7d",
        "ledger vacuum --dry-run",
        "ledger backup TO/backup --dry-run",
        "ledger restore ledger/ledger.db --dry-run",
        "ledger copy TO/copy --dry-run",
        "ledger init --dry-run",
        "ledger migrate",
        "ledger nodes",
        "ledger resume",
        "user list",
        "user list --json",
        "user show alice",
        "user show alice --json",
        "user unlock alice",
        "user disable alice",
        "user enable alice",
        "user test alice --code 123456",
        "user rotate alice --totp",
        "user export alice",
        "user import -",
        "user remove alice",
        "user add alice --address a@example.com",
        "command list",
        "command show say",
        "command add say --run /bin/true",
        "command edit say --timeout 9s",
        "command remove say",
        "config get address",
        "config show",
        "config set max_age 10m",
        "config unset max_age",
        "may alice say",
        "sudoers",
        "page --user alice",
        "postfix show",
        "postfix install --dry-run",
        "postfix remove --dry-run",
        "setup --plan",
        "lockdown",
        "completions bash",
        "check",
        "check --deep",
        "check --json",
        "explain",
        "deliver",
        "sign say --key alice.key --code 123456",
        "verify --key alice.key",
        "key list",
        "key import none",
    ];
    let word = |word: &str| word.replace("ID", id).replace("TO", to);
    lines.iter().map(|line| line.split(' ').map(word).collect()).collect()
}

/// The names of all commands.
fn leaves(command: &clap::Command, path: &[String], found: &mut Vec<String>) {
    let own: Vec<_> = command.get_subcommands().filter(|one| one.get_name() != "help").collect();
    if own.is_empty() {
        found.push(path.join(" "));
    }
    for one in own {
        leaves(one, &[path, &[one.get_name().to_owned()]].concat(), found);
    }
}

#[test]
fn each_command_is_tried() {
    let mut names = Vec::new();
    leaves(&mailsudo::cli::command(), &[], &mut names);
    let tried: Vec<_> = commands("ID", "TO").iter().map(|words| words.join(" ")).collect();
    let is_tried = |name: &&String| tried.iter().any(|line| format!("{line} ").starts_with(&format!("{name} ")));
    let missing: Vec<_> = names.iter().filter(|name| !is_tried(name)).collect();
    assert!(names.len() > 30 && missing.is_empty(), "{missing:?}");
}

#[test]
fn no_command_shows_a_control_character_of_any_row() {
    let test_gateway = CliGateway::new();
    let mail = test_gateway.eml(&["say"]);
    assert_eq!(test_gateway.run_with(&["deliver"], &mail).status, 0);
    let path = test_gateway.path("ledger/ledger.db");
    fill(&Connection::open(&path).expect("the ledger"));
    are_shown(&test_gateway, &ids(&path));
    let filled = std::fs::read(&path).expect("the ledger");
    let to = tempfile::tempdir().expect("a folder");
    proptest!(ProptestConfig::with_cases(4), |(text in hostile(), long in any::<bool>(), with_words in any::<bool>())| {
        for left in ["ledger/ledger.db-wal", "ledger/ledger.db-shm"] {
            let _ = std::fs::remove_file(test_gateway.path(left));
        }
        std::fs::write(&path, &filled).expect("a new ledger");
        let text = text.replace('\0', " ");
        let text = if long { text.repeat(4096 / text.len().max(1) + 1) } else { text };
        write(&Connection::open(&path).expect("the ledger"), &text, with_words);
        let ids = ids(&path);
        let mut all = commands(&ids[0], &to.path().display().to_string());
        all.extend(ids.iter().skip(1).map(|id| vec!["log".to_owned(), "show".to_owned(), id.clone()]));
        for words in all {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let said = test_gateway.run_with(&words, if words[0] == "explain" || words[0] == "deliver" { &mail } else { "n\n" });
            prop_assert_eq!(unsafe_characters(&said.out), Vec::<char>::new(), "{:?}: {}", words, said.out);
            prop_assert_eq!(unsafe_characters(&said.err), Vec::<char>::new(), "{:?}: {}", words, said.err);
        }
        // What is written to a file is shown on a terminal later.
        if let Ok(exported) = std::fs::read_to_string(to.path().join("exported")) {
            prop_assert_eq!(unsafe_characters(&exported), Vec::<char>::new(), "{}", exported);
        }
        for left in ["exported", "exported.manifest.json"] {
            let _ = std::fs::remove_file(to.path().join(left));
        }
        for words in [&["report", "--html", "--since", "4000d"][..], &["report", "--since", "4000d"]] {
            let file = to.path().join("report");
            let said = test_gateway.run(&[words, &["--output", &file.display().to_string()]].concat());
            if said.status == 0 {
                let report = std::fs::read_to_string(&file).expect("a report");
                prop_assert_eq!(unsafe_characters(&report), Vec::<char>::new(), "{:?}: {}", words, report);
            }
        }
    });
}
