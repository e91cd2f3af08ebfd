//! The slowest delivery that there can be, with a gateway's own patience: all neighbours are nearly at their limits at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailsudo::audit::Audit;
use mailsudo::clock::{Clock, SystemClock};
use mailsudo::config::{Gateway, Trusted};
use mailsudo::deliver::Delivery;
use mailsudo::patience::{POSTFIX, Patience};
use mailsudo::reply::Road;

use crate::common::{KEY, block, mail};
use crate::house::{fenced, limit};

/// Whoever keeps the ledger's page keeps it for this long, again and again.
const NEARLY_A_PAGE: Duration = Duration::from_secs(9);

/// Whoever has the exclusive command has it for this long.
const NEARLY_A_TURN: Duration = Duration::from_secs(20);

#[test]
#[ignore = "takes two minutes: make soak"]
fn the_slowest_delivery_ends_before_postfix_would_end_it() {
    let house = fenced("trap '' TERM; exec sleep 600", "exit 0");
    limit(&house, 1);
    house.write("sendmail", 0o755, "#!/bin/sh\ntrap '' TERM\nexec sleep 600\n");
    let now = SystemClock.now();
    let until = now.seconds() + i64::try_from(NEARLY_A_TURN.as_secs()).expect("a time");
    let held = "INSERT INTO slots VALUES ('count', zeroblob(32), ?1)";
    house.ledger().execute(held, [until]).expect("a slot");
    house.leave_room_in_the_log(1);
    let mail = mail("alice@example.com", &block("alice", KEY, now, "count", &[], None));
    let gateway = Gateway::open(house.folder.path(), Trusted::caller()).expect("the gateway");
    let delivery = Delivery {
        gateway: &gateway,
        envelope: &house.envelope,
        road: &Road::Sendmail(house.path("sendmail")),
        clock: &SystemClock,
        patience: Patience::USUAL,
    };
    let over = AtomicBool::new(false);
    let path = house.path("ledger/ledger.db");
    let begun = Instant::now();
    let ended = thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || {
            let mut somebody = rusqlite::Connection::open(path).expect("the ledger");
            somebody.busy_timeout(Duration::from_mins(1)).expect("set");
            while !over.load(Ordering::Relaxed) {
                let immediate = rusqlite::TransactionBehavior::Immediate;
                let page = somebody.transaction_with_behavior(immediate).expect("locked");
                thread::sleep(NEARLY_A_PAGE);
                drop(page);
                thread::sleep(Duration::from_millis(300));
            }
        });
        let ended = delivery.deliver(&mut mail.as_bytes(), &mut Audit::new(gateway.settings(), None));
        over.store(true, Ordering::Relaxed);
        ended
    });
    let took = begun.elapsed();
    println!("the slowest delivery took {took:.1?} of the {POSTFIX:?} that Postfix grants beyond the longest command");
    assert_eq!(ended.expect_err("sendmail takes nothing").part, "sendmail");
    assert_eq!(fs::read_dir(house.path("replies")).expect("replies").count(), 0);
    assert!(took < POSTFIX, "Postfix would have killed it and bounced the mail: {took:?}");
}
