//! Which log lines have a head of the audit chain, and that nobody puts one in.

use mailsudo::evidence::Found;
use mailsudo::system::clock::Clock;

use crate::chain::found_in;
use crate::common::{KEY, OTHER_KEY, TestGateway, block, mail};

/// A request that waits for approval, each vote, and a request that lapses.
#[test]
fn the_lines_about_an_approval_are_witnesses() {
    let mut gateway = TestGateway::new();
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
