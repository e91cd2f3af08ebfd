//! The deliveries that are cut short: each a way through the program that writes to the ledger differently.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use mailsudo::config::{RunVia, Trusted};
use mailsudo::ledger;
use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::{KEY, OTHER_KEY, block, mail};
use crate::site::{Ended, Site};
use crate::strace::{self, Call};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// An exclusive command is run.
    Exclusive,
    /// A command is run that is not exclusive.
    Shared,
    /// The command exits 1, as a sudo that refuses does.
    Exit1,
    /// sudo refuses.
    SudoRefuses,
    /// The command prints more than a pipe holds.
    Flood,
    /// The code is wrong.
    Refused,
    /// The command was run, and sendmail took no reply.
    Unanswered,
    /// A delivery died after the command had ended.
    Orphaned,
    /// A delivery died as soon as it had started sudo: the command has begun by itself, or never does.
    OrphanedAtStart,
    /// The command is held by another run, which ends while the delivery waits.
    Waiting,
    /// An earlier delivery waited and was deferred.
    Waited,
    /// There is no ledger yet.
    First,
    /// The write-ahead log is full, and is moved into the ledger.
    Checkpoint,
    /// The write-ahead log has been moved, and is begun anew.
    LogReset,
    /// A request is recorded as pending; its approver gets a notice.
    Asking,
    /// The last approval that is needed runs the command of a pending request; both users get a reply.
    Approving,
    /// A denial ends a pending request; both users get a reply.
    Denying,
}

impl Case {
    pub const ALL: [Self; 14] = [
        Self::Exclusive,
        Self::Shared,
        Self::Exit1,
        Self::SudoRefuses,
        Self::Flood,
        Self::Refused,
        Self::Unanswered,
        Self::Orphaned,
        Self::OrphanedAtStart,
        Self::Waiting,
        Self::Waited,
        Self::First,
        Self::Checkpoint,
        Self::LogReset,
    ];

    /// Those of them in which `make test` lets calls fail.
    pub const MAIN: [Self; 6] =
        [Self::Exclusive, Self::Exit1, Self::Refused, Self::Unanswered, Self::Waited, Self::First];

    /// What is delivered about an approval.
    pub const APPROVALS: [Self; 3] = [Self::Asking, Self::Approving, Self::Denying];

    /// A gateway that is about to get the case's mail.
    pub fn site(self) -> Result<Site> {
        let via_sudo = [Self::Exclusive, Self::Exit1, Self::SudoRefuses, Self::OrphanedAtStart].contains(&self);
        let mut site = Site::new(if via_sudo { RunVia::Sudo } else { RunVia::Direct });
        let now = SystemClock.now();
        let (command, arguments): (_, &[_]) = match self {
            Self::Shared => {
                site.arguments = "nginx --level=3";
                site.is_exclusive = false;
                ("restart", &[("service", "nginx")])
            }
            _ => ("count", &[]),
        };
        let wrong = (self == Self::Refused).then(|| wrong_code(now));
        let request = request(now, command, arguments, wrong.as_deref());
        site.set_request(now, &request);
        if self != Self::First {
            ledger::init(&site.test_gateway.path("ledger/ledger.db"), Trusted::caller(), None)?;
        }
        match self {
            Self::Exit1 => {
                site.test_gateway.write(
                    "command",
                    0o755,
                    &format!("#!/bin/sh\necho >> {}\nexit 1\n", site.test_gateway.path("ran").display()),
                );
                site.result = "exit-1";
            }
            Self::Refused => (site.result, site.runs) = ("refused", 0),
            Self::SudoRefuses => {
                site.test_gateway.write("sudo.refuses", 0o644, "");
                (site.result, site.runs) = ("refused", 0);
            }
            Self::Flood => site.test_gateway.write("hook", 0o644, "head -c 100000 /dev/zero | tr '\\0' 'x'\n"),
            Self::Unanswered => {
                site.test_gateway.break_sendmail(true);
                let ended = site.deliver(&[], |_| false)?;
                ensure!(ended.status == Some(75), "{ended:?}");
                site.test_gateway.break_sendmail(false);
            }
            Self::Orphaned | Self::OrphanedAtStart => {
                // The call before which it has started the child, or by which it learns that the child has ended.
                let name = if self == Self::Orphaned { "wait4" } else { "pidfd_open" };
                let call = Call { name: name.to_owned(), nth: 1, ..Call::default() };
                let ended = site.deliver(&strace::kill(&site.trace(), &call), |_| false)?;
                ensure!(ended.signal == Some(9), "{ended:?}");
                site.wait_for_children()?;
                let runs = site.test_gateway.runs().len();
                ensure!(runs == 1 || (runs == 0 && self == Self::OrphanedAtStart), "the command ran {runs} times");
                (site.result, site.runs) = ("unknown", runs);
            }
            Self::Waiting => site.hold()?,
            Self::Waited => {
                site.hold()?;
                let call = Call { name: "clock_nanosleep".to_owned(), nth: 1, ..Call::default() };
                let ended = site.deliver(&strace::kill(&site.trace(), &call), |_| false)?;
                ensure!(ended.signal == Some(9), "{ended:?}");
                site.release()?;
            }
            Self::Asking | Self::Approving | Self::Denying => {
                allow_asking(&site);
                match self {
                    Self::Asking => ask(&mut site, now),
                    Self::Approving => vote(&mut site, now, "approve")?,
                    _ => vote(&mut site, now, "deny")?,
                }
            }
            Self::Checkpoint => fill(&mut site, now, true)?,
            Self::LogReset => fill(&mut site, now, false)?,
            _ => {}
        }
        site.keep();
        Ok(site)
    }

    /// Delivers the case's mail, under strace(1) with the words `strace`.
    pub fn deliver(self, site: &Site, strace: &[String]) -> Result<Ended> {
        if self != Self::Waiting {
            return site.deliver(strace, |_| false);
        }
        let ended = site.deliver(strace, |log| {
            let waits = log.iter().any(|line| line.contains("event=waiting"));
            if waits {
                site.release().expect("the other request is gone");
            }
            !waits
        })?;
        site.release()?;
        Ok(ended)
    }

    /// The calls that one undisturbed delivery makes.
    pub fn calls(self, site: &Site) -> Result<Vec<Call>> {
        site.reset();
        let ledger = site.test_gateway.path("ledger").canonicalize()?;
        let beginning = fs::read(ledger.join("ledger.db")).unwrap_or_default();
        let mut words = strace::listing(&site.trace(), 16);
        words.push(strace::SHORT_WAITS.to_owned());
        let ended = self.deliver(site, &words)?;
        ensure!(ended.status == Some(0), "{ended:?}");
        let moved = fs::read(ledger.join("ledger.db"))? != beginning;
        ensure!(moved == [Self::First, Self::Checkpoint].contains(&self), "the log was moved: {moved}");
        let waited = ended.log.iter().any(|line| line.contains("event=waiting"));
        ensure!(waited == (self == Self::Waiting), "{ended:?}");
        let before = site.look()?;
        let known = site.settle(before.as_ref())?;
        ensure!(known.result.as_deref() == Some(site.result), "{known:?}");
        let calls = strace::calls(&site.trace(), &ledger);
        ensure!(calls.iter().any(|call| call.after_ledger && call.after_start), "strace saw no paths");
        Ok(calls)
    }
}

/// A mail of alice's, signed at `time`.
pub fn request(time: Timestamp, command: &str, arguments: &[(&str, &str)], code: Option<&str>) -> String {
    mail("alice@example.com", &block("alice", KEY, time, command, arguments, code))
}

/// Six digits that are not the code at `time`, nor beside it.
fn wrong_code(time: Timestamp) -> String {
    let near = [-30, 0, 30].map(|seconds| {
        let time = Timestamp::from_seconds(time.seconds() + seconds);
        block("alice", KEY, time, "count", &[], None)
    });
    let is_wrong = |code: &String| !near.iter().any(|block| block.contains(&format!("\ntotp: {code}\n")));
    (0..10).map(|n| format!("{n:06}")).find(is_wrong).expect("a wrong code")
}

/// There is a command that alice may ask for, and bob must approve.
pub fn allow_asking(site: &Site) {
    let home = site.test_gateway.folder.path().display();
    let risky = format!(
        "summary = \"Risky\"\nrun_as = \"root\"\nargv = [\"{home}/command\", \"risky\"]\nmax_age = \"1d\"\n\
         [approval]\nby = [\"bob\"]\nwithin = \"1d\"\nrun_within = \"1d\"\n[allow.web]\n"
    );
    site.test_gateway.write("commands.d/risky.toml", 0o644, &risky);
    // A vote has no `max_age` of its own, and a soak is longer than the gateway's.
    site.test_gateway.set("max_age = \"1d\"");
}

/// The next mail asks for that command.
fn ask(site: &mut Site, now: Timestamp) {
    site.set_request(now, &request(now, "risky", &[], None));
    (site.arguments, site.result, site.runs, site.messages) = ("risky", "pending", 0, 2);
}

/// The next mail is bob's vote on a request of alice's that waits.
pub fn vote(site: &mut Site, now: Timestamp, command: &str) -> Result<()> {
    let before = Timestamp::from_seconds(now.seconds() - 60);
    ask(site, before);
    let ended = site.deliver(&[], |_| false)?;
    ensure!(ended.status == Some(0), "{ended:?}");
    let replies = site.replies()?;
    let texts = replies.iter().flat_map(|reply| mailsudo::intake::readable(reply.as_bytes()));
    let notice = texts.into_iter().find(|text| text.contains("mailsudo-notice: 1")).context("no notice")?;
    let field =
        |key: &str| notice.lines().rev().find_map(|line| line.strip_prefix(key)).context("a line of the notice");
    let arguments = [("id", field("request: ")?), ("digest", field("digest: ")?), ("reason", "no")];
    let (arguments, ends): (&[_], _) = match command {
        "approve" => (&arguments[..2], ("exit-0", 1)),
        _ => (&arguments, ("exit-0", 0)),
    };
    (site.result, site.runs) = ends;
    let block = block("bob", OTHER_KEY, now, command, arguments, None);
    site.set_request(now, &mail("bob@example.com", &block));
    site.forget_outcome();
    Ok(())
}

/// Delivers other requests until the next delivery's is the one that moves the write-ahead log into the ledger, or the
/// one after that.
fn fill(site: &mut Site, now: Timestamp, to_the_limit: bool) -> Result<()> {
    let ledger = site.test_gateway.path("ledger/ledger.db");
    for n in 1..50 {
        site.keep();
        let before = fs::read(&ledger)?;
        let time = Timestamp::from_seconds(now.seconds() - 60 * n);
        site.set_request(time, &request(time, "count", &[], None));
        let ended = site.deliver(&[], |_| false)?;
        ensure!(ended.status == Some(0), "{ended:?}");
        site.forget_outcome();
        if fs::read(&ledger)? != before {
            if to_the_limit {
                site.reset();
            }
            site.set_request(now, &request(now, "count", &[], None));
            return Ok(());
        }
    }
    bail!("the write-ahead log never fills")
}
