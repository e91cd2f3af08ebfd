//! A process that may open few files (RLIMIT_NOFILE, getrlimit(2)): the mail waits, and the reason is said.

use std::fs;
use std::process::{Command, Output, Stdio};

use mailsudo::protocol::Timestamp;

use crate::common::{KEY, TestGateway, block, mail};
use crate::gateway::new;

/// Delivers the file `mail` by the built binary, whose descriptors are all below `limit`. It inherits none that could take
/// their place.
fn deliver_with_descriptors_below(test_gateway: &TestGateway, limit: &str) -> Output {
    let home = test_gateway.folder.path().display();
    let closed = "3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-";
    let line =
        format!("exec {closed}; ulimit -n {limit}; exec \"$0\" deliver --config {home} --reply-via {home}/sendmail");
    let input = fs::File::open(test_gateway.path("mail")).expect("a mail");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_mailsudo")]).stdin(input).stderr(Stdio::piped());
    shell.output().expect("a shell")
}

/// To read the settings takes two descriptors besides the standard ones: the gateway's folder and the file. From then on the
/// gateway's own log is told, which takes the second of them.
#[test]
fn without_descriptors_a_mail_waits_and_the_gateways_own_log_says_why() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).expect("a time"));
    let request = mail("alice@example.com", &block("alice", KEY, now, "count", &[], None));
    let mut deferred = 0;
    for limit in 5..64 {
        let test_gateway = new();
        test_gateway.write("mail", 0o644, &request);
        let ended = deliver_with_descriptors_below(&test_gateway, &limit.to_string());
        let (log, said) = (test_gateway.log(), String::from_utf8_lossy(&ended.stderr).into_owned());
        if ended.status.code() == Some(0) {
            break;
        }
        deferred += 1;
        assert_eq!(ended.status.code(), Some(75), "below {limit}: {said} {log:?}");
        let is_logged = log.last().is_some_and(|line| line.contains("event=deferred"));
        assert!(is_logged && said.is_empty(), "below {limit}: {said} {log:?}");
        let again = deliver_with_descriptors_below(&test_gateway, "1024");
        assert_eq!((again.status.code(), test_gateway.replies().len()), (Some(0), 1), "after {limit}: {again:?}");
        assert!(test_gateway.runs().len() <= 1, "after {limit}");
    }
    assert!((3..50).contains(&deferred), "{deferred} limits defer");
}
