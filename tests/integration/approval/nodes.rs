//! Approvals on a ledger in PostgreSQL that several mail servers share: one takes the request, others take the votes.

use super::{Asked, Site, fact, field, message_to, recipients, result};
use crate::common::TestGateway;
use crate::database::server::{DELIVER, server};
use crate::database::{new, set};

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
    other.gateway.clock.set(mailsudo::system::clock::Clock::now(&one.gateway.clock));
    let first = one.approve("carol", &asked);
    assert!(super::text(first.reply()).contains("1 of 2"), "{first:?}");
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
    let open = "SELECT (SELECT count(*) FROM mailsudo.requests WHERE replied IS NULL)
                     + (SELECT count(*) FROM mailsudo.notices WHERE sent IS NULL)";
    assert_eq!(server().sql(&database, open), "0");
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
    other.gateway.clock.set(mailsudo::system::clock::Clock::now(&one.gateway.clock));
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
    other.gateway.clock.set(mailsudo::system::clock::Clock::now(&one.gateway.clock));
    let ended = other.deny("dave", &denied, "no");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "denied");
    assert!(one.approve("carol", &denied).refused("not-pending"));
    let ended = other.send("alice", "cancel", &[("id", &cancelled.id)]);
    assert_eq!(recipients(&ended.replies), ["alice", "alice"]);
    let listed = super::text(other.send("carol", "pending", &[]).reply());
    assert!(listed.contains(&late.id) && !listed.contains(&denied.id) && !listed.contains(&cancelled.id), "{listed}");
    other.gateway.clock.forward(700);
    let ended = other.approve("dave", &late);
    assert!(ended.refused("not-pending"), "{ended:?}");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "lapsed");
    assert_eq!(one.runs() + other.runs(), 0);
}

/// It may have been approved and have run in what was lost.
#[test]
fn a_request_that_waits_for_approval_does_not_run_after_a_failover() {
    let (mut one, _, database) = nodes("");
    one.gateway.clock.set(mailsudo::system::clock::Clock::now(&mailsudo::system::clock::SystemClock));
    let asked = ask(&mut one);
    server().sql(&database, "UPDATE mailsudo.ledger SET timeline = '00000000'");
    one.gateway.clock.forward(200);
    let ended = one.approve("carol", &asked);
    assert!(ended.refused("failed-over"), "{ended:?}");
    let told = message_to(&ended.replies, "alice");
    assert_eq!(result(&told), "unknown");
    assert!(!super::text(&told).contains("Nothing was run"), "{told}");
    assert!(one.approve("dave", &asked).refused("not-pending"));
    assert_eq!(one.runs(), 0);
}
