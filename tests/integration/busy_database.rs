//! Other work in a ledger's PostgreSQL database: what it does to a delivery and to a migration, and they to it.

use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use mailsudo::ledger;

use crate::common::TestGateway;
use crate::database::server::{DELIVER, OWNER, server};
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
        // psql sends one statement after the other, and each leaves the transaction idle.
        writeln!(input, "BEGIN; {sql}; SELECT 'all of it';").expect("written");
        let is = "application_name = 'psql' AND state = 'idle in transaction' AND query LIKE 'SELECT ''all of it''%'";
        until("psql's transaction is open", database, is);
        Self { psql, input }
    }

    fn commit(mut self) {
        writeln!(self.input, "COMMIT;").expect("written");
        self.roll_back();
    }

    /// Ends it, which does nothing where it was committed.
    fn roll_back(mut self) {
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

/// Waits until a process is in this state of proc_pid_stat(5).
fn until_state(pid: u32, state: &str) {
    let begun = Instant::now();
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    while stat().rsplit(')').next().and_then(|rest| rest.split_whitespace().next()) != Some(state) {
        assert!(begun.elapsed() < Duration::from_mins(1), "not in a minute: {state}: {}", stat());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A suspended host, or Ctrl-Z: what waits for the server is interrupted (signal(7)).
#[test]
fn a_process_that_is_stopped_and_goes_on_still_waits_for_its_answer() {
    use rustix::process::{Pid, Signal, kill_process};
    let (test_gateway, database) = (TestGateway::new(), server().database());
    set(&test_gateway, &format!("url = \"{}\"\n", server().url(DELIVER, &database)));
    let held = Open::begin(&database, "CREATE SCHEMA mailsudo");
    let mut init = Command::new(env!("CARGO_BIN_EXE_mailsudo"));
    init.args(["ledger", "init", "--owner-url", &server().url(OWNER, &database), "--config"]);
    let init = init.arg(test_gateway.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let init = init.expect("the program");
    until("the program waits", &database, "application_name = 'mailsudo' AND wait_event_type = 'Lock'");
    let signal = |signal| kill_process(Pid::from_child(&init), signal).expect("signalled");
    until_state(init.id(), "S");
    signal(Signal::STOP);
    until_state(init.id(), "T");
    signal(Signal::CONT);
    until_state(init.id(), "S");
    held.roll_back();
    let ended = init.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
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
