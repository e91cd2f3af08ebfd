//! Secret parameters: their values reach the command, and nothing else that a run writes or says.

use std::fs;
use std::path::Path;
use std::process::Command;

use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::Clock;

use crate::chain::verified;
use crate::common::{Ended, KEY, OTHER_KEY, TestGateway, block, explain, mail};

const VALUE: &str = "hunter2-Zq81xv";

/// alice may run `set`, whose `password` is secret; with `approval`, bob must approve it.
fn gateway(approval: bool) -> TestGateway {
    let gateway = TestGateway::new();
    command(&gateway, "secret = true\n", approval);
    gateway
}

fn command(gateway: &TestGateway, secret: &str, approval: bool) {
    let home = gateway.folder.path().display();
    let approval = if approval { "[approval]\nby = [\"bob\"]\n" } else { "" };
    let text = format!(
        "summary = \"Set\"\nrun_as = \"root\"\nargv = [\"{home}/command\", \"{{account}}\", \"--password={{password}}\"]\n\
         exclusive = false\n\
         [parameters.account]\npattern = \"^[a-z]+$\"\nmax_length = 20\n\
         [parameters.password]\npattern = \"^[A-Za-z0-9-]+$\"\nmax_length = 40\n{secret}{approval}[allow.web]\n"
    );
    gateway.write("commands.d/set.toml", 0o644, &text);
}

fn send(gateway: &mut TestGateway, user: &str, command: &str, arguments: &[(&str, &str)]) -> (String, Ended) {
    gateway.clock.forward(30);
    let key = if user == "alice" { KEY } else { OTHER_KEY };
    let block = block(user, key, gateway.clock.now(), command, arguments, None);
    let mail = mail(&format!("{user}@example.com"), &block);
    let ended = gateway.deliver(&mail);
    (mail, ended)
}

const SET: [(&str, &str); 2] = [("account", "web"), ("password", VALUE)];

/// Where the value stands among what a delivery logged and sent, and among all files but the command's own.
fn found(gateway: &TestGateway, said: &[&Ended]) -> Vec<String> {
    let mut found = Vec::new();
    for ended in said {
        let texts = ended.replies.iter().flat_map(|reply| {
            let mut texts = mailsudo::intake::readable(reply.as_bytes());
            texts.push(reply.clone());
            texts
        });
        found.extend(ended.log.iter().cloned().chain(texts).filter(|text| text.contains(VALUE)));
    }
    search(gateway.folder.path(), &mut found);
    found
}

fn search(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            search(&path, found);
        } else if let Ok(content) = fs::read(&path)
            && content.windows(VALUE.len()).any(|window| window == VALUE.as_bytes())
            && !path.ends_with("ran")
        {
            found.push(path.display().to_string());
        }
    }
}

/// What the program prints.
fn program(gateway: &TestGateway, words: &[&str], input: &str) -> String {
    let file = gateway.path("input");
    fs::write(&file, input).expect("an input");
    let output = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .args(words)
        .args(["--config".as_ref(), gateway.folder.path()])
        .stdin(fs::File::open(&file).expect("the input"))
        .output()
        .expect("the program");
    fs::remove_file(file).expect("removed");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_value_reaches_the_command_and_nothing_else() {
    let mut gateway = gateway(false);
    let (mail, ran) = send(&mut gateway, "alice", "set", &SET);
    assert_eq!(gateway.runs(), [format!("web --password={VALUE}")]);
    let reply = &mailsudo::intake::readable(ran.reply().as_bytes())[0];
    assert!(reply.contains("ok: set account=web password=[secret]"), "{reply}");
    assert!(reply.contains("ran with web --password=[secret]"), "the command's own output: {reply}");
    let line = |event: &str| ran.log.iter().find(|line| line.contains(event)).expect("a line").clone();
    assert!(line("event=admitted").contains("arguments=\"account=web password=[secret]\""), "{ran:?}");
    assert!(line("event=started").contains("web --password=[secret:"), "{ran:?}");

    let (_, status) = send(&mut gateway, "alice", "status", &[]);
    assert!(mailsudo::intake::readable(status.reply().as_bytes())[0].contains("password=[secret]"));
    let again = gateway.deliver(&mail);
    assert!(again.refused("duplicate"));
    let (_, explained) = explain(&gateway, &mail);
    let explained = explained.join("\n");
    assert!(explained.contains("arg: account=web") && explained.contains("arg: password=[secret]"), "{explained}");
    assert!(!explained.contains(VALUE), "{explained}");
    for words in [
        &["log"][..],
        &["log", "--json"],
        &["metrics"],
        &["may", "alice", "set", "account=web", &format!("password={VALUE}")],
        &["command", "show", "set"],
        &["sudoers"],
        &["explain"],
    ] {
        let said = program(&gateway, words, &mail);
        assert!(!said.contains(VALUE), "{words:?}: {said}");
    }
    assert_eq!(found(&gateway, &[&ran, &status, &again]), Vec::<String>::new());
}

/// Where nobody can say which argument is the secret one, none is recorded.
#[test]
fn a_refused_value_stays_secret_too() {
    let mut gateway = gateway(false);
    let mut all = Vec::new();
    for (command, arguments) in [
        ("set", &[("account", "web"), ("pasword", VALUE)][..]),
        ("set", &[("account", VALUE), ("password", VALUE), ("x", "y")]),
        ("st", &SET),
        ("secret", &SET),
        ("status", &SET),
        ("approve", &[("id", "0"), ("password", VALUE)]),
    ] {
        let (mail, ended) = send(&mut gateway, "alice", command, arguments);
        assert!(ended.log.iter().any(|line| line.contains("event=refused")), "{ended:?}");
        if arguments[0].1 != VALUE {
            let (_, explained) = explain(&gateway, &mail);
            assert!(!explained.join("\n").contains(VALUE), "{explained:?}");
            all.push(ended);
        }
    }
    // A value of a parameter that is not secret is no secret, even if it is the same.
    let shown = "account=hunter2-Zq81xv\npassword=[secret:";
    let sql = "SELECT count(*) FROM requests WHERE instr(arguments, ?1) = 1";
    let recorded: u32 = gateway.ledger().query_row(sql, [shown], |row| row.get(0)).expect("a count");
    assert_eq!(recorded, 1);
    for ended in &all {
        let said = [ended.log.clone(), mailsudo::intake::readable(ended.reply().as_bytes())].concat().join("\n");
        assert!(!said.contains(VALUE), "{said}");
    }
    let unknown = |ended: &Ended| mailsudo::intake::readable(ended.reply().as_bytes())[0].replace("secret ", "st ");
    let first = |ended: &Ended| unknown(ended).lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(&all[1]), first(&all[2]), "unknown and forbidden commands look the same");

    let old = Timestamp::from_seconds(gateway.clock.now().seconds() - 4000);
    let stale = gateway.deliver(&mail("alice@example.com", &gateway.block(old, "set", &SET)));
    assert!(stale.refused("stale") && !stale.reply().contains(VALUE), "{stale:?}");
}

#[test]
fn with_approval_the_reason_is_shown_and_a_value_under_a_wrong_name_is_not() {
    let mut gateway = gateway(true);
    let given = [("account", "web"), ("pasword", VALUE), ("reason", "the old one leaked")];
    let (_, ended) = send(&mut gateway, "alice", "set", &given);
    assert!(ended.refused("bad-parameter"), "{ended:?}");
    let reply = &mailsudo::intake::readable(ended.reply().as_bytes())[0];
    assert!(reply.starts_with("refused: set account=web pasword=[secret] reason=the old one leaked\n"), "{reply}");
    assert_eq!(found(&gateway, &[&ended]), Vec::<String>::new());
}

#[test]
fn a_command_that_cannot_start_logs_no_value() {
    let mut gateway = gateway(false);
    gateway.write("commands.d/set.toml", 0o644, &{
        let text = fs::read_to_string(gateway.path("commands.d/set.toml")).expect("a command");
        text.replace("exclusive = false", "exclusive = false\ntimeout = \"1s\"")
    });
    let folder = gateway.folder.path().display().to_string();
    let settings = fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    gateway.write("mailsudo.toml", 0o644, &format!("{settings}timeout = \"{folder}/missing\"\n"));
    let (_, ended) = send(&mut gateway, "alice", "set", &SET);
    assert!(ended.log.iter().any(|line| line.contains("cannot run") && line.contains("[secret:")), "{ended:?}");
    assert_eq!(found(&gateway, &[&ended]), Vec::<String>::new());
}

fn asked(gateway: &mut TestGateway) -> (String, String, Ended) {
    let (_, ended) = send(gateway, "alice", "set", &SET);
    let texts: Vec<_> = ended.replies.iter().flat_map(|reply| mailsudo::intake::readable(reply.as_bytes())).collect();
    let notice = texts.iter().find(|text| text.contains("mailsudo-notice: 1")).expect("a notice");
    let field = |key: &str| {
        notice.lines().rev().find_map(|line| line.strip_prefix(key)).expect("a line of the block").to_owned()
    };
    assert!(notice.contains("    --password=[secret:"), "the approver sees the mark that is compared: {notice}");
    let (id, digest) = (field("request: "), field("digest: "));
    (id, digest, ended)
}

/// How long the mark in the recorded argument vector is.
fn sealed(gateway: &TestGateway) -> usize {
    let sql = "SELECT argv FROM requests WHERE command = 'set'";
    let argv: String = gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("an argument vector");
    argv.split_once("\nweb\n--password=").expect("both arguments").1.len()
}

#[test]
fn an_approved_value_is_the_one_that_was_asked_for() {
    let mut gateway = gateway(true);
    let (id, digest, ask) = asked(&mut gateway);
    assert_eq!(found(&gateway, &[&ask]), Vec::<String>::new(), "while it is pending");
    assert!(sealed(&gateway) > "[secret:]".len() + 32, "it is sealed in the ledger");
    let listed = program(&gateway, &["log", "--json"], "");
    let mark = listed.split_once("--password=").expect("the argument vector").1.split_once(']').expect("a mark").0;
    assert_eq!(mark.len(), "[secret:".len() + 32, "what is sealed is not shown: {listed}");
    let (_, pending) = send(&mut gateway, "bob", "pending", &[]);
    let (_, approved) = send(&mut gateway, "bob", "approve", &[("id", &id), ("digest", &digest)]);
    assert_eq!(gateway.runs(), [format!("web --password={VALUE}")], "{approved:?}");
    assert_eq!(approved.replies.len(), 2);
    assert_eq!(found(&gateway, &[&pending, &approved]), Vec::<String>::new());
    assert_eq!(sealed(&gateway), "[secret:]".len() + 32, "nothing is sealed any more");
}

/// What is sealed is not kept in the audit chain, which is exported; and the chain fits the record before and after.
#[test]
fn the_audit_chain_has_the_mark_and_nothing_sealed() {
    for vote in ["approve", "deny", "none"] {
        let mut gateway = gateway(true);
        let (id, digest, _) = asked(&mut gateway);
        let sealed = |gateway: &TestGateway, sql: &str| -> u32 {
            let sql = format!("SELECT count(*) FROM {sql}");
            gateway.ledger().query_row(&sql, [], |row| row.get(0)).expect("a count")
        };
        assert_eq!(
            sealed(&gateway, "requests WHERE argv GLOB '*[[]secret:*:*'"),
            1,
            "the control: it is in the record"
        );
        assert_eq!(verified(&gateway).faults, [], "{vote}, before");
        if vote != "none" {
            let arguments = [("id", id.as_str()), ("digest", digest.as_str()), ("reason", "no")];
            let count = if vote == "deny" { 3 } else { 2 };
            let (_, ended) = send(&mut gateway, "bob", vote, &arguments[..count]);
            assert_eq!(ended.replies.len(), 2, "{vote}: {ended:?}");
        }
        assert_eq!(verified(&gateway).faults, [], "{vote}, after");
        assert!(sealed(&gateway, "events WHERE event GLOB '*secret:*'") > 0, "the control: the mark is there");
        assert_eq!(
            sealed(&gateway, "events WHERE event GLOB '*secret:????????????????????????????????:*'"),
            0,
            "{vote}"
        );
    }
}

#[test]
fn a_value_whose_key_or_meaning_changed_does_not_run() {
    for change in ["key", "secret", "overlap"] {
        let mut gateway = gateway(true);
        let (id, digest, _) = asked(&mut gateway);
        let secrets = fs::read_to_string(gateway.path("secrets.d/alice.toml")).expect("secrets");
        let new = "5a".repeat(32);
        match change {
            "key" => gateway.write("secrets.d/alice.toml", 0o600, &secrets.replace(KEY, &new)),
            "overlap" => {
                let previous = format!("[previous]\nhmac_key = \"{KEY}\"\nuntil = 2026-12-01T00:00:00Z\n");
                gateway.write("secrets.d/alice.toml", 0o600, &format!("{}{previous}", secrets.replace(KEY, &new)));
            }
            _ => command(&gateway, "", true),
        }
        let (_, ended) = send(&mut gateway, "bob", "approve", &[("id", &id), ("digest", &digest)]);
        let texts: Vec<_> =
            ended.replies.iter().flat_map(|reply| mailsudo::intake::readable(reply.as_bytes())).collect();
        if change == "overlap" {
            assert_eq!(gateway.runs(), [format!("web --password={VALUE}")], "{ended:?}");
        } else {
            assert!(gateway.runs().is_empty(), "{change}: {ended:?}");
            assert!(texts.iter().any(|text| text.starts_with("lapsed")), "{change}: {texts:?}");
        }
        assert_eq!(found(&gateway, &[&ended]), Vec::<String>::new(), "{change}");
    }
}
