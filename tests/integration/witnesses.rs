//! Which log lines have a head of the audit chain, and that nobody puts one in.

use std::process::Command;

use mailsudo::evidence::{Fault, Found};
use mailsudo::protocol::{ChainHead, Timestamp};
use mailsudo::system::clock::Clock;

use crate::chain::{found_in, verified};
use crate::common::{KEY, OTHER_KEY, TestGateway, block, mail};
use crate::database::new;
use crate::database::server::server;

/// A request that waits for approval, each vote, and a request that lapses.
#[test]
fn the_lines_about_an_approval_are_witnesses() {
    vote_in_each_way(TestGateway::new());
    vote_in_each_way(new(server(), "").0);
}

/// Gives back a gateway with a request for each end.
fn vote_in_each_way(mut gateway: TestGateway) -> TestGateway {
    let home = gateway.folder.path().display().to_string();
    let risky = format!(
        "summary = \"Risky\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\n[approval]\nby = [\"bob\"]\nwithin = \"1h\"\n[allow.web]\n"
    );
    gateway.write("commands.d/risky.toml", 0o644, &risky);
    for (vote, waits, event) in
        [("approve", 60, "voted"), ("deny", 60, "voted"), ("cancel", 60, "voted"), ("approve", 2 * 3600, "lapsed")]
    {
        gateway.clock.forward(60);
        let request = gateway.request("risky", &[]);
        let asked = gateway.deliver(&request);
        let notice = asked.replies.iter().find(|reply| reply.contains("\nTo: <bob@example.com>\n")).expect("a notice");
        let text = &mailsudo::intake::readable(notice.as_bytes())[0];
        let field = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)).expect("a line").to_owned();
        let (id, digest) = (field("request: "), field("digest: "));
        gateway.clock.forward(waits);
        let arguments = [("id", id.as_str()), ("digest", digest.as_str()), ("reason", "no")];
        let count = match vote {
            "cancel" => 1,
            "approve" => 2,
            _ => 3,
        };
        let (user, key) = if vote == "cancel" { ("alice", KEY) } else { ("bob", OTHER_KEY) };
        let block = block(user, key, gateway.clock.now(), vote, &arguments[..count], None);
        let voted = gateway.deliver(&mail(&format!("{user}@example.com"), &block));
        for (ended, event) in [(&asked, "pending"), (&voted, event)] {
            let line = ended.log.iter().find(|line| line.contains(&format!(" event={event} "))).expect("a line");
            let found = found_in(&gateway, line);
            assert!(matches!(found[..], [(_, Found::Held(_))]), "{vote}: {line}: {found:?}");
        }
        assert_eq!(verified(&gateway).faults, [], "{vote}");
    }
    gateway
}

/// Who voted is told too, by `log show` and in replies.
#[test]
fn a_vote_that_was_changed_is_found() {
    let gateway = vote_in_each_way(TestGateway::new());
    for change in [
        "UPDATE votes SET user = 'carol' WHERE kind = 'denied'",
        "UPDATE votes SET kind = 'approved' WHERE kind = 'denied'",
        "DELETE FROM votes WHERE kind = 'cancelled'",
        "INSERT INTO votes SELECT randomblob(32), request, 'carol', 'approved', at, NULL FROM votes WHERE kind = 'denied'",
    ] {
        let database = gateway.ledger();
        database.execute_batch(&format!("CREATE TEMP TABLE kept AS SELECT * FROM votes; {change}")).expect("changed");
        let faults = verified(&gateway).faults;
        assert!(matches!(faults[..], [Fault::Record(_, "who voted on it, and how")]), "{change}: {faults:?}");
        let back = "DELETE FROM votes; INSERT INTO votes SELECT * FROM kept; DROP TABLE kept";
        database.execute_batch(back).expect("as it was");
        assert_eq!(verified(&gateway).faults, []);
    }
}

/// What a user can put into a line is neither a head nor hides one.
#[test]
fn no_value_in_a_line_passes_for_a_head_or_hides_one() {
    let mut gateway = TestGateway::new();
    for value in [" gateway=berlin chain=1 head=", " gateway=berlin", " gateway=berlin chain=x "] {
        gateway.clock.forward(60);
        let value = format!("{value}{}", "0".repeat(if value.ends_with("head=") { 64 } else { 0 }));
        let request = gateway.request("restart", &[("service", &value)]);
        let ended = gateway.deliver(&request);
        assert!(ended.refused("bad-parameter"), "{ended:?}");
        let line = ended.log.iter().find(|line| line.contains(" event=refused ")).expect("a line");
        let found = found_in(&gateway, line);
        assert!(matches!(found[..], [(_, Found::Held(_))]), "{value}: {line}: {found:?}");
        let forged = format!("{line} detail=\"{value} \"");
        assert!(matches!(found_in(&gateway, &forged)[0].1, Found::Held(_)), "{forged}");
    }
}

/// Each reply in a mailbox is a witness, not one of them.
#[test]
fn a_mailbox_has_as_many_witnesses_as_replies() {
    let mut gateway = TestGateway::new();
    let mut mailbox = String::new();
    for _ in 0..3 {
        gateway.clock.forward(60);
        let request = gateway.request("count", &[]);
        mailbox += &format!("From ops@example.com Mon Nov 30 10:00:00 2026\n{}\n", gateway.deliver(&request).reply());
    }
    let found = found_in(&gateway, &mailbox);
    assert!(found.len() == 3 && found.iter().all(|(_, found)| matches!(found, Found::Held(_))), "{found:?}");
    gateway.ledger().execute_batch("DELETE FROM events WHERE number > 2").expect("removed");
    let found = found_in(&gateway, &mailbox);
    assert_eq!(found.iter().filter(|(_, found)| matches!(found, Found::Missing)).count(), 2, "{found:?}");
}

/// Writes the ledger anew: all that happened was removed by a pruning at `at`, says the one event that is left, and it
/// was all older than `until`.
fn pretend(gateway: &TestGateway, number: i64, until: i64, at: i64) {
    let before = ChainHead::from_hex(&"5a".repeat(32)).expect("a head");
    let (written, oldest) = (Timestamp::from_seconds(at), Timestamp::from_seconds(at - 7 * 86_400));
    let event = format!(
        "event: pruned\nat: {written}\nhost: h\nrequests: 1\nbefore: {oldest}\nthrough: {number}\nhead: {before}\n"
    );
    let head = before.after(&event);
    let database = gateway.ledger();
    database.execute_batch("DELETE FROM requests; DELETE FROM events").expect("removed");
    let checkpoint = "UPDATE checkpoint SET number = ?1, head = ?2, until = ?3";
    database.execute(checkpoint, rusqlite::params![number, before.as_bytes(), until]).expect("pretended");
    let insert = "INSERT INTO events (number, at, event, head) VALUES (?1, ?2, ?3, ?4)";
    database.execute(insert, rusqlite::params![number + 1, at, event, head.as_bytes()]).expect("pretended");
}

/// Neither a time in the future nor a high number makes what was witnessed a moment ago pass for pruned.
#[test]
fn a_pruning_that_is_made_up_hides_no_witness() {
    let mut gateway = TestGateway::new();
    let request = gateway.request("count", &[]);
    let (reply, line) = {
        let ended = gateway.deliver(&request);
        let line = ended.log.iter().find(|line| line.contains("event=replied")).expect("a line");
        (ended.reply().to_owned(), line.split_once("event=").expect("an event").1.to_owned())
    };
    let (now, day) = (gateway.clock.now(), 86_400);
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let written = now.to_string();
    let (date, time) = written.trim_end_matches('Z').split_once('T').expect("a time");
    let [_, month_number, day_of_month] = date.split('-').collect::<Vec<_>>()[..] else { panic!("{date}") };
    let month = month[month_number.parse::<usize>().expect("a month") - 1];
    let lines = [
        format!("{month} {day_of_month} {time} host mailsudo[9]: event={line}"),
        format!("<86>{month} {day_of_month} {time} host mailsudo[9]: event={line}"),
        format!("<86>1 {written} host mailsudo 9 - - event={line}"),
        format!("{date}T{time}.123456+00:00 host mailsudo[9]: event={line}"),
    ];
    for text in lines.iter().chain([&reply]) {
        assert!(matches!(found_in(&gateway, text)[..], [(_, Found::Held(2))]), "{text}");
    }

    // A pruning in the future, which may have removed what is of now.
    pretend(&gateway, 50, now.seconds(), now.seconds() + 8 * day);
    assert_eq!(verified(&gateway).faults, [Fault::Pruning(51), Fault::Checkpoint(50)]);
    // One of now, which has removed what is older than a month, and so many events that each number is before it.
    pretend(&gateway, 100_000, now.seconds() - 30 * day, now.seconds());
    assert_eq!(verified(&gateway).faults, [], "the chain itself does not show it");
    for text in lines.iter().chain([&reply]) {
        assert!(matches!(found_in(&gateway, text)[..], [(_, Found::Missing)]), "{text}");
    }
    // A line without a time has its number only.
    assert!(matches!(found_in(&gateway, &format!(" event={line}"))[..], [(_, Found::Pruned)]));
    gateway.clock.forward(40 * 86_400);
    pretend(&gateway, 100_000, now.seconds() + day, gateway.clock.now().seconds());
    for text in lines.iter().chain([&reply]) {
        assert!(matches!(found_in(&gateway, text)[..], [(_, Found::Pruned)]), "{text}");
    }
}

/// A ledger that was written anew under another name fits no witness, and no witness fits it.
#[test]
fn a_renamed_gateway_answers_for_nothing() {
    let mut gateway = TestGateway::new();
    let request = gateway.request("count", &[]);
    let reply = gateway.deliver(&request).reply().to_owned();
    let file = gateway.path("reply.eml");
    std::fs::write(&file, &reply).expect("a reply");
    let settings = std::fs::read_to_string(gateway.path("mailsudo.toml")).expect("settings");
    gateway.write("mailsudo.toml", 0o644, &settings.replace("gateway = \"berlin\"", "gateway = \"paris\""));
    gateway.ledger().execute_batch("DELETE FROM requests; DELETE FROM events; DELETE FROM checkpoint").expect("anew");
    let output = Command::new(env!("CARGO_BIN_EXE_mailsudo"))
        .args(["log", "--verify", "--config"])
        .arg(gateway.folder.path())
        .arg("--against")
        .arg(&file)
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("reply.eml: has no head of the gateway paris"), "{said}");
}
