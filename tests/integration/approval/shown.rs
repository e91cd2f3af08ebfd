//! What users and sysadmins are shown of approvals: `pending`, `status`, `help`, `explain`, the ledger, and the protocol's vectors.

use mailsudo::config::{Gateway, Trusted};
use mailsudo::ledger::{self, ApprovalQueries, Story};
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{
    Code, CommandName, GatewayName, Key, PayloadDigest, RequestId, RunDigest, UnsignedRequest, UserName, Verdict,
    check_notice,
};
use mailsudo::system::clock::Clock;
use serde_json::Value;

use super::{Asked, KEY, Site, fact, field, key, message_to, result, text};
use crate::common::{explain, factor};

fn story(site: &Site, asked: &Asked) -> Story {
    let gateway = Gateway::open(site.gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let ledger =
        ledger::open(gateway.settings(), Trusted::caller(), Timeouts::DEFAULT.transaction).expect("the ledger");
    let mut id = [0; 32];
    hex::decode_to_slice(&asked.id, &mut id).expect("an id");
    ledger.story(&RequestId::from_bytes(id)).expect("a story")
}

#[test]
fn pending_lists_what_waits_for_me_and_from_me() {
    let mut site = Site::new("needed = 2\nwithin = \"1h\"");
    let (asked, _) = site.ask(&[("what", "a"), ("reason", "the disk is full")]);
    site.approve("dave", &asked);
    let carols = text(site.send("carol", "pending", &[]).reply());
    assert!(carols.contains("For you to judge:\n\nrisky what=a by alice\n"), "{carols}");
    for line in [format!("id       {}", asked.id), format!("digest   {}", asked.digest)] {
        assert!(carols.lines().any(|found| found.trim() == line), "{line}: {carols}");
    }
    assert!(carols.contains("reason   the disk is full") && carols.contains("approved by dave at "), "{carols}");
    assert!(carols.contains("Yours, for others to judge:\n\nNothing.\n"), "{carols}");
    let alices = text(site.send("alice", "pending", &[]).reply());
    assert!(
        alices.contains("For you to judge:\n\nNothing.\n\nYours, for others to judge:\n\nrisky what=a by alice\n"),
        "{alices}"
    );
    site.gateway.user("bob", crate::common::OTHER_KEY, "web");
    let bobs = text(site.send("bob", "pending", &[]).reply());
    assert!(!bobs.contains("alice"), "he may not judge it: {bobs}");
    let bad = site.send("carol", "pending", &[("id", "1")]);
    assert!(bad.refused("bad-parameter"), "{bad:?}");
    site.gateway.clock.forward(3600);
    assert!(!text(site.send("carol", "pending", &[]).reply()).contains("risky"), "it is too late");
}

#[test]
fn status_and_help_say_that_a_request_waits_and_for_whom() {
    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    site.approve("dave", &asked);
    let status = text(site.send("alice", "status", &[("id", &asked.id[..12])]).reply());
    assert!(status.contains("state    pending\n") && status.contains("needed   2\n"), "{status}");
    assert!(fact(&status, "approved").starts_with("by dave at "), "{status}");
    let help = text(site.send("alice", "help", &[]).reply());
    assert!(help.contains("    needs approval: 2 of carol, role:oncall\n") && help.contains("\npending\n"), "{help}");
    for bad in [&[("id", "12")][..], &[("id", asked.id.as_str())], &[("id", asked.id.as_str()), ("digest", "x")], &[]] {
        assert!(site.send("carol", "approve", bad).refused("bad-parameter"), "{bad:?}");
    }
}

#[test]
fn explain_says_what_would_be_asked_and_what_a_vote_would_do() {
    let mut site = Site::new("");
    let mail = site.mail("alice", "risky", &[("what", "a")]);
    let (would_run, lines) = explain(&site.gateway, &mail);
    let line =
        "approval: 1 of carol, role:oncall must approve it; it would wait, and a notice would go to bob, carol, dave";
    assert!(!would_run && lines.iter().any(|found| found == line), "{lines:#?}");
    let asked = site.asked();
    let arguments = [("id", asked.id.as_str()), ("digest", asked.digest.as_str())];
    let approval = site.mail("carol", "approve", &arguments);
    let (would_run, lines) = explain(&site.gateway, &approval);
    assert!(
        would_run && lines.last().is_some_and(|line| line.starts_with("vote: it is the last one needed")),
        "{lines:#?}"
    );
    let own = site.mail("alice", "approve", &arguments);
    let (would_run, lines) = explain(&site.gateway, &own);
    assert!(
        !would_run && lines.last().is_some_and(|line| line.starts_with("vote: refused: own-request")),
        "{lines:#?}"
    );
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"), "it has no effect");
    site.gateway.deliver(&approval);
    let (_, lines) = explain(&site.gateway, &asked.mail);
    assert!(lines.iter().any(|line| line.starts_with("approved: by carol at ")), "the history stays: {lines:#?}");
}

#[test]
fn the_history_is_kept_and_the_payload_only_while_it_waits() {
    let mut site = Site::new("");
    site.command("", "exclusive = false\n[payload]\ntype = \"text\"");
    let home = site.gateway.folder.path().display().to_string();
    site.gateway.write("hook", 0o644, &format!("cat > {home}/stdin\n"));
    site.gateway.clock.forward(30);
    let content = format!("table x\n{}\u{fc}ber\n", "y".repeat(5000));
    let time = site.gateway.clock.now();
    let unsigned = UnsignedRequest {
        gateway: GatewayName::try_from("berlin").expect("a name"),
        user: UserName::try_from("alice").expect("a name"),
        time,
        code: Code::parse(factor().code_at(time).expect("a code").as_str()).expect("a code"),
        command: CommandName::try_from("risky").expect("a name"),
        arguments: vec![(mailsudo::protocol::ParameterName::try_from("what").expect("a name"), "a".to_owned())],
        payload: Some(PayloadDigest::of(content.as_bytes())),
    };
    let block = unsigned.sign(&key(KEY)).expect("a block");
    let mail = format!(
        "From: alice@example.com\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n{block}\n--b\n\
         Content-Type: text/x-rules; charset=utf-8\nContent-Disposition: attachment\n\n{content}\n--b--\n"
    );
    let ended = site.gateway.deliver(&mail);
    let notice = message_to(&ended.replies, "carol");
    assert!(notice.contains(&format!("It gets {} bytes on standard input, sha256 ", content.len())), "{notice}");
    assert!(notice.contains("\n| table x\n| yyyy") && notice.contains(" more bytes are not shown]"), "{notice}");
    assert!(matches!(check_notice(&notice, &key(super::CAROL)).verdict, Verdict::Genuine(_)));
    let asked = Asked { id: field(&notice, "request: "), digest: field(&notice, "digest: "), mail };
    let kept = story(&site, &asked).payload.expect("a payload");
    assert_eq!(kept.content.as_deref(), Some(content.as_bytes()));
    let ended = site.approve("carol", &asked);
    assert_eq!(result(&message_to(&ended.replies, "alice")), "exit-0", "{ended:?}");
    assert_eq!(std::fs::read(site.gateway.path("stdin")).expect("a file"), content.as_bytes());
    let told = story(&site, &asked);
    let kept = told.payload.expect("a payload");
    assert_eq!((kept.content, kept.size), (None, content.len() as u64), "its bytes are gone, its digest stays");
    assert_eq!(told.votes.len(), 1);
    assert_eq!((told.votes[0].user.as_str(), told.votes[0].kind.word()), ("carol", "approved"));

    let denied = site.asked();
    site.deny("carol", &denied, "no");
    site.gateway.clock.forward(8 * 86_400);
    site.send("alice", "help", &[]);
    assert_eq!(story(&site, &denied).votes[0].words.as_deref(), Some("no"));
}

#[test]
fn the_ledger_forgets_an_approval_with_its_request_and_not_before() {
    let mut site = Site::new("");
    site.gateway.set("retention = \"7d\"");
    let asked = site.asked();
    site.deny("carol", &asked, "no");
    site.gateway.clock.forward(6 * 86_400);
    site.send("alice", "help", &[]);
    assert_eq!(story(&site, &asked).votes.len(), 1);
    site.gateway.clock.forward(2 * 86_400);
    site.send("alice", "help", &[]);
    assert_eq!(story(&site, &asked), Story::default());
    let left: u32 = site
        .gateway
        .ledger()
        .query_row("SELECT (SELECT count(*) FROM votes) + (SELECT count(*) FROM notices)", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(left, 0);
}

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors-next.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the vectors")).expect("JSON")
}

/// Worked examples made by an independent program (`vectors-next.json`).
#[test]
fn every_digest_and_notice_vector_is_as_its_maker_has_it() {
    let all = vectors();
    let word = |value: &Value, key: &str| value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}")).to_owned();
    let digests = all["digest"].as_array().expect("a list");
    for vector in digests {
        let argv: Vec<String> = vector["argv"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one.as_str().expect("text").to_owned())
            .collect();
        let id = RequestId::from_hex(&word(vector, "request")).expect("an id");
        let gateway = GatewayName::try_from(word(vector, "gateway")).expect("a name");
        let payload = vector["payload"].as_str().map(|hex| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(hex, &mut bytes).expect("hex");
            PayloadDigest::from_bytes(bytes)
        });
        let digest = RunDigest::of(&gateway, &id, &word(vector, "run_as"), &argv, payload);
        assert_eq!(digest.to_string(), word(vector, "digest"), "{}", vector["name"]);
    }
    let carol = Key::from_hex(&word(&all, "carol_hmac_key")).expect("a key");
    let notices = all["notice"].as_array().expect("a list");
    for vector in notices {
        let found = match check_notice(&word(vector, "text"), &carol).verdict {
            Verdict::Genuine(_) => "genuine",
            Verdict::Altered(_) => "altered",
            Verdict::NotGenuine => "not genuine",
        };
        assert_eq!(found, word(vector, "verdict"));
    }
    assert_eq!((digests.len(), notices.len()), (3, 3), "the file is read whole");
}
