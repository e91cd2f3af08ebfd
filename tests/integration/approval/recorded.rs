//! What the ledger has of votes: the event of each, and the record of the request while it runs.

use mailsudo::ledger::AuditEvent;

use super::{Asked, Site};

/// The kinds of all events but `replied`, in order.
fn kinds(site: &Site) -> Vec<&'static str> {
    let ledger = site.gateway.ledger();
    let mut statement = ledger.prepare("SELECT event FROM events ORDER BY number").expect("a statement");
    let events = statement.query_map([], |row| row.get::<_, String>(0)).expect("events");
    let kind = |event: String| AuditEvent::parse(&event).and_then(|event| event.kind()).expect("an event").word();
    events.map(|event| kind(event.expect("an event"))).filter(|kind| *kind != "replied").collect()
}

fn cancel(site: &mut Site, user: &str, asked: &Asked) {
    site.send(user, "cancel", &[("id", &asked.id)]);
}

#[test]
fn each_vote_is_an_event_of_its_kind() {
    let mut site = Site::new("needed = 2");
    let denied = site.asked();
    site.approve("carol", &denied);
    cancel(&mut site, "carol", &denied);
    site.deny("bob", &denied, "not now");
    let cancelled = site.asked();
    cancel(&mut site, "alice", &cancelled);
    assert_eq!(kinds(&site), ["pending", "approved", "withdrew", "denied", "pending", "cancelled"]);

    let approved = site.asked();
    site.approve("carol", &approved);
    site.approve("carol", &approved);
    site.approve("bob", &approved);
    assert_eq!(kinds(&site)[6..], ["pending", "approved", "refused", "approved", "finished"]);

    let lapsed = site.asked();
    site.gateway.clock.forward(3 * 3600);
    site.approve("carol", &lapsed);
    assert_eq!(kinds(&site)[11..], ["pending", "refused"]);
}

/// A delivery that dies now leaves the record like this.
#[test]
fn while_an_approved_request_runs_its_record_has_its_hold_and_no_result_nor_reply() {
    let mut site = Site::new("");
    site.command("", "exclusive = true");
    let asked = site.asked();
    let home = site.gateway.folder.path().display();
    let hook = format!("mkdir {home}/copy; cp {home}/ledger/* {home}/copy/");
    site.gateway.write("hook", 0o644, &hook);
    site.approve("carol", &asked);
    let ledger = rusqlite::Connection::open(site.gateway.path("copy/ledger.db")).expect("the copy");
    let sql = "SELECT state, result IS NULL AND reply IS NULL AND handed_over IS NULL, holds_until IS NOT NULL
               FROM requests WHERE name = ?1";
    let id = hex::decode(&asked.id).expect("an id");
    let record = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found: (String, bool, bool) = ledger.query_row(sql, [id], record).expect("a record");
    assert_eq!(found, ("started".to_owned(), true, true), "it holds its command");
    assert_eq!(site.state(&asked), "finished");
}

/// Nobody is left to be answered, so nothing waits to be sent.
#[test]
fn a_requester_who_leaves_during_the_run_leaves_no_reply_open() {
    let mut site = Site::new("");
    let asked = site.asked();
    let alice = site.gateway.path("users.d/alice.toml");
    site.gateway.write("hook", 0o644, &format!("rm {}", alice.display()));
    let ended = site.approve("carol", &asked);
    assert_eq!((super::recipients(&ended.replies), site.runs()), (vec!["carol".to_owned()], 1), "{ended:?}");
    assert_eq!((site.state(&asked).as_str(), site.open_messages()), ("finished", (0, 0)));
}

#[test]
fn what_becomes_of_approvals_is_counted() {
    let mut site = Site::new("");
    for asked in 1..3_u32 {
        site.asked();
        let sql = "SELECT value FROM counters WHERE series = 'approval asked'";
        let counted: u32 = site.gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
        assert_eq!(counted, asked);
    }
}
