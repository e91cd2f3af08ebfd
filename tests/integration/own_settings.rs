//! What a command's own file says about its runs counts, not what holds for the gateway or for most commands.

use crate::common::TestGateway;
use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::Clock;

#[test]
fn a_commands_own_limit_of_output_counts() {
    let mut test_gateway = TestGateway::new();
    let toml = std::fs::read_to_string(test_gateway.path("commands.d/count.toml")).expect("a command");
    test_gateway.write("hook", 0o644, "head -c 20000 /dev/zero | tr '\\0' 'x'");
    for (own, is_cut) in [("", false), ("output = \"2KiB\"\n", true)] {
        test_gateway.write("commands.d/count.toml", 0o644, &format!("{own}{toml}"));
        test_gateway.clock.forward(60);
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        let text = &mailsudo::intake::readable(ended.reply().as_bytes())[0];
        assert_eq!(text.contains("bytes left out"), is_cut, "{text}");
        assert_eq!(text.len() < 4096, is_cut, "{}", text.len());
    }
}

#[test]
fn a_command_that_is_not_exclusive_waits_for_no_other_run() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    test_gateway.hold(Timestamp::from_seconds(test_gateway.clock.now().seconds() + 20));
    test_gateway.ledger().execute("UPDATE requests SET command = 'restart' WHERE user = 'nobody'", []).expect("a hold");
    let ended = test_gateway.deliver(&test_gateway.request("restart", &[("service", "nginx")]));
    assert!(!ended.log.iter().any(|line| line.contains("event=waiting")), "{ended:?}");
    assert_eq!(test_gateway.runs().len(), 1);
}
