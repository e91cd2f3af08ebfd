//! The same with the ledger in PostgreSQL: a delivery is killed at each of its calls, then the mail is delivered again.
//! What the server has of a killed transaction is for the server to forget, so there is no beginning to return to: each
//! point has a request of its own.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use mailsudo::config::RunVia;
use mailsudo::protocol::{Key, Timestamp, Verdict, verify_reply};
use mailsudo::system::clock::{Clock, SystemClock};

use crate::case::request;
use crate::common::KEY;
use crate::database::server::{DELIVER, server};
use crate::database::{as_owner, owner_of, set};
use crate::site::{Ended, Site};
use crate::strace::{self, Call};
use crate::tried::is_soak;

/// Calls that another process can notice: `make test` kills at these, the soak at all.
const NOTICED: [&str; 9] = ["connect", "sendto", "write", "recvfrom", "read", "clone", "clone3", "vfork", "exit_group"];

/// How many deliveries a message may need once nothing disturbs it any more.
const TRIES: usize = 3;

struct Bench {
    site: Site,
    database: String,
    /// How many requests there were; each is signed in a TOTP step of its own.
    requests: i64,
}

impl Bench {
    fn new() -> Result<Self> {
        let site = Site::new(RunVia::Direct);
        let database = server().database();
        set(&site.test_gateway, &format!("url = \"{}\"", server().url(DELIVER, &database)));
        let url = owner_of(server(), &database);
        as_owner(&site.test_gateway, &url, |owner| mailsudo::ledger::init_database(owner, None))?;
        Ok(Self { site, database, requests: 0 })
    }

    fn sql(&self, sql: &str) -> String {
        server().sql(&self.database, sql)
    }

    /// A new request, and nothing left of the one before it.
    fn next(&mut self) -> Result<()> {
        self.requests += 1;
        let time = Timestamp::from_seconds(SystemClock.now().seconds() - 31 * self.requests);
        self.site.set_request(time, &request(time, "count", &[], None));
        for reply in fs::read_dir(self.site.test_gateway.path("replies"))? {
            fs::remove_file(reply?.path())?;
        }
        let _ = fs::remove_file(self.site.test_gateway.path("ran"));
        self.sql("UPDATE mailsudo.requests SET hold_ends = NULL");
        Ok(())
    }

    /// State and result of the newest request.
    fn look(&self) -> String {
        self.sql("SELECT state || ' ' || coalesce(result, '') FROM mailsudo.requests ORDER BY seq DESC LIMIT 1")
    }

    fn deliver(&self, words: &[String]) -> Result<Ended> {
        self.site.deliver(words, |_| false)
    }

    /// Delivers until the mail is a duplicate, and judges what became of it. Gives the result.
    fn settle(&self, was_started: bool) -> Result<String> {
        let mut last = Vec::new();
        for _ in 0..2 * TRIES {
            let ended = self.deliver(&[])?;
            ensure!(matches!(ended.status, Some(0 | 75)), "{ended:?}");
            if ended.log.iter().any(|line| line.contains("reason=duplicate")) {
                return self.judge(was_started);
            }
            last = ended.log;
        }
        bail!("it never became a duplicate: {last:?}")
    }

    fn judge(&self, was_started: bool) -> Result<String> {
        let (runs, state) = (self.site.test_gateway.runs().len(), self.look());
        let right = match state.as_str() {
            "finished exit-0" => runs == 1,
            "finished unknown" => runs <= 1 && was_started,
            _ => false,
        };
        ensure!(right, "{runs} runs, and the ledger holds {state}");
        let replies = self.site.replies()?;
        let first = replies.first().context("the user got no reply")?;
        ensure!(replies.iter().all(|reply| reply == first), "two replies that differ: {replies:#?}");
        let text = mailsudo::intake::readable(first.as_bytes()).into_iter().next().context("a reply without a text")?;
        let verdict = verify_reply(&text, &Key::from_hex(KEY).context("a key")?);
        ensure!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?}: {first}");
        let open = self.sql("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()");
        ensure!(open == "0", "{open} transactions of dead deliveries are open");
        self.site.judge_ledger()?;
        Ok(state)
    }

    /// The calls of an undisturbed delivery from its connection on.
    fn calls(&mut self) -> Result<Vec<Call>> {
        self.next()?;
        let ended = self.deliver(&strace::listing(&self.site.trace(), 64))?;
        ensure!(ended.status == Some(0), "{ended:?}");
        self.settle(true)?;
        let calls = strace::calls(&self.site.trace(), &server().folder);
        let calls: Vec<_> = calls
            .into_iter()
            .filter(|call| call.after_ledger && (is_soak() || NOTICED.contains(&call.name.as_str())))
            .collect();
        ensure!(calls.len() > 20, "strace saw no connection: {calls:?}");
        Ok(calls)
    }
}

#[test]
fn a_delivery_may_die_at_any_call_with_the_ledger_in_postgresql() {
    let mut bench = Bench::new().expect("a gateway");
    let calls = bench.calls().expect("an undisturbed delivery");
    let (mut missed, mut unknown) = (0, 0);
    for call in &calls {
        let tried = (|| {
            bench.next()?;
            let before = bench.sql("SELECT count(*) FROM mailsudo.requests");
            let ended = bench.deliver(&strace::kill(&bench.site.trace(), call))?;
            let was_killed = ended.signal == Some(9);
            ensure!(was_killed || ended.status == Some(0), "{ended:?}");
            bench.site.wait_for_children()?;
            let is_recorded = bench.sql("SELECT count(*) FROM mailsudo.requests") != before;
            bench.settle(is_recorded).map(|result| (was_killed, result))
        })();
        let (was_killed, result) = tried.unwrap_or_else(|error| panic!("{call:?}: {error:#}"));
        missed += usize::from(!was_killed);
        unknown += usize::from(result.ends_with("unknown"));
    }
    println!("killed: {} points ({missed} not reached), {unknown} outcomes unknown", calls.len());
    assert!(missed * 10 <= calls.len(), "{missed} of {} points were not reached", calls.len());
    assert!(unknown > 0, "no delivery died between its commits");
}
