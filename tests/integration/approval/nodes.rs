//! Approvals on a ledger in PostgreSQL that several mail servers share: one takes the request, others take the votes.

use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::Clock;

use super::at_once::{all_at_once, for_many, sent};
use super::{Asked, Site, fact, field, key_of, message_to, recipients, result, text};
use crate::common::{TestGateway, block, mail};
use crate::database::server::{DELIVER, OWNER, server};
use crate::database::{as_owner, new, open, owner_of, set};

/// How many replies and notices are not sent.
const OPEN: &str = "SELECT (SELECT count(*) FROM mailsudo.requests WHERE replied IS NULL)
                     + (SELECT count(*) FROM mailsudo.notices WHERE sent IS NULL)";

/// Two nodes, with one ledger and the same configuration.
fn nodes(approval: &str) -> (Site, Site, String) {
    let (gateway, database) = new(server(), "");
    let one = Site::of(gateway, approval);
    let other = Site::of(TestGateway::new(), approval);
    set(&other.gateway, &format!("url = \"{}\"", server().url(DELIVER, &database)));
    let file = "commands.d/risky.toml";
    let same = std::fs::read_to_string(one.gateway.path(file)).expect("a command");
    other.gateway.write(file, 0o644, &same);
    (one, other, database)
}

fn ask(site: &mut Site) -> Asked {
    let mail = site.mail("alice", "risky", &[("what", "a")]);
    let ended = site.gateway.deliver(&mail);
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "dave", "alice"]);
    let pending = message_to(&ended.replies, "alice");
    Asked { id: field(&pending, "request: "), digest: fact(&pending, "digest"), mail }
}

#[test]
fn one_node_asks_and_others_approve_and_it_runs_once() {
    let (mut one, mut other, database) = nodes("needed = 2");
    let asked = ask(&mut one);
    other.gateway.clock.set(Clock::now(&one.gateway.clock));
    let first = one.approve("carol", &asked);
    assert!(text(first.reply()).contains("1 of 2"), "{first:?}");
    assert!(other.gateway.deliver(&asked.mail).refused("duplicate"), "each node knows it");
    other.gateway.clock.forward(60);
    let approval = other.mail("dave", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    let ended = other.gateway.deliver(&approval);
    assert_eq!(recipients(&ended.replies), ["alice", "dave"], "{ended:?}");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "exit-0");
    assert_eq!(one.runs() + other.runs(), 1);
    for site in [&mut one, &mut other] {
        site.gateway.clock.forward(600);
        assert!(site.gateway.deliver(&approval).refused("duplicate"));
        assert!(site.approve("bob", &asked).refused("not-pending"));
    }
    assert_eq!(server().sql(&database, OPEN), "0");
}

#[test]
fn a_node_that_dies_after_it_has_claimed_the_run_is_followed_by_another() {
    let (mut one, mut other, database) = nodes("");
    let asked = ask(&mut one);
    let approval = one.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    one.gateway.deliver(&approval);
    let died =
        "UPDATE mailsudo.requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL, finished = NULL,
                replied = NULL";
    server().sql(&database, died);
    other.gateway.clock.set(Clock::now(&one.gateway.clock));
    let ended = other.gateway.deliver(&approval);
    assert_eq!(recipients(&ended.replies), ["alice", "carol"], "{ended:?}");
    for user in ["alice", "carol"] {
        assert_eq!(result(&message_to(&ended.replies, user)), "unknown");
    }
    assert_eq!(one.runs() + other.runs(), 1, "it is not run again");
    assert!(one.gateway.deliver(&asked.mail).refused("duplicate"));
}

#[test]
fn denials_lapses_and_cancellations_are_the_same_on_each_node() {
    let (mut one, mut other, _) = nodes("within = \"10m\"");
    let (denied, cancelled, late) = (ask(&mut one), ask(&mut one), ask(&mut one));
    other.gateway.clock.set(Clock::now(&one.gateway.clock));
    let ended = other.deny("dave", &denied, "no");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "denied");
    assert!(one.approve("carol", &denied).refused("not-pending"));
    let ended = other.send("alice", "cancel", &[("id", &cancelled.id)]);
    assert_eq!(recipients(&ended.replies), ["alice", "alice"]);
    let listed = text(other.send("carol", "pending", &[]).reply());
    assert!(listed.contains(&late.id) && !listed.contains(&denied.id) && !listed.contains(&cancelled.id), "{listed}");
    other.gateway.clock.forward(700);
    let ended = other.approve("dave", &late);
    assert!(ended.refused("not-pending"), "{ended:?}");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "lapsed");
    assert_eq!(one.runs() + other.runs(), 0);
}

/// Each vote comes to a mail server of its own, and the requester's mail again to both.
#[test]
fn two_votes_in_the_same_second_on_two_nodes_run_it_at_most_once() {
    for round in 0..6 {
        let (one, other, database) = nodes(if round % 2 == 0 { "needed = 1" } else { "needed = 2" });
        for_many(&one);
        for_many(&other);
        let now = Clock::now(&one.gateway.clock).seconds();
        let mail_of = |user: &str, ago: i64, command: &str, arguments: &[(&str, &str)]| {
            let signed = Timestamp::from_seconds(now - ago);
            mail(&format!("{user}@example.com"), &block(user, key_of(user), signed, command, arguments, None))
        };
        let request = mail_of("alice", 60, "risky", &[("what", "a")]);
        assert!(all_at_once(&[(&one, &request)]));
        let notice = message_to(&sent(&one), "carol");
        let (id, digest) = (field(&notice, "request: "), field(&notice, "digest: "));
        let approve = |user: &str| mail_of(user, 30, "approve", &[("id", &id), ("digest", &digest)]);
        let (carol, dave) = (approve("carol"), approve("dave"));
        let deny = mail_of("bob", 30, "deny", &[("id", &id), ("digest", &digest), ("reason", "no")]);
        let mut mails = vec![(&one, &carol), (&other, &dave), (&one, &request), (&other, &request), (&other, &carol)];
        if round >= 4 {
            mails.push((&other, &deny));
        }
        let mails: Vec<_> = mails.into_iter().map(|(site, mail)| (site, mail.as_str())).collect();
        // Of two deliveries of one mail at the same time, one is deferred and comes again.
        for _ in 0..2 {
            all_at_once(&mails);
        }
        for mail in &mails {
            assert!((0..20).any(|_| all_at_once(&[*mail])), "{round}: what was deferred is handled in the end");
        }
        let name = format!("\nMessage-ID: <{id}@example.com>\n");
        let all: Vec<_> = sent(&one).into_iter().chain(sent(&other)).collect();
        let last: Vec<_> = all.iter().filter(|message| message.contains(&name)).collect();
        assert_eq!(last.len(), 1, "{round}: one final reply: {all:#?}");
        let runs = one.runs() + other.runs();
        match result(&text(last[0])).as_str() {
            "exit-0" => assert_eq!(runs, 1, "{round}"),
            "denied" if round >= 4 => assert_eq!(runs, 0, "{round}"),
            ended => panic!("{round}: {ended}"),
        }
        assert_eq!(server().sql(&database, OPEN), "0", "{round}");
    }
}

/// A gateway that moves from SQLite while requests wait.
#[test]
fn what_waits_for_approval_moves_with_its_ledger() {
    let database = server().database();
    let mut site = Site::new("needed = 2");
    let asked = ask(&mut site);
    let denied = ask(&mut site);
    assert!(text(site.approve("carol", &asked).reply()).contains("1 of 2"));
    site.deny("dave", &denied, "no");
    let ids = [&asked, &denied].map(|asked| mailsudo::protocol::RequestId::from_hex(&asked.id).expect("an id"));
    let stories = |site: &Site| {
        let ledger = open(&site.gateway).expect("a ledger");
        ids.map(|id| (ledger.story(&id).expect("a story"), ledger.record(&id).expect("asked").expect("a record")))
    };
    let before = stories(&site);
    let from = format!("sqlite:{}", site.gateway.path("ledger/ledger.db").display());
    set(&site.gateway, &format!("url = \"{}\"", server().url(DELIVER, &database)));
    let url = owner_of(server(), &database);
    as_owner(&site.gateway, &url, |owner| mailsudo::ledger::init_database(owner, None)).expect("a ledger");
    for _ in 0..2 {
        let mut copy = std::process::Command::new(env!("CARGO_BIN_EXE_mailsudo"));
        copy.args(["ledger", "copy", &from, &server().url(OWNER, &database), "--config"])
            .arg(site.gateway.folder.path());
        let done = copy.output().expect("mailsudo");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(stories(&site), before, "a copy may be repeated");
    }
    let listed = text(site.send("carol", "pending", &[]).reply());
    assert!(listed.contains(&asked.id) && !listed.contains(&denied.id), "{listed}");
    assert!(site.approve("carol", &asked).refused("already-approved"));
    assert!(site.approve("carol", &denied).refused("not-pending"));
    assert_eq!(result(&message_to(&site.approve("dave", &asked).replies, "alice")), "exit-0");
    assert_eq!(site.runs(), 1);
}

/// It may have been approved and have run in what was lost.
#[test]
fn a_request_that_waits_for_approval_does_not_run_after_a_failover() {
    let (mut one, _, database) = nodes("");
    one.gateway.clock.set(Clock::now(&mailsudo::system::clock::SystemClock));
    let asked = ask(&mut one);
    server().sql(&database, "UPDATE mailsudo.ledger SET timeline = '00000000'");
    one.gateway.clock.forward(200);
    let ended = one.approve("carol", &asked);
    assert!(ended.refused("failed-over"), "{ended:?}");
    let told = message_to(&ended.replies, "alice");
    assert_eq!(result(&told), "unknown");
    assert!(!text(&told).contains("Nothing was run"), "{told}");
    assert!(one.approve("dave", &asked).refused("not-pending"));
    assert_eq!(one.runs(), 0);
}
