//! Several mail servers with one ledger: replies of a dead one, the list of them, a ledger that moves into PostgreSQL,
//! and what `check` says about the database.

use std::fs;

use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::pipeline::{Resumed, resume};
use mailsudo::protocol::{Key, Verdict, verify_reply};
use mailsudo::reply::ReplyTransport;

use crate::cli::CliGateway;
use crate::common::{KEY, TestGateway, context};
use crate::database::server::{DELIVER, OWNER, Server, server};
use crate::database::{new, open};

/// What another node does for this gateway, and the new replies.
pub(crate) fn resumed(test_gateway: &TestGateway) -> (Resumed, Vec<String>) {
    let read = || {
        let folder = fs::read_dir(test_gateway.path("replies")).expect("replies");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).expect("a reply")).collect::<Vec<_>>()
    };
    let before = read().len();
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let context = context(&gateway, &test_gateway.envelope, &test_gateway.clock, test_gateway.timeouts);
    let transport = ReplyTransport::Sendmail(test_gateway.path("sendmail"));
    let resumed = resume(&context, &transport, &mut Audit::new(gateway.settings(), None)).expect("done");
    (resumed, read().split_off(before))
}

fn sent(sent: u32) -> Resumed {
    Resumed { sent, ..Resumed::default() }
}

#[test]
fn a_reply_that_a_dead_node_has_stored_is_sent_by_another() {
    let (mut test_gateway, _) = new(server(), "");
    test_gateway.break_sendmail(true);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("sendmail"));
    test_gateway.break_sendmail(false);
    let (done, replies) = resumed(&test_gateway);
    assert_eq!((done, replies.len()), (sent(1), 1));
    assert!(replies[0].contains("ok: count"), "{replies:?}");
    assert_eq!(resumed(&test_gateway).0, sent(0));
    assert!(test_gateway.deliver(&request).refused("duplicate"), "the dead node comes back with the mail");
}

#[test]
fn a_run_that_no_node_saw_end_is_answered_as_unknown() {
    let (mut test_gateway, database) = new(server(), "");
    let request = test_gateway.request("count", &[]);
    test_gateway.deliver(&request);
    let started =
        "UPDATE mailsudo.requests SET state = 'started', finished = NULL, result = NULL, reply = NULL, reply_to = NULL,
         replied = NULL, hold_ends = now() + interval '1 hour', holds_until = 1";
    server().sql(&database, started);
    // While its delivery lives, it is left alone.
    let id = server().sql(&database, "SELECT encode(id, 'hex') FROM mailsudo.requests");
    let mut bytes = [0; 32];
    hex::decode_to_slice(&id, &mut bytes).expect("an id");
    let living = open(&test_gateway).expect("a ledger");
    let lock = living.lock(&mailsudo::protocol::RequestId::from_bytes(bytes)).expect("asked").expect("a lock");
    assert_eq!(resumed(&test_gateway).0, Resumed { left: 1, ..Resumed::default() });
    drop(lock);
    let (done, replies) = resumed(&test_gateway);
    assert_eq!((done, replies.len()), (sent(1), 1));
    let text = mailsudo::intake::readable(replies[0].as_bytes()).concat();
    assert!(text.starts_with("outcome unknown: count"), "{text}");
    let key = Key::from_hex(KEY).expect("a key");
    assert!(matches!(verify_reply(&text, &key), Verdict::Genuine(_)), "{text}");
    assert_eq!(server().sql(&database, "SELECT hold_ends > now() FROM mailsudo.requests"), "t", "it may still run");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn a_request_that_waits_at_a_dead_node_is_refused_when_it_is_too_old() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.deliver(&test_gateway.request("count", &[]));
    let waiting =
        "UPDATE mailsudo.requests SET state = 'waiting', started = NULL, finished = NULL, result = NULL, reply = NULL,
         reply_to = NULL, replied = NULL";
    server().sql(&database, waiting);
    assert_eq!(resumed(&test_gateway).0, Resumed { left: 1, ..Resumed::default() }, "it may still run");
    test_gateway.clock.forward(10 * 60 + 1);
    let (done, replies) = resumed(&test_gateway);
    assert_eq!(done, sent(1));
    let text = mailsudo::intake::readable(replies[0].as_bytes()).concat();
    assert!(text.starts_with("refused: count") && text.contains("it has waited for another run"), "{text}");
    assert_eq!(server().sql(&database, "SELECT state, reason FROM mailsudo.requests"), "refused|waited");
}

#[test]
fn a_user_that_was_removed_gets_no_reply_and_holds_nothing_up() {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.deliver(&test_gateway.request("count", &[]));
    server().sql(
        &database,
        "UPDATE mailsudo.requests SET state = 'started', reply = NULL, reply_to = NULL, replied = NULL",
    );
    fs::remove_file(test_gateway.path("secrets.d/alice.toml")).expect("removed");
    assert_eq!(resumed(&test_gateway).0, Resumed { orphaned: 1, ..Resumed::default() });
}

/// A delivery defers there, so no other command may take it for a ledger that works, and none may change it.
#[test]
fn no_command_works_on_a_ledger_that_is_anothers_or_newer_or_on_a_standby() {
    let (cli, server) = (CliGateway::new(), Server::start(""));
    let database = server.database();
    let owner = server.url(OWNER, &database);
    at(&cli, &server.url(DELIVER, &database));
    fs::write(cli.path("owner-password"), "none\n").expect("a file");
    assert!(cli.run(&["ledger", "init", "--owner-url", &owner]).out.contains("is made"));
    // Its path begins at the working folder, and a link is named as such.
    std::os::unix::fs::symlink("owner-password", cli.path("link")).expect("a link");
    let linked = cli.run(&["ledger", "init", "--owner-url", &owner, "--owner-password-file", "link"]);
    assert!(linked.err.contains("link is a symbolic link, and none is followed"), "{}", linked.err);
    let own = "SELECT format('version = %s, readable_from = %s', version, readable_from) FROM mailsudo.ledger";
    let own = server.sql(&database, own);
    let fails = |words: &[&str], wanted: &str| {
        let said = cli.run(words);
        assert!(said.status != 0 && (said.out + &said.err).contains(wanted), "{words:?}: {wanted}: {}", said.err);
    };
    let all_fail = |wanted: &str| {
        for words in [
            &["check", "--quiet"][..],
            &["metrics"],
            &["report"],
            &["log"],
            &["ledger", "status"],
            &["ledger", "check"],
            &["ledger", "nodes"],
            &["ledger", "prune", "--older-than", "7d", "--yes"],
            &["ledger", "resume", "--reply-via", "/nowhere"],
        ] {
            fails(words, wanted);
        }
    };
    for (sql, wanted) in [
        ("gateway = 'paris'", "the ledger of the gateway paris"),
        ("gateway = 'berlin', version = 99, readable_from = 99", "a newer mailsudo wrote the ledger (schema 99)"),
    ] {
        server.sql(&database, &format!("UPDATE mailsudo.ledger SET {sql}"));
        all_fail(wanted);
        fails(&["ledger", "init", "--owner-url", &owner], wanted);
        fails(&["ledger", "migrate", "--owner-url", &owner], wanted);
    }
    server.sql(&database, "UPDATE mailsudo.ledger SET version = 4, readable_from = 1");
    fails(&["ledger", "init", "--owner-url", &owner], "ledger migrate");
    server.sql(&database, &format!("UPDATE mailsudo.ledger SET {own}"));
    assert_eq!(cli.run(&["ledger", "status"]).status, 0);
    // The server warns of another collation at each login, which is about no commit.
    server.sql(&database, "UPDATE pg_database SET datcollversion = '1' WHERE datname = current_database()");
    let warned = cli.run(&["user", "disable", "alice"]);
    assert!(warned.status == 0 && !warned.err.contains("audit chain"), "{}", warned.err);
    server.stop("fast");
    fs::write(server.folder.join("data/standby.signal"), "").expect("a file");
    server.start_again();
    all_fail("it is a standby");
}

/// A gateway of the built binary whose `[ledger] url` is this database's.
pub(crate) fn in_database(cli: &CliGateway, database: &str) {
    at(cli, &server().url(DELIVER, database));
}

/// A gateway of the built binary with this `[ledger] url`.
fn at(cli: &CliGateway, url: &str) {
    let toml = fs::read_to_string(cli.path("mailsudo.toml")).expect("the settings");
    let (before, after) = toml.split_once("url = \"").expect("a URL");
    let (_, after) = after.split_once('"').expect("its end");
    let toml = format!("{before}url = \"{url}\"{after}");
    cli.write("mailsudo.toml", &toml);
}

#[test]
fn a_ledger_moves_into_postgresql_and_what_ran_does_not_run_again() {
    let (cli, database) = (CliGateway::new(), server().database());
    let first = cli.eml(&["say"]);
    assert!(cli.run_with(&["deliver"], &first).out.contains("heard: nothing"));
    let watermark = "INSERT INTO floor VALUES (1000)";
    let file = rusqlite::Connection::open(cli.path("ledger/ledger.db")).expect("the ledger");
    file.execute_batch(watermark).expect("a watermark");
    file.execute_batch("INSERT INTO lockouts VALUES ('bob', 5, 1, 7)").expect("a lockout");
    drop(file);
    let from = format!("sqlite:{}", cli.path("ledger/ledger.db").display());
    let owner = server().url(OWNER, &database);
    in_database(&cli, &database);
    let early = cli.run(&["ledger", "copy", &from, &owner]);
    assert!(
        early.status == 1
            && early.err.contains("make one as the role that owns the database: ")
            && early.err.contains("mailsudo ledger init --config ")
            && early.err.contains(" --owner-url URL"),
        "{}",
        early.err
    );
    let made = cli.run(&["ledger", "init", "--owner-url", &owner]);
    assert!(made.status == 0 && made.out.contains("is made"), "{} {}", made.out, made.err);
    assert!(cli.run(&["ledger", "init", "--owner-url", &owner]).out.contains("exists already"));
    let dry = cli.run(&["ledger", "copy", &from, &owner, "--dry-run"]);
    assert!(dry.out.contains("1 request would be copied"), "{} {}", dry.out, dry.err);
    let copied = cli.run(&["ledger", "copy", &from, &owner]);
    assert!(copied.out.contains("Copied: 1 request (already there: 0), 1 lockout."), "{} {}", copied.out, copied.err);
    assert!(cli.run(&["ledger", "copy", &from, &owner]).out.contains("Copied: 0 requests (already there: 1)"));
    let same = cli.run(&["ledger", "copy", &from, &from]);
    assert!(same.status == 64 && same.err.contains("from sqlite: to postgresql: only"), "{}", same.err);
    let again = cli.run_with(&["deliver"], &first);
    assert!(again.err.contains("reason=duplicate"), "{}", again.err);
    assert_eq!(
        server().sql(&database, "SELECT user_name, until, told, counted_to FROM mailsudo.lockouts"),
        "bob|5|t|7"
    );
    assert!(server().sql(&database, "SELECT watermark FROM mailsudo.ledger").parse::<i64>().expect("a time") >= 1000);
    for (words, wanted) in [
        (&["log"][..], "alice"),
        (&["metrics"], "mailsudo_requests_total{gateway=\"berlin\",result=\"succeeded\",reason=\"\"} 1"),
        (&["ledger", "check"], "The ledger is sound"),
        (&["ledger", "prune", "--older-than", "7d", "--yes"], "Removed: 0."),
        (&["ledger", "migrate", "--owner-url", &owner], "The ledger has schema"),
        (&["ledger", "resume", "--reply-via", "/nowhere"], "Sent: 0. In work: 0."),
    ] {
        let said = cli.run(words);
        assert!(said.status == 0 && said.out.contains(wanted), "{words:?}: {} {}", said.out, said.err);
    }
    for words in [&["ledger", "vacuum"][..], &["ledger", "backup", "x"]] {
        assert_eq!(cli.run(words).status, 1, "{words:?}");
    }
    assert!(!cli.path("x").exists());
}

#[test]
fn nodes_are_listed_and_check_says_where_they_differ() {
    let (cli, database) = (CliGateway::new(), server().database());
    let file = cli.run(&["ledger", "nodes"]);
    assert!(file.status == 1 && file.err.contains("the ledger of this host alone"), "{}", file.err);
    in_database(&cli, &database);
    assert_eq!(cli.run(&["ledger", "init", "--owner-url", &server().url(OWNER, &database)]).status, 0);
    let nodes = cli.run(&["ledger", "nodes", "--json"]);
    let nodes: serde_json::Value = serde_json::from_str(&nodes.out).expect("JSON");
    let own = nodes[0]["digest"].as_str().expect("a digest").to_owned();
    assert_eq!(
        (nodes.as_array().map(Vec::len), nodes[0]["version"].as_str()),
        (Some(1), Some(env!("CARGO_PKG_VERSION")))
    );
    // A lockdown is a file of this host, and says so.
    for (words, said) in
        [(&["lockdown"][..], "Locked down on this host: "), (&["lockdown", "--end"], "ended on this host: ")]
    {
        let done = cli.run(words);
        assert!(done.out.contains(said) && done.out.contains("ledger nodes"), "{}{}", done.out, done.err);
    }
    let table = cli.run(&["ledger", "nodes"]).out;
    assert!(table.starts_with("NAME ") && table.contains("  SEEN ") && table.contains(" s ago  "), "{table}");
    let findings = |about: &str| {
        let said = cli.run(&["check", "--json"]);
        let all: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let all = all["findings"].as_array().or(all.as_array()).cloned().unwrap_or_default();
        let about = all.iter().filter(|one| one.to_string().contains(&format!("\"{about}\"")));
        about.map(|one| format!("{}: {}", text(&one["level"]), one)).collect::<Vec<_>>().join("\n")
    };
    assert!(findings("nodes").contains("1 known, with the configuration of this host"), "{}", findings("nodes"));
    let replication = findings("replication");
    assert!(replication.contains("synchronous_standby_names is empty"), "{replication}");
    let other = format!(
        "INSERT INTO mailsudo.nodes SELECT 'mx2', '9', 'other', extract(epoch FROM now())::bigint - 60, now();
         CREATE RULE planted AS ON INSERT TO mailsudo.lockouts DO INSTEAD NOTHING; GRANT DELETE ON mailsudo.requests TO {DELIVER};
         GRANT TRUNCATE ON mailsudo.events TO {DELIVER}; GRANT UPDATE (signed) ON mailsudo.requests TO {DELIVER}"
    );
    server().sql(&database, &other);
    assert!(
        findings("nodes").contains("another version of mailsudo than here") && findings("nodes").contains("mx2 9"),
        "{}",
        findings("nodes")
    );
    assert!(!findings("nodes").contains("differs"), "each version has a digest of its own: {}", findings("nodes"));
    let version = format!("UPDATE mailsudo.nodes SET version = '{}'", env!("CARGO_PKG_VERSION"));
    server().sql(&database, &version);
    assert!(findings("nodes").contains("differs from this host's on mx2"), "{}", findings("nodes"));
    assert!(findings("clock").contains("the clock of mx2 was -60 s"), "{}", findings("clock"));
    let ledger = findings("ledger");
    for wanted in [
        "fsync = off",
        "rule planted",
        "more rights than deliver needs: delete on requests",
        "truncate on events",
        "update of what was signed",
    ] {
        assert!(ledger.contains(wanted), "{wanted}: {ledger}");
    }
    // Every file counts, and what is around a node does not.
    cli.write(
        "commands.d/say.toml",
        &fs::read_to_string(cli.path("commands.d/say.toml")).expect("it").replace("20", "21"),
    );
    let digest = || {
        let nodes: serde_json::Value =
            serde_json::from_str(&cli.run(&["ledger", "nodes", "--json"]).out).expect("JSON");
        nodes.as_array().and_then(|all| all.iter().find(|one| one["name"] != "mx2")).expect("it")["digest"].to_string()
    };
    assert_ne!(digest(), format!("\"{own}\""));
    let mut changed = digest();
    fs::create_dir(cli.path("certs.d")).expect("a folder");
    for (file, text) in
        [("certs.d/alice.pem", "one"), ("certs.d/alice.pem", "two"), ("lockdown.toml", "reason = \"a test\"\n")]
    {
        cli.write(file, text);
        assert_ne!(digest(), changed, "{file}");
        changed = digest();
    }
    let toml = fs::read_to_string(cli.path("mailsudo.toml")).expect("the settings");
    cli.write("mailsudo.toml", &toml.replace("[syslog]", "[syslog]\nfacility = \"mail\""));
    assert_eq!(digest(), changed);
}

/// The ledger of several servers is written by each of them, and by whoever has taken one.
#[test]
fn no_command_shows_a_control_character_of_another_node() {
    let (cli, database) = (CliGateway::new(), server().database());
    in_database(&cli, &database);
    assert_eq!(cli.run(&["ledger", "init", "--owner-url", &server().url(OWNER, &database)]).status, 0);
    assert_eq!(cli.run_with(&["deliver"], &cli.eml(&["say"])).status, 0);
    let hostile = "chr(27) || '[31m' || chr(155) || '2J' || chr(8238) || 'x' || chr(13) || chr(10) || 'ok'";
    let sql = format!(
        "INSERT INTO mailsudo.nodes SELECT {hostile}, {hostile}, {hostile}, extract(epoch FROM now())::bigint - 60, now();
         UPDATE mailsudo.requests SET node = {hostile}, user_name = {hostile}, command = {hostile}, arguments = {hostile},
             reason = {hostile}, run_as = {hostile}, argv = {hostile}, queue_id = {hostile}, reply_to = {hostile},
             replied = NULL;
         INSERT INTO mailsudo.locks SELECT id, 'x', {hostile}, {hostile}, now() + interval '1 hour' FROM mailsudo.requests
             ON CONFLICT (id) DO UPDATE SET holder = excluded.holder, node = excluded.node, ends = excluded.ends"
    );
    server().sql(&database, &sql);
    for words in [
        &["ledger", "nodes"][..],
        &["ledger", "nodes", "--json"],
        &["ledger", "status"],
        &["ledger", "check"],
        &["ledger", "resume", "--reply-via", "/nowhere"],
        &["check"],
        &["check", "--json"],
        &["log"],
        &["log", "--json"],
        &["log", "--verify"],
        &["metrics"],
        &["report"],
    ] {
        let said = cli.run(words);
        assert!(said.out.len() + said.err.len() > 0, "{words:?}");
        assert_eq!(crate::outputs::unsafe_characters(&said.out), [], "{words:?}: {}", said.out);
        assert_eq!(crate::outputs::unsafe_characters(&said.err), [], "{words:?}: {}", said.err);
    }
}
