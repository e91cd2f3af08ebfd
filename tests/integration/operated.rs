//! What docs/operations.md says of a ledger in PostgreSQL: backup and restore, upgrades of nodes one by one, the timer
//! that sends what dead nodes left, clocks that are wrong.

use std::fs;
use std::process::{Command, Stdio};

use mailsudo::config::{Gateway, Trusted};
use mailsudo::evidence::{Found, Verified, against, read_witnesses, verify};
use mailsudo::ledger::{self, Filter, Record};
use mailsudo::pipeline::Resumed;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::TestGateway;
use crate::database::server::{DELIVER, server};
use crate::database::{as_owner, new, open, owner_of, set};
use crate::nodes::resumed;

pub(crate) const SCHEMAS: [&str; 4] = [
    include_str!("../../src/ledger/postgres/schema-1.sql"),
    include_str!("../../src/ledger/postgres/schema-2.sql"),
    include_str!("../../src/ledger/postgres/schema-3.sql"),
    include_str!("../../src/ledger/postgres/schema-4.sql"),
];

fn verified(test_gateway: &TestGateway) -> Verified {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    verify(open(test_gateway).expect("a ledger").as_ref(), &gateway.settings().gateway, test_gateway.clock.now())
        .expect("read")
}

fn move_to(test_gateway: &TestGateway, database: &str) {
    set(test_gateway, &format!("url = \"{}\"\n", server().url(DELIVER, database)));
}

/// A ledger as each older mailsudo has left it, with a request.
#[test]
fn a_ledger_of_each_older_schema_waits_for_its_migration_and_keeps_its_requests() {
    let (mut test_gateway, newest) = new(server(), "");
    let known = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&known).reply().contains("ok: count"));
    let row = server().sql(&newest, "SELECT row_to_json(r) FROM mailsudo.requests r");
    for (schema, at) in (1_i64..).zip(0..SCHEMAS.len()) {
        let database = server().database();
        let tables = SCHEMAS[..=at].join("\n");
        // Since schema 4 there is an audit chain.
        let chain = if schema < 4 { "" } else { "SELECT mailsudo.begin_chain();" };
        server().sql(
            &database,
            &format!(
                "{tables}
                 INSERT INTO mailsudo.ledger (version, readable_from, gateway, system_id, timeline)
                     SELECT {schema}, {schema}, 'berlin', (SELECT system_identifier::text FROM pg_control_system()),
                         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
                 INSERT INTO mailsudo.requests OVERRIDING SYSTEM VALUE
                     SELECT * FROM json_populate_record(NULL::mailsudo.requests, '{row}');
                 {chain}
                 SELECT setval(pg_get_serial_sequence('mailsudo.requests', 'seq'), 100);
                 GRANT USAGE ON SCHEMA mailsudo TO {DELIVER};
                 GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA mailsudo TO {DELIVER};"
            ),
        );
        move_to(&test_gateway, &database);
        test_gateway.clock.forward(60);
        let request = test_gateway.request("count", &[]);
        let runs = test_gateway.runs().len();
        let ended = test_gateway.deliver(&request);
        assert_eq!((ended.deferred, test_gateway.runs().len()), (Some("ledger"), runs), "{schema}: {ended:?}");
        let log = ended.log.join("\n");
        assert!(log.contains(&format!("has schema {schema}")) && log.contains(" ledger migrate"), "{log}");
        let url = owner_of(server(), &database);
        let migrate = || as_owner(&test_gateway, &url, ledger::migrate).expect("migrated");
        assert_eq!(migrate(), (schema, 5));
        assert_eq!(migrate(), (5, 5));
        assert!(test_gateway.deliver(&known).refused("duplicate"), "{schema}");
        assert!(test_gateway.deliver(&request).reply().contains("ok: count"), "{schema}");
        let verified = verified(&test_gateway);
        assert_eq!((verified.faults.as_slice(), verified.without_event), (&[][..], 1), "{schema}");
    }
}

/// Twenty thousand requests; four of them have the command `rare`.
fn fill(database: &str) {
    server().sql(
        database,
        "INSERT INTO mailsudo.requests (id, user_name, command, arguments, signed, first_seen, state, replied, audit_lost, node, token, written)
             SELECT sha256(int8send(n)), 'u' || n % 100, CASE WHEN n % 5000 = 7 THEN 'rare' ELSE 'often' END, '', n, n, 'finished', n, 0,
                 'mx', 'x', 1
             FROM generate_series(1, 20000) AS n;
         ANALYZE",
    );
}

/// How many rows and index entries of requests were read so far.
const ROWS_READ: &str = "SELECT seq_tup_read + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
     WHERE schemaname = 'mailsudo' AND relname = 'requests') FROM pg_stat_user_tables WHERE relname = 'requests'";

#[test]
fn what_a_sysadmin_asks_of_one_command_reads_its_index() {
    let (test_gateway, database) = new(server(), "");
    fill(&database);
    let read = || -> u64 { server().sql(&database, ROWS_READ).parse().expect("a count") };
    let before = read();
    let mut found = Vec::new();
    let filter = Filter { command: Some("rare".to_owned()), limit: Some(50), ..Filter::default() };
    let mut take = |record: Record| {
        found.push(record.first_seen.seconds());
        Ok(())
    };
    open(&test_gateway).expect("a ledger").list(&filter, &mut take).expect("read");
    assert_eq!(found, [15007, 10007, 5007, 7]);
    // A session counts what it did when it ends.
    let counted = (0..100).map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        read() - before
    });
    assert_eq!(counted.into_iter().find(|count| *count > 0), Some(4), "only these were read");
}

/// A pooler's connection: its process keeps plans, also those that it has made while the ledger was empty.
#[test]
fn a_session_that_serves_many_deliveries_reads_by_indices() {
    let (_test_gateway, database) = new(server(), "");
    let deliver = format!(
        "SET ROLE {DELIVER};
         SELECT mailsudo.take_lock(sha256('a'), 'x', 'h', 'n', 1, 'x') FROM generate_series(1, 10);
         SELECT (mailsudo.begin_transaction(sha256('a'), 'u1', 'x', 1, '1000')).number FROM generate_series(1, 10);
         SELECT mailsudo.read_back(sha256('a')) FROM generate_series(1, 10);
         SELECT mailsudo.end_delivery(sha256('a'), 1, 0, '', 'x', 'n', '1', 60, 0) FROM generate_series(1, 10);
         SELECT mailsudo.prune(0, 20, 0, '') FROM generate_series(1, 10);
         RESET ROLE;"
    );
    let rows = "INSERT INTO mailsudo.requests (id, user_name, command, arguments, signed, first_seen, state, replied, audit_lost,
             node, token, written)
         SELECT sha256(int8send(n)), 'u' || n % 100, 'often', '', n, n, 'finished', n, 0, 'mx', 'x', 1
         FROM generate_series(1, 20000) AS n;";
    let read = format!("SELECT pg_stat_force_next_flush(); SELECT 'read', ({ROWS_READ});");
    let said = server().sql(&database, &format!("{deliver}{rows}{read}{deliver}{read}"));
    let mut read = said.lines().filter_map(|line| line.strip_prefix("read|")?.parse::<u64>().ok());
    let (before, after) = (read.next().expect("a count"), read.next().expect("a count"));
    assert!(after - before < 200, "{} rows and index entries were read", after - before);
}

/// The first node has been upgraded to a later mailsudo, which this one has never heard of, and which says that this
/// one may go on.
#[test]
fn a_node_that_is_not_upgraded_yet_goes_on_beside_one_that_is() {
    let (mut test_gateway, database) = new(server(), "");
    server().sql(
        &database,
        "ALTER TABLE mailsudo.requests ADD COLUMN later text DEFAULT 'x', ADD COLUMN much_later bigint;
         ALTER TABLE mailsudo.locks ADD COLUMN later text; ALTER TABLE mailsudo.nodes ADD COLUMN later text;
         ALTER TABLE mailsudo.events ADD COLUMN later text; CREATE TABLE mailsudo.laters (n bigint);
         INSERT INTO mailsudo.counters VALUES ('later', 7, 0);
         UPDATE mailsudo.ledger SET version = 9, readable_from = 5",
    );
    let request = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(verified(&test_gateway).faults, []);
    let ledger = open(&test_gateway).expect("a ledger");
    assert_eq!((ledger.health().expect("its state").requests, ledger.nodes().expect("a list").len()), (1, 1));
    server().sql(&database, "UPDATE mailsudo.ledger SET readable_from = 6");
    test_gateway.clock.forward(60);
    let next = test_gateway.request("count", &[]);
    assert_eq!(
        test_gateway.deliver(&next).deferred,
        Some("ledger"),
        "this one may not: its mail waits for the upgrade"
    );
}

/// By the words of docs/operations.md: pg_dump, pg_restore into an empty database, and the declaration.
#[test]
fn what_a_restored_dump_lacks_does_not_run_again() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.clock.set(SystemClock.now());
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md")).expect("the page");
    let declaration = "UPDATE mailsudo.ledger SET system_id = 'restored';";
    let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(declaration) && words.contains("pg_dump --format=custom --file=mailsudo.dump mailsudo"));
    assert!(words.contains("pg_restore --dbname=mailsudo mailsudo.dump"));
    let kept = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&kept).reply().contains("ok: count"));
    let dump = test_gateway.path("mailsudo.dump");
    let done = |mut command: Command| {
        let output = command.arg(&dump).output().expect("the program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut pg_dump = server().tool("pg_dump", &database);
    pg_dump.args(["--format=custom", "--file"]);
    done(pg_dump);
    test_gateway.clock.forward(30);
    let lost = test_gateway.request("count", &[]);
    let reply = test_gateway.deliver(&lost).reply().to_owned();
    assert!(reply.contains("ok: count"));
    let restored = server().database();
    done(server().tool("pg_restore", &restored));
    move_to(&test_gateway, &restored);
    server().sql(&restored, declaration);

    assert!(test_gateway.deliver(&kept).refused("duplicate"));
    let again = test_gateway.deliver(&lost);
    assert!(again.refused("failed-over"), "{again:?}");
    assert_eq!(test_gateway.runs().len(), 2, "each ran once");
    test_gateway.clock.forward(180);
    server().sql(&restored, "UPDATE mailsudo.ledger SET quiet_until = now()");
    let next = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&next).reply().contains("ok: count"));
    // The rights come with the dump.
    let delete = format!("SET ROLE {DELIVER}; SELECT has_table_privilege('mailsudo.requests', 'DELETE')");
    assert_eq!(server().sql(&restored, &delete), "f");
    // The chain is whole as far as it goes; who has the reply that is missing can show that.
    let verified = verified(&test_gateway);
    assert_eq!(verified.faults, []);
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let witnesses = read_witnesses("reply", &mut reply.as_bytes(), &gateway, test_gateway.clock.now()).expect("read");
    let found: Vec<_> =
        witnesses.iter().map(|witness| against(&verified, &gateway.settings().gateway, witness)).collect();
    assert_eq!(found, [Found::Missing]);
}

/// A request whose reply could not be sent.
fn unsent(test_gateway: &mut TestGateway) {
    test_gateway.clock.forward(60);
    test_gateway.break_sendmail(true);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("sendmail"));
    test_gateway.break_sendmail(false);
}

/// More requests of users that are gone than are looked at in a turn, and all of them older.
#[test]
fn what_has_no_user_any_more_keeps_no_reply_back() {
    let (mut test_gateway, database) = new(server(), "");
    unsent(&mut test_gateway);
    server().sql(
        &database,
        "INSERT INTO mailsudo.requests (id, user_name, command, arguments, signed, first_seen, state, audit_lost, node, token, written)
         SELECT sha256(int8send(n)), 'gone', 'count', '', 1000, 1000 + n, 'started', 0, 'mx9', 'x', 1
         FROM generate_series(1, 120) AS n",
    );
    let (done, replies) = resumed(&test_gateway);
    assert_eq!((done, replies.len()), (Resumed { sent: 1, orphaned: 120, ..Resumed::default() }, 1));
}

/// A reply that the mail server does not take, and an older one at that.
#[test]
fn a_reply_that_cannot_be_sent_keeps_no_other_back() {
    let (mut test_gateway, database) = new(server(), "");
    for _ in 0..2 {
        unsent(&mut test_gateway);
    }
    let first = "(SELECT min(seq) FROM mailsudo.requests)";
    let poison = format!("UPDATE mailsudo.requests SET reply = 'poison' WHERE seq = {first}");
    server().sql(&database, &poison);
    let home = test_gateway.folder.path().display().to_string();
    let sendmail = format!(
        "#!/bin/sh\ncat >{home}/spool; grep -q poison {home}/spool && exit 75; mv {home}/spool {home}/replies/x\n"
    );
    test_gateway.write("sendmail", 0o755, &sendmail);
    // Which of them comes first changes each minute.
    let (done, replies) = resumed(&test_gateway);
    assert_eq!((done, replies.len()), (Resumed { sent: 1, failed: 1, ..Resumed::default() }, 1));
    let (done, _) = resumed(&test_gateway);
    assert_eq!(done, Resumed { failed: 1, ..Resumed::default() });
}

/// The timers of several nodes at the same second.
#[test]
fn several_nodes_that_resume_at_once_send_a_reply_once() {
    let (mut test_gateway, _) = new(server(), "");
    unsent(&mut test_gateway);
    // Nothing here reads the log's socket.
    let log = format!("\"{}/log\"", test_gateway.folder.path().display());
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    test_gateway.write("mailsudo.toml", 0o644, &toml.replace(&log, "\"stderr\""));
    let before = fs::read_dir(test_gateway.path("replies")).expect("replies").count();
    let node = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsudo"));
        command.args(["ledger", "resume", "--config"]).arg(test_gateway.folder.path());
        command
            .arg("--reply-via")
            .arg(test_gateway.path("sendmail"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program")
    };
    let nodes: Vec<_> = (0..6).map(|_| node()).collect();
    for node in nodes {
        assert!(node.wait_with_output().expect("its end").status.success());
    }
    assert_eq!(fs::read_dir(test_gateway.path("replies")).expect("replies").count(), before + 1);
}

/// Whatever a node's clock says: holds end by the database's.
#[test]
fn a_node_whose_clock_is_a_day_ahead_ends_no_other_nodes_hold() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.deliver(&test_gateway.request("count", &[]));
    server().sql(
        &database,
        "UPDATE mailsudo.requests SET state = 'started', finished = NULL, result = NULL, reply = NULL, reply_to = NULL,
             replied = NULL, holds_until = 1, hold_ends = now() + interval '1 minute'",
    );
    test_gateway.clock.forward(86_400);
    let next = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&next).deferred, Some("busy"));
    server().sql(
        &database,
        "UPDATE mailsudo.requests SET hold_ends = now() - interval '1 second' WHERE hold_ends IS NOT NULL",
    );
    assert!(test_gateway.deliver(&next).reply().contains("ok: count"));
}
