//! Deliveries about approvals that die, or are repeated.

use mailsudo::config::Trusted;
use mailsudo::ledger;
use mailsudo::limits::Timeouts;
use mailsudo::protocol::RequestId;
use mailsudo::system::clock::Clock;

use super::{Asked, Site, message_to, recipients, result, text};

/// Lets sendmail take so many messages more, and refuse all after them.
fn take(site: &Site, messages: usize) {
    let home = site.gateway.folder.path().display();
    let sent = std::fs::read_dir(site.gateway.path("replies")).expect("replies").count();
    site.gateway.write(
        "sendmail",
        0o755,
        &format!(
            "#!/bin/sh\nn=$(ls {home}/replies | wc -l)\n[ $n -lt {} ] || exit 75\ncat > \"{home}/replies/$n\"\n",
            sent + messages
        ),
    );
}

#[test]
fn notices_are_sent_again_byte_for_byte_and_only_those_that_are_missing() {
    let mut undisturbed = Site::new("");
    let mail = undisturbed.mail("alice", "risky", &[("what", "a")]);
    let whole = undisturbed.gateway.deliver(&mail).replies;
    for taken in 0..4 {
        let mut site = Site::new("");
        let mail = site.mail("alice", "risky", &[("what", "a")]);
        take(&site, taken);
        let first = site.gateway.deliver(&mail);
        assert_eq!((first.deferred, first.replies.len()), (Some("sendmail"), taken), "{first:?}");
        take(&site, 10);
        site.gateway.clock.forward(3600);
        let second = site.gateway.deliver(&mail);
        let all: Vec<_> = first.replies.iter().chain(&second.replies).cloned().collect();
        // The two gateways are in two folders.
        let plain = |messages: &[String], site: &Site| {
            let home = site.gateway.folder.path().display().to_string();
            messages.iter().map(|message| text(message).replace(&home, "/GATEWAY")).collect::<Vec<_>>()
        };
        assert_eq!(recipients(&all), ["bob", "carol", "dave", "alice"], "each once");
        for (one, other) in plain(&all, &site).iter().zip(plain(&whole, &undisturbed)) {
            let above = |text: &str| text.split_once("mailsudo-").expect("a block").0.to_owned();
            let bare =
                |text: &str| above(text).lines().filter(|line| !line.contains("digest")).collect::<Vec<_>>().join("\n");
            assert_eq!(bare(one), bare(&other));
        }
        assert!(site.gateway.deliver(&mail).refused("duplicate"));
        assert_eq!(site.open_messages(), (0, 0));
    }
    // A notice that was sent, but not marked as sent, is the same to the byte the second time.
    let mut site = Site::new("");
    let mail = site.mail("alice", "risky", &[("what", "a")]);
    let first = site.gateway.deliver(&mail);
    site.gateway.ledger().execute("UPDATE notices SET sent = NULL", []).expect("changed");
    site.gateway.ledger().execute("UPDATE requests SET handed_over = NULL", []).expect("changed");
    site.gateway.clock.forward(3600);
    assert_eq!(site.gateway.deliver(&mail).replies, first.replies);
}

#[test]
fn a_notice_that_comes_too_late_is_not_sent() {
    let mut site = Site::new("");
    let mail = site.mail("alice", "risky", &[("what", "a")]);
    take(&site, 2);
    let first = site.gateway.deliver(&mail);
    assert_eq!(recipients(&first.replies), ["bob", "carol"]);
    take(&site, 10);
    let carol = message_to(&first.replies, "carol");
    let asked = Asked { id: super::field(&carol, "request: "), digest: super::field(&carol, "digest: "), mail };
    let ended = site.approve("carol", &asked);
    assert_eq!((recipients(&ended.replies), site.runs()), (vec!["alice".into(), "carol".into()], 1));
    let ended = site.gateway.deliver(&asked.mail);
    assert!(ended.refused("duplicate") && ended.replies.is_empty(), "its final reply was sent: {ended:?}");
    assert_eq!(site.open_messages(), (0, 0));
}

/// As a delivery of the last approval leaves it that died after it had claimed the run.
fn orphan(site: &Site, asked: &Asked) {
    let started =
        "UPDATE requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL, finished = NULL,
                   handed_over = NULL WHERE name = ?1 OR command = 'approve'";
    let id = hex::decode(&asked.id).expect("an id");
    assert_eq!(site.gateway.ledger().execute(started, [id]).expect("changed"), 2);
}

#[test]
fn an_unknown_outcome_of_a_requester_who_has_left_leaves_no_reply_open() {
    let mut site = Site::new("");
    let asked = site.asked();
    let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    site.gateway.deliver(&approval);
    orphan(&site, &asked);
    std::fs::remove_file(site.gateway.path("users.d/alice.toml")).expect("removed");
    let ended = site.gateway.deliver(&approval);
    assert_eq!((recipients(&ended.replies), site.open_messages()), (vec!["carol".to_owned()], (0, 0)), "{ended:?}");
}

#[test]
fn an_approving_delivery_that_dies_leaves_an_unknown_outcome_that_both_are_told_once() {
    for requester_first in [true, false] {
        let mut site = Site::new("");
        let asked = site.asked();
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        site.gateway.deliver(&approval);
        orphan(&site, &asked);
        let mails = if requester_first { [&asked.mail, &approval] } else { [&approval, &asked.mail] };
        let mut replies = Vec::new();
        for mail in mails {
            replies.extend(site.gateway.deliver(mail).replies);
        }
        let mut to = recipients(&replies);
        to.sort_unstable();
        assert_eq!(to, ["alice", "carol"], "each once: {replies:#?}");
        let last = message_to(&replies, "alice");
        assert!(last.starts_with("outcome unknown: risky what=a\n"), "{last}");
        let own = message_to(&replies, "carol");
        assert!(
            own.contains("was the last one needed, and the gateway recorded its start, and has no record of its end."),
            "{own}"
        );
        assert_eq!((result(&last), result(&own)), ("unknown".to_owned(), "unknown".to_owned()));
        for mail in mails {
            assert!(site.gateway.deliver(mail).refused("duplicate"));
        }
        assert_eq!((site.runs(), site.open_messages()), (1, (0, 0)), "it is not run again");
        let ended = "SELECT count(*) FROM requests WHERE state = 'finished' AND result = 'unknown'
                     AND finished IS NOT NULL AND reply IS NOT NULL AND handed_over IS NOT NULL";
        let ended: u32 = site.gateway.ledger().query_row(ended, [], |row| row.get(0)).expect("a count");
        assert_eq!(ended, 2, "both are recorded as ended");
    }
}

#[test]
fn replies_that_could_not_be_sent_are_sent_by_the_next_delivery_of_either_mail() {
    for (taken, first) in [(0, true), (0, false), (1, true)] {
        let mut site = Site::new("");
        let asked = site.asked();
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        take(&site, taken);
        let ended = site.gateway.deliver(&approval);
        assert_eq!((ended.deferred, site.runs()), (Some("sendmail"), 1), "{ended:?}");
        let mut replies = ended.replies;
        take(&site, 10);
        let mails = if first { [&approval, &asked.mail] } else { [&asked.mail, &approval] };
        for mail in mails {
            replies.extend(site.gateway.deliver(mail).replies);
        }
        let mut to = recipients(&replies);
        to.sort_unstable();
        assert_eq!(to, ["alice", "carol"], "{taken} {first}: {replies:#?}");
        assert_eq!((site.runs(), site.open_messages()), (1, (0, 0)));
    }
}

#[test]
fn while_another_delivery_works_on_the_request_a_vote_waits_or_is_deferred() {
    let mut site = Site::new("");
    let asked = site.asked();
    let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    let path = site.gateway.path("ledger/ledger.db");
    let gateway = mailsudo::config::Gateway::open(site.gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let other = ledger::open(gateway.settings(), Trusted::caller(), Timeouts::DEFAULT.transaction).expect("the ledger");
    assert!(path.exists());
    let mut id = [0; 32];
    hex::decode_to_slice(&asked.id, &mut id).expect("an id");
    let id = RequestId::from_bytes(id);
    let lock = other.lock(&id).expect("asked").expect("a lock");
    let ended = site.gateway.deliver(&approval);
    assert_eq!((ended.deferred, site.runs()), (Some("busy"), 0), "{ended:?}");
    assert_eq!(other.story(&id).expect("read").votes, []);
    drop(lock);
    let ended = site.gateway.deliver(&approval);
    assert_eq!((recipients(&ended.replies), site.runs()), (vec!["alice".into(), "carol".into()], 1));
}

#[test]
fn an_exception_whose_delivery_died_is_still_marked_and_everyone_is_told() {
    let mut site = Site::new("except = [\"breakglass\"]");
    site.gateway.user("alice", crate::common::KEY, "web\", \"breakglass");
    let mail = site.mail("alice", "risky", &[("what", "a")]);
    site.gateway.deliver(&mail);
    let died = "UPDATE requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL, finished = NULL,
                handed_over = NULL";
    site.gateway.ledger().execute(died, []).expect("changed");
    site.gateway.ledger().execute("UPDATE notices SET sent = NULL", []).expect("changed");
    let ended = site.gateway.deliver(&mail);
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "dave", "alice"]);
    let own = message_to(&ended.replies, "alice");
    assert!(
        own.starts_with("outcome unknown: risky") && own.contains("\nWITHOUT APPROVAL: this did not wait"),
        "{own}"
    );
    assert!(message_to(&ended.replies, "carol").starts_with("STARTED WITHOUT APPROVAL"));
    assert_eq!((site.runs(), site.open_messages()), (1, (0, 0)));
}

/// A gateway where no command can be started.
fn unable(site: &Site) {
    let settings = std::fs::read_to_string(site.gateway.path("mailsudo.toml")).expect("the settings");
    let broken = settings.replace("run_via = \"direct\"", "run_via = \"direct\"\ntimeout = \"/no/such/timeout\"");
    site.gateway.write("mailsudo.toml", 0o644, &broken);
}

#[test]
fn what_was_approved_and_could_not_be_started_is_not_said_to_have_run() {
    for show in ["", "show_output = false"] {
        let mut site = Site::new(show);
        let asked = site.asked();
        unable(&site);
        let ended = site.approve("carol", &asked);
        for user in ["alice", "carol"] {
            let told = message_to(&ended.replies, user);
            assert!(told.starts_with("refused: ") && result(&told) == "refused", "{told}");
            assert!(told.to_lowercase().contains("nothing was run") && !told.contains("it ran"), "{told}");
        }
        let late = site.approve("dave", &asked);
        assert!(text(late.reply()).contains("it was approved, and nothing was run: the gateway could not start it ("));
        assert_eq!((site.runs(), site.open_messages()), (0, (0, 0)));
    }
}

#[test]
fn an_exception_that_could_not_be_started_is_not_said_to_have_run() {
    let mut site = Site::new("except = [\"breakglass\"]");
    site.gateway.user("alice", crate::common::KEY, "web\", \"breakglass");
    unable(&site);
    let ended = site.send("alice", "risky", &[("what", "a")]);
    let told = message_to(&ended.replies, "carol");
    assert!(told.starts_with("NOT RUN, WITHOUT APPROVAL: risky what=a\n"), "{told}");
    assert!(told.contains("Nothing was run, because the gateway could not start it. Nobody was asked"), "{told}");
    let asked =
        Asked { id: super::field(&told, "request: "), digest: super::field(&told, "digest: "), mail: String::new() };
    let late = site.approve("carol", &asked);
    assert!(text(late.reply()).contains("needed no approval, by the role breakglass, and nothing was run"), "{late:?}");
    assert_eq!((site.runs(), site.open_messages()), (0, (0, 0)));
}

#[test]
fn an_approving_delivery_that_was_stopped_before_the_run_says_that_nothing_was_run() {
    let mut late = 0;
    for left in 0..8 {
        let mut site = Site::new("");
        let asked = site.asked();
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        let gateway =
            mailsudo::config::Gateway::open(site.gateway.folder.path(), Trusted::caller()).expect("a gateway");
        let clock = crate::failover::Stopped {
            now: site.gateway.clock.now(),
            left: std::cell::Cell::new(left),
            stop: std::time::Duration::from_secs(20),
        };
        let context = crate::common::context(&gateway, &site.gateway.envelope, &clock, site.gateway.timeouts);
        let mut audit = mailsudo::audit::Audit::new(gateway.settings(), None);
        let transport = mailsudo::reply::ReplyTransport::Sendmail(site.gateway.path("sendmail"));
        let before = site.gateway.replies().len();
        crate::common::deliver(&context, &transport, approval.as_bytes(), &mut audit).expect("an answer");
        let replies = site.gateway.replies().split_off(before);
        let told = message_to(&replies, "alice");
        if site.runs() == 0 {
            assert!(
                told.contains("\nNothing was run: the gateway was stopped") && result(&told) == "refused",
                "{told}"
            );
            let own = message_to(&replies, "carol");
            assert!(own.contains("\nNothing was run: the gateway was stopped") && result(&own) == "refused", "{own}");
            late += 1;
        } else {
            assert_eq!(result(&told), "exit-0", "{told}");
        }
        for mail in [&approval, &asked.mail] {
            assert!(site.gateway.deliver(mail).refused("duplicate"));
        }
    }
    assert_eq!(late, 1, "once it was stopped there");
}

#[test]
fn a_request_that_was_recorded_while_the_clock_was_wrong_does_not_wait_for_years() {
    let mut site = Site::new("");
    let asked = site.asked();
    let year = 365 * 86_400;
    site.gateway.ledger().execute("UPDATE approvals SET until = until + ?1", [year]).expect("changed");
    let ended = site.approve("carol", &asked);
    assert!(ended.refused("not-pending"), "{ended:?}");
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "lapsed"));
}

#[test]
fn only_the_broken_file_of_an_approver_who_is_named_keeps_a_request_back() {
    let mut site = Site::new("");
    site.gateway.write("users.d/dave.toml", 0o644, "roles = 7\n");
    let (_, ended) = site.ask(&[("what", "a")]);
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "alice"], "dave has the role `oncall`, and is not named");
    site.gateway.write("users.d/carol.toml", 0o644, "roles = 7\n");
    let ended = site.send("alice", "risky", &[("what", "a")]);
    assert_eq!((ended.deferred, ended.replies.len()), (Some("configuration"), 0), "{ended:?}");
}
