//! The slowest delivery that is possible with a gateway's own timeouts: every service is nearly at its limit at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::limits::{POSTFIX_MARGIN, Timeouts};
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::{KEY, block, context, deliver, mail};
use crate::gateway::{limit, via_sudo};

/// Another process holds the ledger's transaction for this long, again and again.
const NEARLY_A_TIMEOUT: Duration = Duration::from_secs(9);

/// Another run holds the exclusive command for this long.
const NEARLY_ALL_OF_THE_WAIT: Duration = Duration::from_secs(20);

#[test]
#[ignore = "takes two minutes: make soak"]
fn the_slowest_delivery_ends_before_postfix_would_end_it() {
    let test_gateway = via_sudo("\"$@\"; trap '' TERM; exec sleep 600");
    limit(&test_gateway, 1);
    test_gateway.write("sendmail", 0o755, "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n");
    let now = SystemClock.now();
    test_gateway.hold(now.plus(NEARLY_ALL_OF_THE_WAIT));
    test_gateway.leave_room_in_the_log(1);
    let mail = mail("alice@example.com", &block("alice", KEY, now, "count", &[], None));
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("the gateway");
    let context = context(&gateway, &test_gateway.envelope, &SystemClock, Timeouts::DEFAULT);
    let transport = ReplyTransport::Sendmail(test_gateway.path("sendmail"));
    let over = AtomicBool::new(false);
    let path = test_gateway.path("ledger/ledger.db");
    let begun = Instant::now();
    let ended = thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let mut other = rusqlite::Connection::open(path).expect("the ledger");
            other.busy_timeout(Duration::from_mins(1)).expect("set");
            while !over.load(Ordering::Relaxed) {
                let immediate = rusqlite::TransactionBehavior::Immediate;
                let transaction = other.transaction_with_behavior(immediate).expect("locked");
                thread::sleep(NEARLY_A_TIMEOUT);
                drop(transaction);
                thread::sleep(Duration::from_millis(300));
            }
        });
        let ended = deliver(&context, &transport, mail.as_bytes(), &mut Audit::new(gateway.settings(), None));
        over.store(true, Ordering::Relaxed);
        ended
    });
    let took = begun.elapsed();
    println!(
        "the slowest delivery took {took:.1?} of the {POSTFIX_MARGIN:?} that Postfix grants beyond the longest command"
    );
    assert_eq!(ended.expect_err("sendmail takes nothing").part, "sendmail");
    assert_eq!(fs::read_dir(test_gateway.path("replies")).expect("replies").count(), 0);
    assert!(took < POSTFIX_MARGIN, "Postfix would have killed it and bounced the mail: {took:?}");
}
