//! The audit chain: what is written, and that nothing in it can change unseen.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use mailsudo::config::{Gateway, Trusted};
use mailsudo::evidence::{Fault, Found, Verified, Witness, against, read_witnesses, verify};
use mailsudo::ledger::{self, AuditEvent, EventKey};
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{ChainHead, GatewayName, Timestamp};
use mailsudo::system::clock::Clock;
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::Value;

use crate::common::{OTHER_KEY, TestGateway, block, mail};
use crate::database::server::server;
use crate::database::{new, open};

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

/// The SHA-256 of `data`, by openssl.
fn digest(data: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-binary"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl: apt-get install openssl");
    child.stdin.take().expect("a pipe").write_all(data).expect("written");
    child.wait_with_output().expect("an answer").stdout
}

/// The program, an independent one and openssl agree to the byte.
#[test]
fn every_vector_is_what_the_program_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chain/vectors.json");
    let all: Value = serde_json::from_str(&fs::read_to_string(path).expect("the vectors")).expect("JSON");
    let gateway = GatewayName::try_from(text(&all, "gateway")).expect("a name");
    let mut head = ChainHead::first(&gateway);
    assert_eq!(head.to_string(), text(&all, "first_head"));
    assert_eq!(digest(b"mailsudo-audit-1\nberlin\n"), head.as_bytes());
    let events = all["events"].as_array().expect("a list");
    for vector in events {
        let canonical = text(vector, "canonical");
        let event = AuditEvent::parse(canonical).unwrap_or_else(|| panic!("{canonical}"));
        let read: Vec<_> = event.values().map(|(key, value)| serde_json::json!([key.word(), value])).collect();
        assert_eq!(&read, vector["event"].as_array().expect("a list"));
        assert_eq!(event.canonical(), canonical);
        let own = digest(&[&head.as_bytes()[..], canonical.as_bytes()].concat());
        head = head.after(canonical);
        assert_eq!((head.to_string().as_str(), own.as_slice()), (text(vector, "head"), &head.as_bytes()[..]));
        // No other text is this event.
        for other in [canonical.replacen(": ", ":  ", 1), canonical.trim_end().to_owned(), format!("{canonical}\n")] {
            assert_eq!(AuditEvent::parse(&other), None, "{other}");
        }
    }
}

/// A gateway on which something of each kind has happened.
fn busy(mut test_gateway: TestGateway) -> TestGateway {
    let request = test_gateway.request("restart", &[("service", "nginx")]);
    assert!(test_gateway.deliver(&request).reply().contains("ok: restart"));
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    test_gateway.clock.forward(60);
    let forbidden = test_gateway.request("secret", &[]);
    assert!(test_gateway.deliver(&forbidden).refused("not-permitted"));
    let wrong = block("bob", OTHER_KEY, test_gateway.clock.now(), "restart", &[("service", "mysql")], Some("000000"));
    assert!(test_gateway.deliver(&mail("bob@example.com", &wrong)).refused("bad-code"));
    test_gateway.clock.forward(60);
    test_gateway.break_sendmail(true);
    let unsent = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&unsent).deferred, Some("sendmail"));
    test_gateway.break_sendmail(false);
    test_gateway
}

pub(crate) fn verified(test_gateway: &TestGateway) -> Verified {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let ledger = ledger::open(gateway.settings(), Trusted::caller(), Timeouts::DEFAULT.transaction).expect("a ledger");
    verify(ledger.as_ref(), &gateway.settings().gateway, test_gateway.clock.now()).expect("it can be read")
}

fn kinds(test_gateway: &TestGateway) -> Vec<&'static str> {
    let mut kinds = Vec::new();
    let mut each = |row: ledger::ChainRow| {
        kinds.push(AuditEvent::parse(&row.event).and_then(|event| event.kind()).expect("an event").word());
        Ok(())
    };
    open(test_gateway).expect("the ledger").events(0, &mut each).expect("the events");
    kinds
}

#[test]
fn each_thing_that_happens_to_a_request_is_an_event() {
    let (in_postgres, _) = new(server(), "");
    for test_gateway in [TestGateway::new(), in_postgres] {
        let test_gateway = busy(test_gateway);
        let wanted =
            ["started", "finished", "replied", "refused", "replied", "refused", "replied", "started", "finished"];
        assert_eq!(kinds(&test_gateway), wanted);
        let verified = verified(&test_gateway);
        assert_eq!((verified.faults.as_slice(), verified.events, verified.without_event), (&[][..], 9, 0));
    }
}

/// What a request asked for, and what was run, stands in its first event.
#[test]
fn an_event_says_what_was_run() {
    let test_gateway = busy(TestGateway::new());
    let first: String = test_gateway
        .ledger()
        .query_row("SELECT event FROM events WHERE number = 1", [], |row| row.get(0))
        .expect("one");
    let event = AuditEvent::parse(&first).expect("an event");
    let home = test_gateway.folder.path().display();
    for (key, wanted) in [
        (EventKey::User, "alice".to_owned()),
        (EventKey::Command, "restart".to_owned()),
        (EventKey::Arguments, "service=nginx".to_owned()),
        (EventKey::RunAs, "root".to_owned()),
        (EventKey::Argv, format!("{home}/command\nnginx\n--level=3")),
        (EventKey::State, "started".to_owned()),
    ] {
        assert_eq!(event.get(key), Some(wanted.as_str()), "{first}");
    }
}

/// A table with all its rows.
struct Table {
    name: &'static str,
    columns: usize,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    fn read(database: &Connection, name: &'static str) -> Self {
        let mut statement = database.prepare(&format!("SELECT * FROM {name} ORDER BY rowid")).expect("a table");
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect::<Result<Vec<Cell>, _>>();
        let rows = statement.query_map([], row).expect("rows").map(|row| row.expect("a row")).collect();
        Self { name, columns, rows }
    }

    fn write(&self, database: &mut Connection) {
        let transaction = database.transaction().expect("a transaction");
        transaction.execute(&format!("DELETE FROM {}", self.name), []).expect("emptied");
        let places = vec!["?"; self.columns].join(", ");
        for row in &self.rows {
            let sql = format!("INSERT INTO {} VALUES ({places})", self.name);
            transaction.execute(&sql, rusqlite::params_from_iter(row)).expect("written");
        }
        transaction.commit().expect("committed");
    }
}

/// A ledger whose tables are changed and restored.
struct Bench {
    test_gateway: TestGateway,
    database: Connection,
    events: Table,
    requests: Table,
}

impl Bench {
    fn new() -> Self {
        let test_gateway = busy(TestGateway::new());
        let database = test_gateway.ledger();
        database.execute_batch("PRAGMA synchronous = OFF").expect("fast");
        let (events, requests) = (Table::read(&database, "events"), Table::read(&database, "requests"));
        Self { test_gateway, database, events, requests }
    }

    /// The faults that are found after `rows` have replaced those of the table.
    fn with(&mut self, is_events: bool, rows: Vec<Vec<Cell>>) -> Vec<Fault> {
        let table = if is_events { &self.events } else { &self.requests };
        Table { rows, ..*table }.write(&mut self.database);
        let faults = verified(&self.test_gateway).faults;
        table.write(&mut self.database);
        faults
    }

    fn rows(&self, is_events: bool) -> Vec<Vec<Cell>> {
        if is_events { self.events.rows.clone() } else { self.requests.rows.clone() }
    }
}

/// Every event and every record taken out, each two events exchanged, and every column of every record changed.
#[test]
fn what_is_removed_or_reordered_is_found() {
    let mut bench = Bench::new();
    assert_eq!(verified(&bench.test_gateway).faults, []);
    for is_events in [true, false] {
        for at in 0..bench.rows(is_events).len() {
            let mut rows = bench.rows(is_events);
            rows.remove(at);
            assert_ne!(bench.with(is_events, rows), [], "{at} removed");
        }
    }
    let count = bench.events.rows.len();
    for (one, other) in (0..count).flat_map(|one| (0..one).map(move |other| (one, other))) {
        // Their content, their content with the heads, and their numbers.
        for columns in [&[1, 2][..], &[1, 2, 3], &[0]] {
            let mut rows = bench.rows(true);
            for column in columns {
                let cell = rows[one][*column].clone();
                rows[one][*column] = std::mem::replace(&mut rows[other][*column], cell);
            }
            assert_ne!(bench.with(true, rows), [], "{one} and {other} exchanged");
        }
    }
    let empty = bench.with(true, Vec::new());
    assert_ne!(empty, [], "no event is left");
}

/// The columns of a record that an event covers. The others say how it was handled, and are not evidence: the message
/// of the reply (which the user has, signed), the times of start and end (each event has its own), the queue id, and
/// counts.
const COVERED: [&str; 11] =
    ["name", "user", "command", "arguments", "signed", "state", "reason", "step", "run_as", "argv", "result"];

#[test]
fn a_record_that_was_changed_is_found() {
    let mut bench = Bench::new();
    let statement = bench.database.prepare("SELECT * FROM requests").expect("a table");
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    drop(statement);
    for (column, name) in names.iter().enumerate().filter(|(_, name)| COVERED.contains(&name.as_str())) {
        for at in 0..bench.requests.rows.len() {
            let mut rows = bench.rows(false);
            let cell = &mut rows[at][column];
            *cell = match (&cell, name.as_str()) {
                (_, "state") => Cell::Text("denied".to_owned()),
                (_, "result") => Cell::Text("exit-77".to_owned()),
                (Cell::Null, "step") => Cell::Integer(77),
                (Cell::Null, _) => Cell::Text("x".to_owned()),
                (Cell::Integer(number), _) => Cell::Integer(number + 1),
                (Cell::Text(text), _) => Cell::Text(format!("{text}x")),
                (Cell::Blob(bytes), _) => Cell::Blob(bytes.iter().map(|byte| byte ^ 1).collect()),
                (Cell::Real(_), _) => panic!("no column is such a number"),
            };
            assert_ne!(bench.with(false, rows), [], "{name} of {at}");
        }
    }
    // Whether it was replied to.
    let replied = names.iter().position(|name| name == "handed_over").expect("a column");
    for at in 0..bench.requests.rows.len() {
        let mut rows = bench.rows(false);
        rows[at][replied] = if rows[at][replied] == Cell::Null { Cell::Integer(1) } else { Cell::Null };
        assert_ne!(bench.with(false, rows), [], "replied of {at}");
    }
    // One that nobody asked for.
    let mut rows = bench.rows(false);
    let mut planted = rows[0].clone();
    planted[0] = Cell::Blob(vec![7; 32]);
    planted[names.iter().position(|name| name == "step").expect("a column")] = Cell::Integer(1);
    rows.push(planted);
    assert_ne!(bench.with(false, rows), [], "a record without an event");
}

#[test]
fn any_changed_byte_of_an_event_is_found() {
    let bench = std::cell::RefCell::new(Bench::new());
    let count = bench.borrow().events.rows.len();
    proptest!(ProptestConfig::with_cases(256), |(at in 0..count, column in 0..4_usize, place: prop::sample::Index, to: u8)| {
        let mut bench = bench.borrow_mut();
        let mut rows = bench.rows(true);
        let cell = &mut rows[at][column];
        let before = cell.clone();
        *cell = match &before {
            Cell::Integer(number) => Cell::Integer(number + i64::from(to)),
            Cell::Text(text) => {
                let mut bytes = text.clone().into_bytes();
                let place = place.index(bytes.len());
                bytes[place] = to & 0x7f;
                Cell::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            Cell::Blob(bytes) => {
                let mut bytes = bytes.clone();
                let place = place.index(bytes.len());
                bytes[place] = to;
                Cell::Blob(bytes)
            }
            other => other.clone(),
        };
        let is_same = *cell == before;
        let is_taken = column == 0 && rows.iter().enumerate().any(|(other, row)| other != at && row[0] == rows[at][0]);
        prop_assume!(!is_same && !is_taken);
        prop_assert_ne!(bench.with(true, rows), vec![]);
    });
}

/// Who removes the oldest events must say so in the chain.
#[test]
fn pruning_is_part_of_the_chain_and_cannot_be_pretended() {
    let test_gateway = busy(TestGateway::new());
    let database = test_gateway.ledger();
    // The first request and its events vanish as if they were pruned.
    let head: Vec<u8> =
        database.query_row("SELECT head FROM events WHERE number = 3", [], |row| row.get(0)).expect("a head");
    database.execute_batch("DELETE FROM events WHERE number <= 3").expect("removed");
    database.execute("DELETE FROM requests WHERE rowid = 1", []).expect("removed");
    let now = test_gateway.clock.now().seconds();
    database.execute("UPDATE checkpoint SET number = 3, head = ?1, until = ?2", (head, now)).expect("pretended");
    assert_eq!(verified(&test_gateway).faults, [Fault::Checkpoint(3)]);
}

/// A pruning that the program does fits; so does what comes after it.
#[test]
fn what_pruning_leaves_is_whole() {
    let (in_postgres, _) = new(server(), "");
    for test_gateway in [TestGateway::new(), in_postgres] {
        // The database's own clock must find it old too.
        test_gateway.clock.set(Timestamp::from_seconds(1_700_000_000));
        let mut test_gateway = busy(test_gateway);
        test_gateway.clock.forward(91 * 86_400);
        let request = test_gateway.request("count", &[]);
        assert_eq!(test_gateway.deliver(&request).replies.len(), 1);
        let kinds = kinds(&test_gateway);
        assert_eq!(
            kinds,
            ["started", "finished", "replied", "pruned"],
            "one was never replied to, and its events are gone"
        );
        let verified = verified(&test_gateway);
        assert_eq!((verified.faults.as_slice(), verified.without_event), (&[][..], 1));
    }
}

/// What `text` holds of the chain, and whether the chain has it.
pub(crate) fn found_in(test_gateway: &TestGateway, text: &str) -> Vec<(Witness, Found)> {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let verified = verified(test_gateway);
    let witnesses = read_witnesses("x", &mut text.as_bytes(), &gateway, test_gateway.clock.now()).expect("read");
    let found = |witness: Witness| (witness.clone(), against(&verified, &gateway.settings().gateway, &witness));
    witnesses.into_iter().map(found).collect()
}

/// The head in a reply is that of the event that it reports, and the line of the log that ends the request has it too.
#[test]
fn replies_and_log_lines_are_witnesses() {
    let (in_postgres, _) = new(server(), "");
    for mut test_gateway in [TestGateway::new(), in_postgres] {
        let request = test_gateway.request("count", &[]);
        let ran = test_gateway.deliver(&request);
        test_gateway.clock.forward(60);
        let forbidden = test_gateway.request("secret", &[]);
        let refused = test_gateway.deliver(&forbidden);
        for (ended, number) in [(&ran, 2), (&refused, 4)] {
            let in_reply = found_in(&test_gateway, ended.reply());
            assert!(in_reply.len() == 1 && in_reply[0].0.is_signed, "{in_reply:?}");
            assert_eq!(in_reply[0].1, Found::Held(number));
            let log = ended.log.join("\n");
            let in_log = found_in(&test_gateway, &log);
            assert!(!in_log.is_empty() && !in_log[0].0.is_signed, "{log}");
            for (witness, found) in in_log {
                assert_eq!((witness.head, witness.number), (in_reply[0].0.head, Some(number)), "{log}");
                assert_eq!(found, Found::Held(number));
            }
            assert!(ended.log.iter().any(|line| line.contains("event=replied") && line.contains(" head=")), "{log}");
        }
        assert!(refused.log.iter().any(|line| line.contains("event=refused") && line.contains(" head=")));
        // A reply that was stored, and is sent by a later delivery, is one too.
        test_gateway.clock.forward(60);
        test_gateway.break_sendmail(true);
        let request = test_gateway.request("count", &[]);
        assert_eq!(test_gateway.deliver(&request).deferred, Some("sendmail"));
        test_gateway.break_sendmail(false);
        let resumed = test_gateway.deliver(&request);
        let (in_reply, in_log) =
            (found_in(&test_gateway, resumed.reply()), found_in(&test_gateway, &resumed.log.join("\n")));
        assert_eq!(
            (in_reply[0].1, in_log[0].1, in_log[0].0.head),
            (Found::Held(7), Found::Held(7), in_reply[0].0.head)
        );
        assert_eq!(found_in(&test_gateway, "a text with no head"), []);
        let foreign = ran.log.join("\n").replace(" gateway=berlin ", " gateway=paris ");
        assert!(found_in(&test_gateway, &foreign).iter().all(|(_, found)| *found == Found::Foreign));
    }
}

/// Who has the ledger writes a chain anew that is whole, with records that fit. Who holds a head finds it.
#[test]
fn a_chain_that_was_written_anew_is_found_by_what_others_hold() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("restart", &[("service", "nginx")]);
    let (reply, log) = {
        let ended = test_gateway.deliver(&request);
        (ended.reply().to_owned(), ended.log.join("\n"))
    };
    assert!(
        found_in(&test_gateway, &reply)
            .iter()
            .chain(&found_in(&test_gateway, &log))
            .all(|(_, found)| *found == Found::Held(2))
    );
    let database = test_gateway.ledger();
    let rows: Vec<String> = {
        let mut statement = database.prepare("SELECT event FROM events ORDER BY number").expect("a table");
        statement.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a row")).collect()
    };
    let mut head = ChainHead::first(&GatewayName::try_from("berlin").expect("a name"));
    for (at, event) in rows.iter().enumerate() {
        let event = event.replace("user: alice", "user: bob");
        head = head.after(&event);
        let number = i64::try_from(at).expect("a number") + 1;
        let sql = "UPDATE events SET event = ?2, head = ?3 WHERE number = ?1";
        database.execute(sql, rusqlite::params![number, event, head.as_bytes()]).expect("written anew");
    }
    database.execute("UPDATE requests SET user = 'bob'", []).expect("written anew");
    assert_eq!(verified(&test_gateway).faults, [], "the chain itself does not show it");
    for text in [&reply, &log] {
        let found = found_in(&test_gateway, text);
        assert!(!found.is_empty() && found.iter().all(|(_, found)| *found == Found::Missing), "{found:?}");
    }
}

/// So are the newest events that were cut off, with their records.
#[test]
fn what_was_cut_off_is_found_by_what_others_hold() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let reply = test_gateway.deliver(&request).reply().to_owned();
    test_gateway.ledger().execute_batch("DELETE FROM events; DELETE FROM requests").expect("cut off");
    assert_eq!(verified(&test_gateway).faults, []);
    assert_eq!(found_in(&test_gateway, &reply)[0].1, Found::Missing);
}
