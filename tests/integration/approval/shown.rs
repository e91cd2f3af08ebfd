//! What users and sysadmins are shown of approvals: `pending`, `status`, `help`, `explain`, the ledger, and the
//! protocol's vectors.

use mailsudo::config::{Gateway, Trusted};
use mailsudo::ledger::{self, Story};
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{
    Code, CommandName, GatewayName, Key, PayloadDigest, RequestId, RunDigest, UnsignedRequest, UserName, Verdict,
    check_notice,
};
use mailsudo::system::clock::{Clock, SystemClock};
use serde_json::Value;

use super::{Asked, KEY, Site, fact, field, key, message_to, result, text};
use crate::cli::CliGateway;
use crate::common::{block, explain, factor};

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
    assert!(
        carols.contains("    reason   | the disk is full\n") && carols.contains("approved by dave at "),
        "{carols}"
    );
    assert!(carols.contains("Yours, for others to judge:\n\nNothing.\n"), "{carols}");
    let alices = text(site.send("alice", "pending", &[]).reply());
    assert!(
        alices.contains("For you to judge:\n\nNothing.\n\nYours, for others to judge:\n\nrisky what=a by alice\n"),
        "{alices}"
    );
    site.gateway.user("bob", crate::common::OTHER_KEY, "web");
    let bobs = text(site.send("bob", "pending", &[]).reply());
    assert!(!bobs.contains("alice"), "bob may not judge it: {bobs}");
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

/// A mail of alice's that asks for `risky` with a payload as an attachment.
fn with_payload(site: &Site, content: &str) -> String {
    site.gateway.clock.forward(30);
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
    format!(
        "From: alice@example.com\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n{block}\n--b\n\
         Content-Type: text/x-rules; charset=utf-8\nContent-Disposition: attachment\n\n{content}\n--b--\n"
    )
}

/// The rules of the moment of the run count for the payload and the reason too. Whatever ends it, its bytes are gone.
#[test]
fn a_payload_or_a_reason_that_the_command_takes_no_more_ends_the_request() {
    const RULE: &str = "exclusive = false\n[payload]\n";
    for (what, approval, more, why) in [
        ("no payload any more", "", "exclusive = false", "the command takes no payload"),
        ("a smaller limit", "", "exclusive = false\n[payload]\nmax = \"3B\"", "at most 3 are taken"),
        ("another type", "", "exclusive = false\n[payload]\ntype = \"json\"", "the payload is not JSON"),
        ("a reason", "reason = true", RULE, "the requester must give a reason"),
    ] {
        let mut site = Site::new("");
        site.command("", RULE);
        let mail = with_payload(&site, "table x");
        let pending = message_to(&site.gateway.deliver(&mail).replies, "alice");
        let asked = Asked { id: field(&pending, "request: "), digest: fact(&pending, "digest"), mail };
        assert!(story(&site, &asked).payload.is_some_and(|payload| payload.content.is_some()), "{what}");
        site.command(approval, more);
        let ended = site.approve("carol", &asked);
        let told = message_to(&ended.replies, "alice");
        assert!(result(&told) == "lapsed" && told.contains(why), "{what}: {told}");
        assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "lapsed"), "{what}");
        assert!(story(&site, &asked).payload.is_some_and(|payload| payload.content.is_none()), "{what}");
    }
    // A payload that is required now, and was not given.
    let mut site = Site::new("");
    site.command("", RULE);
    let asked = site.asked();
    site.command("", "exclusive = false\n[payload]\nrequired = true");
    let ended = site.approve("carol", &asked);
    assert!(message_to(&ended.replies, "alice").contains("the command needs a payload"), "{ended:?}");
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "lapsed"));
    for (user, vote) in [("carol", "deny"), ("alice", "cancel")] {
        let mut site = Site::new("");
        site.command("", RULE);
        let mail = with_payload(&site, "table x");
        let pending = message_to(&site.gateway.deliver(&mail).replies, "alice");
        let asked = Asked { id: field(&pending, "request: "), digest: fact(&pending, "digest"), mail };
        if vote == "deny" {
            site.deny(user, &asked, "no")
        } else {
            site.send(user, vote, &[("id", &asked.id)])
        };
        assert!(story(&site, &asked).payload.is_some_and(|payload| payload.content.is_none()), "{vote}");
    }
}

#[test]
fn the_history_is_kept_and_the_payload_only_while_it_waits() {
    let mut site = Site::new("");
    site.command("", "exclusive = false\n[payload]\ntype = \"text\"");
    let home = site.gateway.folder.path().display().to_string();
    site.gateway.write("hook", 0o644, &format!("cat > {home}/stdin\n"));
    let content = format!("table x\n{}\u{fc}ber\n", "y".repeat(5000));
    let mail = with_payload(&site, &content);
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

/// A gateway by the program alone: alice may ask, carol and dave may approve.
fn by_the_program() -> CliGateway {
    let test_gateway = CliGateway::new();
    test_gateway.write(
        "commands.d/risky.toml",
        "summary = \"Risky\"\nrun_as = \"nobody\"\nargv = [\"/bin/echo\", \"{what}\"]\n\
         [parameters.what]\none_of = [\"a\", \"b\"]\n\
         [approval]\nby = [\"carol\", \"role:oncall\"]\nreason = true\nexcept = [\"breakglass\"]\n[allow.web]\n",
    );
    for (user, role) in [("carol", None), ("dave", Some("oncall")), ("bob", Some("web"))] {
        let (address, key) = (format!("{user}@example.com"), format!("{user}.key"));
        let mut words = vec!["user", "add", user, "--address", &address, "--key-file", &key];
        words.extend(role.into_iter().flat_map(|role| ["--role", role]));
        let added = test_gateway.run(&words);
        assert_eq!(added.status, 0, "{}", added.err);
    }
    test_gateway
}

#[test]
fn the_program_says_who_must_approve_and_tells_the_whole_story() {
    let test_gateway = by_the_program();
    let may = |words: &[&str]| test_gateway.run(&[&["may", "alice", "risky", "what=a"], words].concat());
    assert!(may(&[]).out.starts_with("deny: `reason` is missing"), "{}", may(&[]).out);
    let permit = may(&["reason=x"]);
    assert!(permit.out.starts_with("permit: [allow.web] in commands.d/risky.toml: "), "{}", permit.out);
    assert!(permit.out.ends_with("; after approval by 1 of carol, role:oncall\n"), "{}", permit.out);
    for built_in in ["approve", "deny", "cancel", "pending"] {
        assert!(test_gateway.run(&["may", "alice", built_in]).out.contains("is built in"), "{built_in}");
    }
    let shown = test_gateway.run(&["command", "show", "risky"]).out;
    for line in [
        "approval   1 of carol, role:oncall\n",
        "within     2h to approve, then 15m to start\n",
        "reason     required\n",
        "except     role breakglass: runs at once, and every approver is told\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let json: Value =
        serde_json::from_str(&test_gateway.run(&["command", "show", "risky", "--json"]).out).expect("JSON");
    assert_eq!(
        (&json["approval"]["by"][1], &json["approval"]["within_seconds"]),
        (&"role:oncall".into(), &7200.into())
    );

    let folder = test_gateway.path("sent");
    std::fs::create_dir(&folder).expect("a folder");
    let sendmail = format!("#!/bin/sh\nfor to; do :; done\ncat > {}/$to\n", folder.display());
    test_gateway.program("sendmail", &sendmail);
    let via = test_gateway.path("sendmail").display().to_string();
    let request = test_gateway.eml(&["risky", "what=a", "reason=the disk is full"]);
    let ended = test_gateway.run_with(&["deliver", "--reply-via", &via], &request);
    assert!(ended.err.contains("event=pending"), "{}", ended.err);
    let read = |user: &str| std::fs::read_to_string(folder.join(format!("{user}@example.com"))).expect("a message");
    let verified = test_gateway.run_with(&["verify", "--key", "carol.key"], &read("carol"));
    assert_eq!(verified.status, 0, "{}", verified.out);
    assert!(verified.out.starts_with("genuine: gateway berlin asks carol about request "), "{}", verified.out);
    assert!(
        verified.out.contains("\n| the disk is full") || verified.out.contains("| | the disk is full"),
        "{}",
        verified.out
    );
    let foreign = test_gateway.run_with(&["verify", "--key", "alice.key"], &read("carol"));
    assert_eq!(
        (foreign.status, foreign.out.as_str()),
        (1, "not genuine: no reply or notice that this key has signed\n")
    );
    let altered =
        test_gateway.run_with(&["verify", "--key", "carol.key"], &read("carol").replace("    a\n", "    b\n"));
    assert!(altered.status == 1 && altered.out.contains("its text was altered"), "{}", altered.out);
    let footer = read("carol") + "\nPlease approve quickly.\n";
    assert_eq!(test_gateway.run_with(&["verify", "--key", "carol.key"], &footer).status, 1);

    let id = text(&read("alice")).lines().find_map(|line| line.strip_prefix("request  ")).expect("an id").to_owned();
    let told = test_gateway.run(&["log", "show", &id]).out;
    for part in [
        "state       pending\n",
        "approval    1 needed, until ",
        "asked for   the disk is full\n",
        "notice      ask to carol, 20",
        "notice      ask to dave, 20",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(test_gateway.run(&["log", "--state", "pending"]).out.contains("  pending"), "it is found by its state");
    let json: Value = serde_json::from_str(&test_gateway.run(&["log", "show", &id, "--json"]).out).expect("JSON");
    assert_eq!((&json["approval"]["needed"], &json["notices"][0]["user"]), (&1.into(), &"carol".into()));

    let notice = text(&read("carol"));
    let vote = block(
        "carol",
        &hmac_key(&test_gateway, "carol"),
        SystemClock.now(),
        "approve",
        &[("id", &field(&notice, "request: ")), ("digest", &field(&notice, "digest: "))],
        Some(&code(&test_gateway, "carol")),
    );
    let ended =
        test_gateway.run_with(&["deliver", "--reply-via", &via], &crate::common::mail("carol@example.com", &vote));
    assert!(ended.err.contains("event=voted"), "{}", ended.err);
    let told = test_gateway.run(&["log", "show", &id]).out;
    for part in ["state       finished\n", "result      exit-0\n", "approved    by carol at 20", ", request "] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json: Value = serde_json::from_str(&test_gateway.run(&["log", "show", &id, "--json"]).out).expect("JSON");
    assert_eq!((&json["votes"][0]["user"], &json["votes"][0]["vote"]), (&"carol".into(), &"approved".into()));
}

fn secrets(test_gateway: &CliGateway, user: &str) -> String {
    std::fs::read_to_string(test_gateway.path(&format!("secrets.d/{user}.toml"))).expect("secrets")
}

fn hmac_key(test_gateway: &CliGateway, user: &str) -> String {
    secrets(test_gateway, user).split('"').nth(1).expect("a key").to_owned()
}

fn code(test_gateway: &CliGateway, user: &str) -> String {
    let all = secrets(test_gateway, user);
    let url = all.split('"').find(|word| word.starts_with("otpauth://")).expect("a URL");
    let factor = mailsudo::authenticate::Factor::from_url(url).expect("a factor");
    factor.code_at(SystemClock.now()).expect("a code").as_str().to_owned()
}

#[test]
fn check_wants_more_approvers_than_needed_and_each_once() {
    let test_gateway = by_the_program();
    let found = || {
        let said = test_gateway.run(&["check", "--json"]);
        let all: Value = serde_json::from_str(&said.out).expect("JSON");
        let all = all.as_array().or_else(|| all["findings"].as_array()).expect("a list").clone();
        let about = |one: &&Value| one["check"] == "approval" || one["about"] == "approval";
        all.iter().filter(about).map(|one| (one["level"].to_string(), one["what"].to_string())).collect::<Vec<_>>()
    };
    let risky = std::fs::read_to_string(test_gateway.path("commands.d/risky.toml")).expect("a command");
    test_gateway.write("commands.d/risky.toml", &risky.replace("except = [\"breakglass\"]\n", ""));
    let all = found();
    assert!(all.len() == 1 && all[0].0.contains("ok"), "{all:?}");
    let change = |from: &str, to: &str, wanted: &str| {
        let text = risky.replace("except = [\"breakglass\"]\n", "").replace(from, to);
        test_gateway.write("commands.d/risky.toml", &text);
        let all = found();
        assert!(all.iter().any(|(level, what)| level.contains("error") && what.contains(wanted)), "{wanted}: {all:?}");
    };
    change("reason = true", "needed = 2", "more must exist and be enabled than are needed");
    change("\"carol\", ", "", "1 can approve");
    change("\"carol\", ", "\"nobody\", \"carol\", ", "nobody is to approve risky, and there is no such user");
    change("role:oncall", "role:none", "role:none is to approve");
    let same = std::fs::read_to_string(test_gateway.path("users.d/dave.toml")).expect("a user");
    test_gateway.write("users.d/dave.toml", &same.replace("dave@example.com", "carol@example.com"));
    change("", "", "carol and dave have the same address, key or SSH key");
    test_gateway.write("users.d/dave.toml", &format!("enabled = false\n{same}"));
    change("", "", "1 can approve");
}

#[test]
fn the_names_of_the_votes_are_taken() {
    let test_gateway = by_the_program();
    for name in ["approve", "deny", "cancel", "pending"] {
        let file = format!("commands.d/{name}.toml");
        test_gateway.write(&file, "summary = \"s\"\nrun_as = \"nobody\"\nargv = [\"/bin/true\"]\n[allow.web]\n");
        let said = test_gateway.run(&["command", "list"]);
        assert!(said.err.contains(&format!("`{name}` is a built-in command; rename the file")), "{}", said.err);
        std::fs::remove_file(test_gateway.path(&file)).expect("removed");
    }
    test_gateway.write(
        "commands.d/x.toml",
        "summary = \"s\"\nrun_as = \"nobody\"\nargv = [\"/bin/echo\", \"{reason}\"]\n[parameters.reason]\none_of = [\"a\"]\n\
         [approval]\nby = [\"carol\"]\n[allow.web]\n",
    );
    let said = test_gateway.run(&["command", "list"]);
    assert!(said.err.contains("[approval] takes `reason` for the requester's reason"), "{}", said.err);
}
