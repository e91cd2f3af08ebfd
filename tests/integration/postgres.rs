//! The ledger in PostgreSQL: who may connect and do what, what a failover changes, and what counts as a commit.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mailsudo::ledger::{self, LedgerError, LedgerQueries, Record};
use mailsudo::protocol::{RequestId, Timestamp, UserName};
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::{TestGateway, mail};

use crate::database::server::{DELIVER, OWNER, PASSWORD, Server, server};
use crate::database::{as_owner, new, open, owner_of, set};

fn alice() -> UserName {
    UserName::try_from("alice").expect("a name")
}

fn newest(test_gateway: &TestGateway) -> Record {
    let ledger = open(test_gateway).expect("the ledger");
    ledger.look_up(&alice(), &RequestId::from_bytes([0; 32]), None).expect("asked").expect("a record")
}

#[test]
fn a_request_runs_once_and_is_answered() {
    let (mut test_gateway, database) = new(server(), "");
    let request = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), 1);
    let text = "SELECT state, step IS NOT NULL, replied IS NOT NULL, hold_ends IS NULL FROM mailsudo.requests";
    assert_eq!(server().sql(&database, text), "finished|t|t|t");
    assert_eq!(
        server().sql(&database, "SELECT count(*) FROM mailsudo.locks WHERE ends > now()"),
        "0",
        "it is released"
    );
    assert_eq!(server().sql(&database, "SELECT count(*) FROM mailsudo.nodes"), "1");
}

#[test]
fn mail_without_a_valid_mac_does_not_connect() {
    let mut test_gateway = TestGateway::new();
    set(&test_gateway, "url = \"postgresql:///x?host=/nowhere\"");
    assert!(test_gateway.deliver(&mail("alice@example.com", "hello")).refused("not-a-request"));
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("/nowhere/.s.PGSQL.5432: No such file"), "{ended:?}");
}

#[test]
fn a_server_across_a_network_proves_its_name_and_the_gateway_its_password() {
    let (test_gateway, database) = new(server(), "");
    let (folder, port) = (server().folder.display(), server().port);
    for name in ["ca.pem", "other.pem"] {
        fs::copy(server().folder.join(name), test_gateway.path(name)).expect("copied");
    }
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write("password", 0o600, &format!("{PASSWORD}\n"));
    test_gateway.write("wrong", 0o600, "another\n");
    test_gateway.write("open", 0o644, PASSWORD);
    let tried = |name: &str, certificate: &str, password: &str| {
        let place = format!("{DELIVER}@{name}:{port}/{database}?hostaddr=127.0.0.1&sslmode=verify-full");
        let password =
            if password.is_empty() { String::new() } else { format!("password_file = \"{home}/{password}\"") };
        set(&test_gateway, &format!("url = \"postgresql://{place}&sslrootcert={home}/{certificate}\"\n{password}"));
        open(&test_gateway).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(tried("database", "ca.pem", "password"), Ok(()));
    for (name, certificate, password, wanted) in [
        ("database", "other.pem", "password", "certificate"),
        ("another", "ca.pem", "password", "certificate"),
        ("database", "none.pem", "password", "does not exist"),
        ("database", "ca.pem", "wrong", "password authentication failed"),
        ("database", "ca.pem", "", "in [ledger] password_file"),
        ("database", "ca.pem", "open", "has mode 0644"),
    ] {
        let error = tried(name, certificate, password).expect_err(wanted);
        assert!(error.contains(wanted), "{name} {certificate} {password}: {error}");
    }
    // Without TLS the server of this test lets nobody in.
    set(&test_gateway, &format!("url = \"postgresql://{DELIVER}@127.0.0.1:{port}/{database}\""));
    assert!(open(&test_gateway).map(drop).expect_err("no entry").to_string().contains("no pg_hba.conf entry"));
    // Of several servers the first that answers is used.
    let several = format!("postgresql://{DELIVER}@/{database}?host=/nowhere,{folder}&port={port}");
    set(&test_gateway, &format!("url = \"{several}\""));
    assert!(open(&test_gateway).is_ok());
}

#[test]
fn the_role_of_deliver_can_neither_delete_nor_change_what_was_signed() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.deliver(&test_gateway.request("count", &[]));
    for sql in [
        "DELETE FROM mailsudo.requests",
        "TRUNCATE mailsudo.requests",
        "UPDATE mailsudo.requests SET signed = 0",
        "UPDATE mailsudo.requests SET step = NULL",
        "UPDATE mailsudo.ledger SET watermark = NULL",
        "UPDATE mailsudo.ledger SET gateway = 'x'",
        "DELETE FROM mailsudo.lockouts",
        "DROP TABLE mailsudo.nodes",
        "UPDATE mailsudo.events SET event = ''",
        "DELETE FROM mailsudo.events",
        "TRUNCATE mailsudo.events",
        "UPDATE mailsudo.checkpoint SET number = 7",
    ] {
        let refused = format!(
            "SET ROLE {DELIVER}; DO $$ BEGIN {sql}; RAISE 'permitted'; EXCEPTION WHEN insufficient_privilege THEN NULL; END $$"
        );
        server().sql(&database, &refused);
    }
    // What was answered yesterday stays, even if deliver asked to prune it.
    let now = SystemClock.now().seconds();
    server().sql(&database, &format!("UPDATE mailsudo.requests SET replied = {now} - 86400, signed = {now} - 86400"));
    let prune = format!("SET ROLE {DELIVER}; SELECT mailsudo.prune({now} + 1000000, 100, {now}, '')");
    assert_eq!(server().sql(&database, &prune), "0");
}

#[test]
fn a_ledger_that_is_not_this_gateways_or_not_of_this_version_is_not_used() {
    let (mut test_gateway, database) = new(server(), "");
    let request = test_gateway.request("count", &[]);
    for (sql, wanted) in [
        ("gateway = 'paris'", "the ledger of the gateway paris"),
        ("gateway = 'berlin', version = 99, readable_from = 99", "a newer mailsudo wrote the ledger (schema 99)"),
        ("version = 0, readable_from = 0", " ledger migrate"),
    ] {
        server().sql(&database, &format!("UPDATE mailsudo.ledger SET {sql}"));
        let ended = test_gateway.deliver(&request);
        assert_eq!((ended.deferred, test_gateway.runs().len()), (Some("ledger"), 0), "{sql}");
        assert!(ended.log.join("\n").contains(wanted), "{ended:?}");
    }
    let url = owner_of(server(), &database);
    server().sql(&database, "UPDATE mailsudo.ledger SET version = 99, readable_from = 99");
    for done in [
        as_owner(&test_gateway, &url, |owner| ledger::init_database(owner, None).map(drop)),
        as_owner(&test_gateway, &url, |owner| ledger::migrate(owner).map(drop)),
    ] {
        assert!(matches!(done, Err(LedgerError::Newer(99))), "{done:?}");
    }
    // A newer one that says that this mailsudo can still use it: nodes are upgraded one by one.
    server().sql(&database, "UPDATE mailsudo.ledger SET readable_from = 1");
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
    let empty = server().database();
    set(&test_gateway, &format!("url = \"{}\"", server().url(DELIVER, &empty)));
    test_gateway.clock.forward(60);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.log.join("\n").contains("the database has no ledger of mailsudo"), "{ended:?}");
}

#[test]
fn after_a_failover_nothing_signed_before_it_runs_and_the_user_is_told() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.clock.set(SystemClock.now());
    let before = test_gateway.request("count", &[]);
    server().sql(&database, "UPDATE mailsudo.ledger SET timeline = '00000000'");
    let ended = test_gateway.deliver(&before);
    assert!(ended.refused("failed-over"), "{ended:?}");
    let text = mailsudo::intake::readable(ended.reply().as_bytes()).concat();
    assert!(text.contains("It is not run now") && text.contains("sign it again after"), "{text}");
    assert!(test_gateway.deliver(&before).refused("duplicate"), "it is recorded");
    test_gateway.clock.forward(180);
    let after = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&after);
    assert_eq!(ended.deferred, Some("busy"), "a run that was lost may hold the exclusive command: {ended:?}");
    server().sql(&database, "UPDATE mailsudo.ledger SET quiet_until = now()");
    assert!(test_gateway.deliver(&after).reply().contains("ok: count"));
    test_gateway.clock.forward(60);
    let next = test_gateway.request("restart", &[("service", "nginx")]);
    assert!(test_gateway.deliver(&next).reply().contains("ok: restart"), "the new server is known now");
}

/// A standby that confirms what it has received: pg_receivewal(1).
struct Standby {
    receiver: Child,
    /// Not in the server's own folder, which the server's account removes.
    _received: tempfile::TempDir,
}

impl Standby {
    fn of(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let programs = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL").flatten().map(|entry| entry.path());
        let program = programs.map(|path| path.join("bin/pg_receivewal")).find(|path| path.exists());
        let mut receiver = Command::new(program.expect("pg_receivewal"));
        receiver.args(["--synchronous", "--no-loop", "-U", OWNER, "-h"]).arg(&server.folder);
        receiver.arg(format!("-p{}", server.port)).arg("-D").arg(folder.path());
        let receiver = receiver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a standby");
        Self { receiver, _received: folder }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.receiver.kill();
        let _ = self.receiver.wait();
    }
}

/// Whether a commit waits for a standby. If so, the waits are cancelled.
fn commits_wait(server: &Server, database: &str) -> bool {
    let cancel = format!(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = '{database}'"
    );
    std::thread::scope(|scope| {
        let commits = scope.spawn(|| server.sql(database, "CREATE TABLE public.probe (); DROP TABLE public.probe"));
        let (begun, mut have_waited) = (Instant::now(), false);
        while !commits.is_finished() {
            assert!(begun.elapsed() < Duration::from_mins(1), "commits do not end");
            have_waited |= !server.sql("postgres", &cancel).is_empty();
            std::thread::sleep(Duration::from_millis(20));
        }
        have_waited
    })
}

#[test]
fn a_commit_that_no_standby_confirms_is_no_commit() {
    let server = Server::start("wal_level = replica");
    let (mut test_gateway, database) = new(&server, "synchronous = \"require\"");
    test_gateway.clock.set(SystemClock.now());
    let set_standbys = |names: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        server.sql("postgres", "SELECT pg_reload_conf()");
    };
    let request = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"));
    assert!(ended.log.join("\n").contains("PostgreSQL names no synchronous standby"), "{ended:?}");
    // A wait that somebody cancels: COMMIT is answered, and only a warning says that no standby has it.
    set_standbys("nobody");
    // The server reads its settings when it comes to it, and its checkpointer tells the others that commits wait.
    let begun = Instant::now();
    while !commits_wait(&server, &database) {
        assert!(begun.elapsed() < Duration::from_mins(1), "commits do not wait for a standby");
    }
    let waiting = format!("FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = '{database}'");
    let ended = std::thread::scope(|scope| {
        let cancel = scope.spawn(|| {
            let begun = Instant::now();
            while server.sql("postgres", &format!("SELECT pg_cancel_backend(pid) {waiting}")).is_empty() {
                assert!(begun.elapsed() < Duration::from_mins(1), "no commit waits for a standby");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let ended = test_gateway.deliver(&request);
        cancel.join().expect("a cancelled wait");
        ended
    });
    assert_eq!((ended.deferred, test_gateway.runs().len()), (Some("ledger"), 0), "{ended:?}");
    assert!(ended.log.join("\n").contains("a commit is in doubt: PostgreSQL warns: canceling wait"), "{ended:?}");
    let standby = Standby::of(&server);
    set_standbys("*");
    let ended = test_gateway.deliver(&request);
    assert!(ended.reply().contains("outcome unknown: count"), "the next delivery finds out: {ended:?}");
    test_gateway.clock.forward(60);
    // A change of timeline has lost nothing; another database has.
    server.sql(&database, "UPDATE mailsudo.requests SET hold_ends = NULL");
    server.sql(&database, "UPDATE mailsudo.ledger SET timeline = '00000000'");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.reply().contains("ok: count"), "{ended:?}");
    server.sql(&database, "UPDATE mailsudo.ledger SET system_id = '0'");
    assert!(test_gateway.deliver(&test_gateway.request("restart", &[("service", "nginx")])).refused("failed-over"));
    // The standby is gone: nothing commits, and nothing runs.
    drop(standby);
    test_gateway.clock.forward(600);
    test_gateway.timeouts.transaction = Duration::from_millis(500);
    let runs = test_gateway.runs().len();
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert_eq!((ended.deferred, test_gateway.runs().len()), (Some("ledger"), runs), "{ended:?}");
    assert!(ended.log.join("\n").contains("no answer in time"), "{ended:?}");
}

#[test]
fn a_delivery_that_was_overtaken_changes_nothing() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.deliver(&test_gateway.request("count", &[]));
    let record = newest(&test_gateway);
    server().sql(&database, "UPDATE mailsudo.requests SET state = 'started', replied = NULL");
    let (mut late, mut other) = (open(&test_gateway).expect("a ledger"), open(&test_gateway).expect("a ledger"));
    let update = |ledger: &mut Box<dyn LedgerQueries>, reads: bool, queue_id: u32| {
        let mut transaction = ledger.transaction(&record.id, &alice())?;
        if reads {
            transaction.record()?;
        }
        transaction.update(&Record { replied: None, audit_lost: queue_id, ..record.clone() })?;
        transaction.commit()
    };
    assert!(matches!(update(&mut late, false, 1), Err(LedgerError::Taken)), "it has not written this record");
    update(&mut late, true, 2).expect("it takes the record over");
    update(&mut late, false, 3).expect("it has written it");
    update(&mut other, true, 4).expect("another takes it over");
    assert!(matches!(update(&mut late, false, 5), Err(LedgerError::Taken)), "too late");
    assert_eq!(server().sql(&database, "SELECT audit_lost FROM mailsudo.requests"), "4");
}

#[test]
fn the_lock_of_a_dead_process_is_taken_over_on_its_host_and_ends_elsewhere() {
    let (test_gateway, database) = new(server(), "");
    let (one, other) = (open(&test_gateway).expect("a ledger"), open(&test_gateway).expect("a ledger"));
    let id = RequestId::from_bytes([7; 32]);
    let set_holder = |change: &str| {
        server().sql(&database, &format!("UPDATE mailsudo.locks SET {change}"));
    };
    let held = one.lock(&id).expect("asked").expect("a lock");
    assert!(other.is_locked(&id).expect("asked") && other.lock(&id).expect("asked").is_none());
    // The same host, the same start of it, and no such process.
    set_holder("holder = split_part(holder, ' ', 1) || ' 2147483647 1'");
    assert!(!other.is_locked(&id).expect("asked"));
    let taken = other.lock(&id).expect("asked").expect("taken over");
    drop(held);
    assert!(one.is_locked(&id).expect("asked"), "a late release frees nothing that is another's");
    drop(taken);
    assert!(!one.is_locked(&id).expect("asked"));
    std::mem::forget(one.lock(&id).expect("asked").expect("a lock"));
    set_holder("holder = 'elsewhere 2147483647 1'");
    assert!(other.lock(&id).expect("asked").is_none(), "what cannot be seen may be alive");
    set_holder("ends = now()");
    assert!(other.lock(&id).expect("asked").is_some(), "by the database's clock");
    // As long as Postfix lets a delivery live, with the longest command.
    let lasts = server().sql(&database, "SELECT ends > now() FROM mailsudo.locks");
    assert_eq!(lasts, "f", "it was released at once");
}

#[test]
fn wrong_codes_and_waiting_requests_are_as_with_sqlite() {
    let (mut test_gateway, database) = new(server(), "");
    for count in 1..=5 {
        let wrong = crate::common::block(
            "alice",
            crate::common::KEY,
            Timestamp::from_seconds(test_gateway.clock.now().seconds()),
            "count",
            &[],
            Some("000000"),
        );
        let ended = test_gateway.deliver(&mail("alice@example.com", &wrong));
        assert!(ended.refused("bad-code"), "{ended:?}");
        assert_eq!(ended.reply().contains("locked out"), count == 5, "{count}: {ended:?}");
        test_gateway.clock.forward(1);
    }
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.refused("locked-out"), "{ended:?}");
    assert!(open(&test_gateway).expect("a ledger").unlock(&alice(), test_gateway.clock.now()).expect("unlocked"));
    test_gateway.clock.forward(60);
    let hold =
        "UPDATE mailsudo.requests SET command = 'count', user_name = 'nobody', hold_ends = now() + interval '1 hour'
         WHERE seq = 1";
    server().sql(&database, hold);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    assert_eq!(server().sql(&database, "SELECT state FROM mailsudo.requests ORDER BY seq DESC LIMIT 1"), "waiting");
    server().sql(&database, "UPDATE mailsudo.requests SET hold_ends = now() WHERE seq = 1");
    assert!(test_gateway.deliver(&request).reply().contains("ok: count"));
}
