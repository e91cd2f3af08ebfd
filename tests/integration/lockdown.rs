//! A lockdown that begins while a delivery waits for another run.

use std::time::{Duration, Instant};

use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::protocol::Timestamp;
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::Clock;

use crate::common::{OTHER_KEY, TestGateway, block, context, deliver, mail};

/// A clock on whose first sleep the gateway is locked down for all but these users.
struct Locking<'g> {
    gateway: &'g TestGateway,
    except: &'static str,
}

impl Clock for Locking<'_> {
    fn now(&self) -> Timestamp {
        self.gateway.clock.now()
    }

    fn instant(&self) -> Instant {
        self.gateway.clock.instant()
    }

    fn sleep(&self, span: Duration) {
        self.gateway.write("lockdown.toml", 0o644, &format!("users = [{}]\n", self.except));
        self.gateway.clock.sleep(span);
    }
}

/// Delivers `mail` with that clock, and returns what is logged, and why it was deferred.
fn locked_down(test_gateway: &TestGateway, except: &'static str, mail: &str) -> (String, Option<&'static str>) {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let clock = Locking { gateway: test_gateway, except };
    let context = context(&gateway, &test_gateway.envelope, &clock, test_gateway.timeouts);
    let transport = ReplyTransport::Sendmail(test_gateway.path("sendmail"));
    let ended = deliver(&context, &transport, mail.as_bytes(), &mut Audit::new(gateway.settings(), None));
    (test_gateway.log().join("\n"), ended.err().map(|deferral| deferral.part))
}

fn hold(test_gateway: &TestGateway, seconds: i64) {
    test_gateway.hold(Timestamp::from_seconds(test_gateway.clock.now().seconds() + seconds));
}

#[test]
fn a_request_that_waits_does_not_run_after_a_lockdown() {
    let mut test_gateway = TestGateway::new();
    let first = test_gateway.request("count", &[]);
    test_gateway.deliver(&first);
    test_gateway.clock.forward(60);
    hold(&test_gateway, 10);
    let request = test_gateway.request("count", &[]);
    let (log, deferred) = locked_down(&test_gateway, "\"bob\"", &request);
    assert_eq!(deferred, None, "{log}");
    assert!(
        log.contains("event=waiting") && log.contains("event=refused") && log.contains("reason=locked-down "),
        "{log}"
    );
    assert!(log.contains("event=replied"), "{log}");
    assert_eq!(test_gateway.runs().len(), 1);
    test_gateway.clock.forward(60);
    std::fs::remove_file(test_gateway.path("lockdown.toml")).expect("ended");
    assert!(test_gateway.deliver(&request).refused("duplicate"), "it stays refused");
    // One of an excepted user runs when the command is free.
    test_gateway.clock.forward(60);
    hold(&test_gateway, 5);
    let request = test_gateway.request("count", &[]);
    let (log, deferred) = locked_down(&test_gateway, "\"alice\"", &request);
    assert!(deferred.is_none() && log.contains("event=finished") && log.contains("result=exit-0 "), "{log}");
    assert_eq!(test_gateway.runs().len(), 2);
}

#[test]
fn an_approval_that_waits_runs_nothing_after_a_lockdown() {
    let mut test_gateway = TestGateway::new();
    let home = test_gateway.folder.path().display().to_string();
    let count = format!(
        "summary = \"Count\"\nrun_as = \"root\"\nargv = [\"{home}/command\"]\n[approval]\nby = [\"bob\"]\n[allow.web]\n"
    );
    test_gateway.write("commands.d/count.toml", 0o644, &count);
    let request = test_gateway.request("count", &[]);
    let asked = test_gateway.deliver(&request);
    let notice = asked.replies.iter().find(|reply| reply.contains("\nTo: <bob@example.com>\n")).expect("a notice");
    let text = &mailsudo::intake::readable(notice.as_bytes())[0];
    let field = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)).expect("a line").to_owned();
    let arguments = [("id", &*field("request: ")), ("digest", &*field("digest: "))];
    test_gateway.clock.forward(60);
    hold(&test_gateway, 10);
    let vote = block("bob", OTHER_KEY, test_gateway.clock.now(), "approve", &arguments, None);
    let vote = mail("bob@example.com", &vote);
    // The voter is not excepted: the vote is refused, and the request goes on waiting.
    let (log, deferred) = locked_down(&test_gateway, "\"alice\"", &vote);
    assert!(deferred.is_none() && log.contains("event=refused") && log.contains("reason=locked-down "), "{log}");
    let sql = "SELECT state FROM requests WHERE user = 'alice'";
    let state: String = test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a state");
    assert_eq!((state.as_str(), test_gateway.runs().len()), ("pending", 0));
}
