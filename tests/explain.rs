//! What `explain` says, whole, as a sysadmin reads it: one golden file, case by case, under a clock that stands still.
//! `SNAPSHOTS=overwrite cargo test --test explain` takes over what it says now; read the difference before you commit it.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{House, KEY, OTHER_KEY, TOTP, block, factor, mail};
use mailsudo::clock::Clock;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::explain::explain;
use mailsudo::ledger;
use mailsudo::patience::Patience;
use mailsudo::protocol::Timestamp;

const FROM: &str = "alice@example.com";

/// The cases so far, each with what `explain` says of it.
struct Story {
    house: House,
    text: String,
}

impl Story {
    /// Adds what `explain` says of `mail` now.
    fn tell(&mut self, title: &str, mail: &str) {
        let house = &self.house;
        let gateway = Gateway::open(house.folder.path(), Trusted::caller()).expect("a gateway");
        let open = || Ok(Box::new(ledger::open(gateway.settings(), Trusted::caller(), Patience::USUAL.page)?) as _);
        let mut said = String::new();
        let would_run = explain(&gateway, &house.envelope, &mut mail.as_bytes(), &house.clock, &open, &mut |line| {
            said.push_str(&format!("{line}\n"));
        });
        let said = said.replace(&house.folder.path().display().to_string(), "/GATEWAY");
        let end = if would_run { "it would run" } else { "it would not run" };
        self.text.push_str(&format!("## {title}: {end}\n\n{said}\n"));
    }

    /// What `explain` says of alice's request for `command`.
    fn request(&mut self, title: &str, command: &str, arguments: &[(&str, &str)]) {
        let mail = self.house.request(command, arguments);
        self.tell(title, &mail);
    }

    /// What it says of a request for `count` under another key, time or code.
    fn count(&mut self, title: &str, key: &str, seconds_ago: i64, code: Option<&str>) {
        let time = Timestamp::from_seconds(self.house.clock.now().seconds() - seconds_ago);
        self.tell(title, &mail(FROM, &block("alice", key, time, "count", &[], code)));
    }
}

#[test]
fn every_answer_reads_as_the_golden_file_has_it() {
    let mut story = Story { house: House::new(), text: String::new() };
    let now = story.house.clock.now();
    let right = factor().code_at(now).expect("a code");
    let wrong = if right.as_str() == "000000" { "000001" } else { "000000" };
    let arguments = [("service", "nginx"), ("level", "2")];

    story.request("A request for which all is well", "restart", &arguments);
    story.request("A built-in command", "help", &[]);
    let changed = story.house.request("restart", &arguments).replace("level=2", "level=9");
    story.tell("A wrong mac", &changed);
    story.count("A wrong code", KEY, 0, Some(wrong));
    story.count("Stale", KEY, 3600, None);
    story.count("From the future", KEY, -600, None);
    story.request("A forbidden command", "secret", &[]);
    story.request("A command that is not there", "nonsense", &[]);
    story.request("A bad parameter", "restart", &[("service", "apache")]);
    story.request("A value that none of her roles permits", "restart", &[("service", "mysql")]);
    let two = [story.house.block(now, "count", &[]), story.house.block(now, "help", &[])];
    story.tell("Ambiguous", &mail(FROM, &two.join("\n")));
    story.tell("No request", &mail(FROM, "Dear all,\n\nmailsudo: the manual is attached.\n"));
    let foreign = mail("eve@example.com", &story.house.block(now, "count", &[]));
    story.tell("Not from her", &foreign);

    let rotated = format!(
        "hmac_key = \"{OTHER_KEY}\"\ntotp = \"{TOTP}\"\n[previous]\nhmac_key = \"{KEY}\"\nuntil = 2026-11-23T10:20:00Z\n"
    );
    let before = std::fs::read_to_string(story.house.path("secrets.d/alice.toml")).expect("secrets");
    story.house.write("secrets.d/alice.toml", 0o600, &rotated);
    story.count("The previous key, in its overlap", KEY, 0, None);
    story.house.write("secrets.d/alice.toml", 0o600, &rotated.replace("10:20", "10:10"));
    story.count("The previous key, after it", KEY, 0, None);
    story.house.write("secrets.d/alice.toml", 0o600, &before);

    let request = story.house.request("restart", &arguments);
    assert_eq!(story.house.deliver(&request).replies.len(), 1);
    story.tell("A duplicate", &request);
    story.count("A code that has served", KEY, 0, None);
    for n in 1..=5 {
        let wrong = block("alice", KEY, Timestamp::from_seconds(now.seconds() - 60 * n), "count", &[], Some(wrong));
        story.house.deliver(&mail(FROM, &wrong));
    }
    story.count("Locked out", KEY, 30, None);
    story.house.write("commands.d/count.toml", 0o644, "argv = 7\n");
    story.count("A broken file of the gateway's", KEY, 31, None);

    let secret = TOTP.split_once("secret=").expect("a secret").1;
    for hidden in [KEY, OTHER_KEY, secret, right.as_str(), wrong] {
        assert!(!story.text.contains(hidden), "a secret is shown: {hidden}");
    }
    snapbox::assert_data_eq!(story.text, snapbox::file!["golden/explain.txt"]);
}
