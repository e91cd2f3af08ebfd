//! The same with the ledger in PostgreSQL: a delivery is killed at each of its calls, then the mail is delivered again.
//! What the server has of a killed transaction is for the server to forget, so there is no beginning to return to: each
//! point has a request of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use mailsudo::config::RunVia;
use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::case::{allow_asking, request, vote};
use crate::database::server::{DELIVER, server};
use crate::database::{as_owner, owner_of, set};
use crate::site::{Ended, Site};
use crate::strace::{self, Call};
use crate::tried::is_soak;

/// Calls that another process can notice: `make test` kills at these, the soak at all.
const NOTICED: [&str; 9] = ["connect", "sendto", "write", "recvfrom", "read", "clone", "clone3", "vfork", "exit_group"];

/// How many deliveries a message may need once nothing disturbs it any more.
const TRIES: usize = 3;

/// What is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mail {
    /// A request that runs a command.
    Request,
    /// The last approval of a pending request, which runs its command.
    Approval,
}

struct Bench {
    mail: Mail,
    site: Site,
    database: String,
    begun: Timestamp,
    /// How many requests there were; each is signed in a TOTP step of its own, however long the one before took.
    requests: i64,
}

impl Bench {
    fn new(mail: Mail) -> Result<Self> {
        let site = Site::new(RunVia::Direct);
        // It writes the settings anew.
        if mail == Mail::Approval {
            allow_asking(&site);
        }
        let database = server().database();
        set(&site.test_gateway, &format!("url = \"{}\"", server().url(DELIVER, &database)));
        let url = owner_of(server(), &database);
        as_owner(&site.test_gateway, &url, |owner| mailsudo::ledger::init_database(owner, None))?;
        Ok(Self { mail, site, database, begun: SystemClock.now(), requests: 0 })
    }

    fn sql(&self, sql: &str) -> String {
        server().sql(&self.database, sql)
    }

    /// A new mail, and nothing left of the one before it.
    fn next(&mut self) -> Result<()> {
        self.requests += 1;
        let time = Timestamp::from_seconds(self.begun.seconds() - 31 * self.requests);
        self.sql("UPDATE mailsudo.requests SET hold_ends = NULL");
        self.site.forget_outcome();
        match self.mail {
            Mail::Request => self.site.set_request(time, &request(time, "count", &[], None)),
            Mail::Approval => vote(&mut self.site, time, "approve")?,
        }
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
        self.site.judge_messages()?;
        let left = self.sql(
            "SELECT (SELECT count(*) FROM mailsudo.requests WHERE state IN ('started', 'pending') OR replied IS NULL)
                  + (SELECT count(*) FROM mailsudo.notices WHERE sent IS NULL)",
        );
        ensure!(left == "0", "{left} requests or notices are left open");
        let other = self.sql(
            "SELECT count(*) FROM mailsudo.votes JOIN mailsudo.requests AS asked ON votes.request = asked.id
             JOIN mailsudo.requests AS vote ON votes.vote = vote.id WHERE asked.result <> vote.result",
        );
        ensure!(other == "0", "the request did not end as its vote, {state}");
        self.wait_for_sessions()?;
        self.site.judge_ledger()?;
        Ok(state)
    }

    /// Waits until no delivery has a session. That of a dead one ends when the server notices, after the commit that it is
    /// about: before that, nobody can say what is recorded.
    fn wait_for_sessions(&self) -> Result<()> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{DELIVER}' AND datname = current_database()"
        );
        let begun = Instant::now();
        while self.sql(&sql) != "0" {
            ensure!(begun.elapsed() < Duration::from_mins(1), "sessions of deliveries do not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
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
    kill_at_each_call(Mail::Request);
}

#[test]
fn an_approving_delivery_may_die_at_any_call_with_the_ledger_in_postgresql() {
    kill_at_each_call(Mail::Approval);
}

fn kill_at_each_call(mail: Mail) {
    let mut bench = Bench::new(mail).expect("a gateway");
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
            bench.wait_for_sessions()?;
            let is_recorded = bench.sql("SELECT count(*) FROM mailsudo.requests") != before;
            bench.settle(is_recorded).map(|result| (was_killed, result))
        })();
        let (was_killed, result) = tried.unwrap_or_else(|error| panic!("{call:?}: {error:#}"));
        missed += usize::from(!was_killed);
        unknown += usize::from(result.ends_with("unknown"));
    }
    println!("killed, {mail:?}: {} points ({missed} not reached), {unknown} outcomes unknown", calls.len());
    assert!(missed * 10 <= calls.len(), "{missed} of {} points were not reached", calls.len());
    assert!(unknown > 0, "no delivery died between its commits");
}
