//! Each row of the second table of docs/protocol.md, rule 9: what a vote records, what it uses, and who is told.

use super::{Asked, OTHER_KEY, Site, recipients};
use crate::common::ssh::SoftKey;

/// What one vote did.
#[derive(Debug, PartialEq)]
struct Found {
    /// The rule that refused it; empty for a vote that counts.
    refused: &'static str,
    /// To whom messages went.
    told: Vec<&'static str>,
    state: &'static str,
    runs: usize,
}

/// A row: how the request came to be as it is, the vote, and what is found.
struct Row {
    finding: &'static str,
    needed: u32,
    before: fn(&mut Site, &Asked),
    vote: fn(&Site, &Asked) -> String,
    found: Found,
}

fn vote(site: &Site, user: &str, command: &str, asked: &Asked) -> String {
    let all = [("id", asked.id.as_str()), ("digest", asked.digest.as_str()), ("reason", "so it is")];
    let arguments = match command {
        "cancel" => &all[..1],
        "approve" => &all[..2],
        _ => &all[..],
    };
    site.mail(user, command, arguments)
}

const NOTHING: fn(&mut Site, &Asked) = |_, _| {};

fn refused(reason: &'static str, user: &'static str, state: &'static str) -> Found {
    Found { refused: reason, told: vec![user], state, runs: usize::from(state == "finished") }
}

fn counts(told: &[&'static str], state: &'static str) -> Found {
    Found { refused: "", told: told.to_vec(), state, runs: usize::from(state == "finished") }
}

fn row(
    finding: &'static str,
    needed: u32,
    before: fn(&mut Site, &Asked),
    vote: fn(&Site, &Asked) -> String,
    found: Found,
) -> Row {
    Row { finding, needed, before, vote, found }
}

/// Votes on what is not the voter's to judge.
fn not_theirs() -> Vec<Row> {
    vec![
        row(
            "the requester approves",
            1,
            NOTHING,
            |s, a| vote(s, "alice", "approve", a),
            refused("own-request", "alice", "pending"),
        ),
        row(
            "the requester denies",
            1,
            NOTHING,
            |s, a| vote(s, "alice", "deny", a),
            refused("own-request", "alice", "pending"),
        ),
        row(
            "not an approver",
            1,
            |site, _| site.gateway.user("bob", OTHER_KEY, "other"),
            |s, a| vote(s, "bob", "approve", a),
            refused("unknown-request", "bob", "pending"),
        ),
        row(
            "unknown id",
            1,
            NOTHING,
            |s, a| vote(s, "carol", "approve", &Asked { id: "0f".repeat(32), ..a.clone() }),
            refused("unknown-request", "carol", "pending"),
        ),
        row(
            "wrong digest",
            1,
            NOTHING,
            |s, a| vote(s, "carol", "deny", &Asked { digest: "0f".repeat(32), ..a.clone() }),
            refused("unknown-request", "carol", "pending"),
        ),
        row(
            "cancel of what is neither the user's own nor approved by the user",
            1,
            NOTHING,
            |s, a| vote(s, "carol", "cancel", a),
            refused("unknown-request", "carol", "pending"),
        ),
        row(
            "the requester under another name",
            1,
            |site, _| {
                let file = "address = \"carol@example.com\"\nfrom = [\"carol@example.com\", \"alice@example.com\"]\nroles = []\n";
                site.gateway.write("users.d/carol.toml", 0o644, file);
            },
            |s, a| vote(s, "carol", "approve", a),
            refused("own-request", "carol", "pending"),
        ),
    ]
}

/// Votes on what is decided already.
fn too_late() -> Vec<Row> {
    let lapse: fn(&mut Site, &Asked) = |site, _| {
        site.command("", "exclusive = false");
        site.gateway.clock.forward(3 * 3600);
    };
    vec![row("lapsed", 1, lapse, |s, a| vote(s, "carol", "approve", a), {
        Found { refused: "not-pending", told: vec!["alice", "carol"], state: "lapsed", runs: 0 }
    })]
}

/// Votes on a pending request, by a user who may judge it.
fn in_time() -> Vec<Row> {
    vec![
        row(
            "denied before",
            1,
            |site, asked| drop(site.deny("dave", asked, "no")),
            |s, a| vote(s, "carol", "approve", a),
            refused("not-pending", "carol", "denied"),
        ),
        row(
            "cancelled before",
            1,
            |site, asked| drop(site.send("alice", "cancel", &[("id", &asked.id)])),
            |s, a| vote(s, "carol", "approve", a),
            refused("not-pending", "carol", "cancelled"),
        ),
        row(
            "ran before",
            1,
            |site, asked| drop(site.approve("dave", asked)),
            |s, a| vote(s, "carol", "deny", a),
            refused("not-pending", "carol", "finished"),
        ),
        row("denied", 1, NOTHING, |s, a| vote(s, "carol", "deny", a), counts(&["alice", "carol"], "denied")),
        row("cancelled", 1, NOTHING, |s, a| vote(s, "alice", "cancel", a), counts(&["alice", "alice"], "cancelled")),
        row(
            "approved already by this user",
            2,
            |site, asked| drop(site.approve("carol", asked)),
            |s, a| vote(s, "carol", "approve", a),
            refused("already-approved", "carol", "pending"),
        ),
        row(
            "approved without an SSH signature, where the command requires one",
            1,
            |site, _| {
                site.command("", "exclusive = false\nrequire_signature = true");
                let keys = format!("ssh_keys = [\"{}\"]", SoftKey::new(1).public());
                let file = format!("address = \"carol@example.com\"\nroles = [\"desk\"]\n{keys}\n");
                site.gateway.write("users.d/carol.toml", 0o644, &file);
            },
            |s, a| vote(s, "carol", "approve", a),
            refused("no-signature", "carol", "pending"),
        ),
        row(
            "approval counted, more needed",
            2,
            NOTHING,
            |s, a| vote(s, "carol", "approve", a),
            counts(&["carol"], "pending"),
        ),
        row(
            "approval taken back",
            2,
            |site, asked| drop(site.approve("carol", asked)),
            |s, a| vote(s, "carol", "cancel", a),
            counts(&["carol"], "pending"),
        ),
        row(
            "last approval",
            1,
            NOTHING,
            |s, a| vote(s, "carol", "approve", a),
            counts(&["alice", "carol"], "finished"),
        ),
        row(
            "last approval: no longer permitted",
            1,
            |site, _| site.gateway.user("alice", super::KEY, "nothing"),
            |s, a| vote(s, "carol", "approve", a),
            counts(&["bob", "dave", "alice", "carol"], "lapsed"),
        ),
    ]
}

#[test]
fn each_vote_is_recorded_uses_its_step_counts_to_no_lockout_and_is_answered() {
    for row in [not_theirs(), too_late(), in_time()].into_iter().flatten() {
        let mut site = Site::new(&format!("needed = {}", row.needed));
        let asked = site.asked();
        (row.before)(&mut site, &asked);
        let runs = site.runs();
        let before = site.gateway.recorded();
        let mail = (row.vote)(&site, &asked);
        let ended = site.gateway.deliver(&mail);
        let is_refused = |reason: &str| reason.is_empty() || ended.refused(reason);
        let mut told = recipients(&ended.replies);
        let mut wanted: Vec<_> = row.found.told.iter().map(|user| (*user).to_owned()).collect();
        told.sort();
        wanted.sort();
        let what = format!("{}: {ended:#?}", row.finding);
        assert!(is_refused(row.found.refused) && ended.deferred.is_none(), "{what}");
        assert_eq!(
            row.found.refused.is_empty(),
            !ended.log.iter().any(|line| line.contains("event=refused")),
            "{what}"
        );
        assert_eq!(told, wanted, "{what}");
        assert_eq!((site.state(&asked).as_str(), site.runs()), (row.found.state, row.found.runs.max(runs)), "{what}");
        assert_eq!(site.gateway.recorded(), (before.0 + 1, before.1 + 1), "{what}");
        let lockouts = "SELECT count(*) FROM lockouts";
        let lockouts: u32 = site.gateway.ledger().query_row(lockouts, [], |row| row.get(0)).expect("a count");
        assert_eq!(lockouts, 0, "{what}");
        let again = site.gateway.deliver(&mail);
        assert!(again.refused("duplicate") && again.replies.is_empty(), "{}: {again:#?}", row.finding);
        assert_eq!(site.runs(), row.found.runs.max(runs), "{}", row.finding);
    }
}
