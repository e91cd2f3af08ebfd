//! What `explain` prints, complete: one golden file, case by case, under a clock that does not move.
//! `SNAPSHOTS=overwrite cargo test --test integration explain` takes over what it says now; read the difference before
//! you commit it.

use crate::common::{KEY, OTHER_KEY, TOTP, TestGateway, block, explain, factor, mail};
use mailsudo::protocol::Timestamp;
use mailsudo::remedy::program;
use mailsudo::system::clock::Clock;

const FROM: &str = "alice@example.com";

/// The cases so far, each with what `explain` says of it.
struct Answers {
    test_gateway: TestGateway,
    text: String,
}

impl Answers {
    /// Adds what `explain` says of `mail` now.
    fn add(&mut self, title: &str, mail: &str) {
        let test_gateway = &self.test_gateway;
        let (would_run, lines) = explain(test_gateway, mail);
        let said = lines.join("\n").replace(&test_gateway.folder.path().display().to_string(), "/GATEWAY");
        // The program is this test here.
        let own = std::env::current_exe().expect("a path").display().to_string();
        let said = said.replace(&own, "/usr/bin/mailsudo").replace(&program("postcat"), "/usr/sbin/postcat");
        let end = if would_run { "it would run" } else { "it would not run" };
        self.text.push_str(&format!("## {title}: {end}\n\n{said}\n\n"));
    }

    /// What `explain` says of alice's request for `command`.
    fn request(&mut self, title: &str, command: &str, arguments: &[(&str, &str)]) {
        let mail = self.test_gateway.request(command, arguments);
        self.add(title, &mail);
    }

    /// What it says of a request for `count` under another key, time or code.
    fn count(&mut self, title: &str, key: &str, seconds_ago: i64, code: Option<&str>) {
        let time = Timestamp::from_seconds(self.test_gateway.clock.now().seconds() - seconds_ago);
        self.add(title, &mail(FROM, &block("alice", key, time, "count", &[], code)));
    }
}

#[test]
fn every_answer_reads_as_the_golden_file_has_it() {
    let mut answers = Answers { test_gateway: TestGateway::new(), text: String::new() };
    let now = answers.test_gateway.clock.now();
    let right = factor().code_at(now).expect("a code");
    let wrong = if right.as_str() == "000000" { "000001" } else { "000000" };
    let arguments = [("service", "nginx"), ("level", "2")];

    answers.request("A request for which all is well", "restart", &arguments);
    answers.request("A built-in command", "help", &[]);
    let changed = answers.test_gateway.request("restart", &arguments).replace("level=2", "level=9");
    answers.add("A wrong mac", &changed);
    answers.count("A wrong code", KEY, 0, Some(wrong));
    answers.count("Stale", KEY, 3600, None);
    answers.count("From the future", KEY, -600, None);
    answers.request("A forbidden command", "secret", &[]);
    answers.request("A command that is not there", "nonsense", &[]);
    answers.request("A bad parameter", "restart", &[("service", "apache")]);
    answers.request("A value that none of alice's roles permits", "restart", &[("service", "mysql")]);
    let two = [answers.test_gateway.block(now, "count", &[]), answers.test_gateway.block(now, "help", &[])];
    answers.add("Ambiguous", &mail(FROM, &two.join("\n")));
    answers.add("No request", &mail(FROM, "Dear all,\n\nmailsudo: the manual is attached.\n"));
    let foreign = mail("eve@example.com", &answers.test_gateway.block(now, "count", &[]));
    answers.add("Not from alice", &foreign);

    let rotated = format!(
        "hmac_key = \"{OTHER_KEY}\"\ntotp = \"{TOTP}\"\n[previous]\nhmac_key = \"{KEY}\"\nuntil = 2026-11-23T10:20:00Z\n"
    );
    let before = std::fs::read_to_string(answers.test_gateway.path("secrets.d/alice.toml")).expect("secrets");
    answers.test_gateway.write("secrets.d/alice.toml", 0o600, &rotated);
    answers.count("The previous key, in its overlap", KEY, 0, None);
    answers.test_gateway.write("secrets.d/alice.toml", 0o600, &rotated.replace("10:20", "10:10"));
    answers.count("The previous key, after it", KEY, 0, None);
    answers.test_gateway.write("secrets.d/alice.toml", 0o600, &before);

    let request = answers.test_gateway.request("restart", &arguments);
    assert_eq!(answers.test_gateway.deliver(&request).replies.len(), 1);
    answers.add("A duplicate", &request);
    answers.count("A code that has served", KEY, 0, None);
    for n in 1..=5 {
        let wrong = block("alice", KEY, Timestamp::from_seconds(now.seconds() - 60 * n), "count", &[], Some(wrong));
        answers.test_gateway.deliver(&mail(FROM, &wrong));
    }
    answers.count("Locked out", KEY, 30, None);
    answers.test_gateway.write("commands.d/count.toml", 0o644, "argv = 7\n");
    answers.count("A broken file of the gateway's", KEY, 31, None);

    let secret = TOTP.split_once("secret=").expect("a secret").1;
    for hidden in [KEY, OTHER_KEY, secret, right.as_str(), wrong] {
        assert!(!answers.text.contains(hidden), "a secret is shown: {hidden}");
    }
    snapbox::assert_data_eq!(answers.text, snapbox::file!["../golden/explain.txt"]);
}
