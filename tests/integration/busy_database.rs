//! Other work in a ledger's PostgreSQL database: what it does to a delivery and to a migration, and they to it.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use mailsudo::ledger;

use crate::database::server::{DELIVER, server};
use crate::database::{as_owner, new, owner_of, set};
use crate::operated::SCHEMAS;

/// A transaction of psql's that stays open.
struct Open {
    psql: Child,
    input: ChildStdin,
}

impl Open {
    /// Begins one, and runs `sql` in it.
    fn begin(database: &str, sql: &str) -> Self {
        let mut psql = server().tool("psql", database);
        let psql = psql.arg("-XAtq").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut psql = psql.expect("psql");
        let mut input = psql.stdin.take().expect("its input");
        writeln!(input, "BEGIN; {sql};").expect("written");
        until("psql's transaction is open", database, "application_name = 'psql' AND state = 'idle in transaction'");
        Self { psql, input }
    }

    fn commit(mut self) {
        writeln!(self.input, "COMMIT;").expect("written");
        drop(self.input);
        self.psql.wait().expect("psql");
    }
}

/// Waits until a session in the database is so (`pg_stat_activity`).
fn until(what: &str, database: &str, is: &str) {
    let sql = format!("SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = '{database}' AND {is}");
    let begun = Instant::now();
    while server().sql("postgres", &sql) != "t" {
        assert!(begun.elapsed() < Duration::from_mins(1), "not in a minute: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_lock_that_is_taken_while_old_ones_are_removed_stays() {
    let (_test_gateway, database) = new(server(), "");
    server().sql(
        &database,
        "INSERT INTO mailsudo.locks (id, token, holder, node, ends)
             SELECT sha256(int8send(n)), 'old', 'h', 'n', '-infinity' FROM generate_series(1, 25) AS n",
    );
    let taken = Open::begin(&database, "SELECT mailsudo.take_lock(sha256(int8send(7)), 'new', 'h', 'n', 100, 'new')");
    std::thread::scope(|scope| {
        let prune = scope.spawn(|| server().sql(&database, "SELECT mailsudo.prune(0, 100, 0, '')"));
        until("prune waits", &database, "query LIKE '%prune%' AND wait_event_type = 'Lock'");
        taken.commit();
        prune.join().expect("pruned");
    });
    let left =
        server().sql(&database, "SELECT id = sha256(int8send(7)), convert_from(token, 'UTF8') FROM mailsudo.locks");
    assert_eq!(left, "t|new");
}

#[test]
fn a_limit_of_statements_does_not_cut_the_wait_for_the_ledger() {
    let (mut test_gateway, database) = new(server(), "");
    server().sql("postgres", &format!("ALTER ROLE {DELIVER} IN DATABASE {database} SET statement_timeout = '2s'"));
    let request = test_gateway.request("count", &[]);
    let held = Open::begin(&database, "SELECT FROM mailsudo.ledger FOR UPDATE");
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the delivery waits", &database, "application_name = 'mailsudo' AND wait_event_type = 'Lock'");
            std::thread::sleep(Duration::from_secs(3));
            held.commit();
        });
        test_gateway.deliver(&request)
    });
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
}

/// The head before the exported events leads to the first of them (docs/audit.md).
#[test]
fn an_export_beside_a_pruning_shows_the_chain_as_it_was_at_one_moment() {
    let (mut test_gateway, database) = new(server(), "");
    let request = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    let chain = || server().sql(&database, "SELECT encode(head, 'hex') FROM mailsudo.checkpoint");
    let events = server().sql(&database, "SELECT count(*) FROM mailsudo.events");
    let begins = chain();
    let pruning = Open::begin(
        &database,
        "LOCK TABLE mailsudo.events;
         UPDATE mailsudo.checkpoint c SET number = e.number, head = e.head FROM mailsudo.events e WHERE e.number = 1;
         DELETE FROM mailsudo.events WHERE number = 1",
    );
    let file = test_gateway.path("export");
    let export = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .args(["log", "export", "--config"])
        .args([test_gateway.folder.path(), &file])
        .stdout(Stdio::null())
        .spawn();
    let mut export = export.expect("the program");
    until("the export waits", &database, "application_name = 'mailsudo' AND wait_event_type = 'Lock'");
    pruning.commit();
    assert!(export.wait().expect("it ends").success());
    assert_ne!(chain(), begins, "the beginning was moved while it waited");
    let manifest = fs::read_to_string(test_gateway.path("export.manifest.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let said = ["head_before", "first", "events"].map(|key| manifest[key].to_string());
    assert_eq!(said, [format!("\"{begins}\""), "1".to_owned(), events]);
}

/// A dump reads all tables in one transaction, for as long as it takes.
#[test]
fn a_migration_gives_up_beside_a_dump_and_holds_no_delivery_up_for_long() {
    let (test_gateway, _) = new(server(), "");
    let database = server().database();
    server().sql(
        &database,
        &format!(
            "{}
             INSERT INTO mailsudo.ledger (version, readable_from, gateway, system_id, timeline) VALUES (4, 4, 'berlin', 'x', 'x');
             SELECT mailsudo.begin_chain();",
            SCHEMAS.join("\n")
        ),
    );
    set(&test_gateway, &format!("url = \"{}\"\n", server().url(DELIVER, &database)));
    let url = owner_of(server(), &database);
    let dump = Open::begin(&database, "SELECT count(*) FROM mailsudo.requests");
    let refused = as_owner(&test_gateway, &url, ledger::migrate).expect_err("it cannot have the table").to_string();
    assert!(refused.contains("other transactions take too long"), "{refused}");
    assert_eq!(server().sql(&database, "SELECT version FROM mailsudo.ledger FOR UPDATE NOWAIT"), "4");
    dump.commit();
    assert_eq!(as_owner(&test_gateway, &url, ledger::migrate).expect("migrated"), (4, 5));
}
