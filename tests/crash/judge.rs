//! What must hold of a delivery however it was cut short, once nothing disturbs it any more.

use anyhow::{Context, Result, bail, ensure};
use mailsudo::config::{Gateway, Trusted};
use mailsudo::evidence::verify;
use mailsudo::ledger;
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{Key, Verdict, verify_reply};

use crate::common::KEY;
use crate::site::{Known, Site};

/// How many deliveries a message may need once nothing disturbs it any more.
const TRIES: usize = 3;

impl Site {
    /// Delivers until the message is consumed, and says what the ledger then holds.
    pub fn redeliver(&self) -> Result<Known> {
        let mut last = Vec::new();
        for _ in 0..TRIES {
            let ended = self.deliver(&[], |_| false)?;
            match (ended.status, ended.signal) {
                (Some(0), None) => return self.look()?.context("an empty ledger after a delivery"),
                (Some(75), None) => last = ended.log,
                other => bail!("it ended with {other:?}: {:?}", ended.log),
            }
        }
        bail!("it was deferred {TRIES} times with nothing in its way: {last:?}")
    }

    /// The property itself: redelivers what was cut short when the ledger held `before` of it, and judges the end.
    pub fn settle(&self, before: Option<&Known>) -> Result<Known> {
        let known = self.redeliver()?;
        self.judge(before, &known)?;
        // A reply that could not be recorded as sent is sent once more, and then never again.
        let mut last = self.replies()?.len();
        for _ in 0..TRIES {
            let again = self.deliver(&[], |_| false)?;
            ensure!(again.status == Some(0), "delivered once more, it ended with {again:?}");
            let now = self.replies()?.len();
            if again.log.iter().any(|line| line.contains("reason=duplicate")) {
                ensure!(now == last, "a duplicate got a reply");
                let known = self.look()?.context("an empty ledger after a delivery")?;
                ensure!(known.is_closed, "{known:?}");
                self.judge(before, &known)?;
                self.judge_ledger()?;
                return Ok(known);
            }
            last = now;
        }
        bail!("it never became a duplicate")
    }

    fn judge(&self, before: Option<&Known>, known: &Known) -> Result<()> {
        let runs = self.test_gateway.runs();
        let result = known.result.as_deref();
        let was_started = before.is_some_and(|before| before.state != "waiting");
        let right = match result {
            Some(result) if result == self.result => runs.len() == self.runs,
            Some("unknown") => runs.len() <= 1 && was_started,
            Some("refused") => runs.is_empty() && self.calls_fail,
            _ => false,
        };
        ensure!(right, "{} runs, and the ledger holds {known:?}; it held {before:?}", runs.len());
        ensure!(runs.iter().all(|run| *run == self.arguments), "it ran with {runs:?}");
        if let Some(before) = before.filter(|before| before.state == "finished" || before.state == "refused") {
            ensure!(before.result == known.result, "a settled {before:?} became {known:?}");
        }
        if before.is_some_and(|before| before.state == "started") {
            ensure!(result == Some("unknown"), "what was started and not seen to end became {known:?}");
        }
        let held = self.number("SELECT count(holds_until) FROM requests")?;
        let may_still_run = result == Some("unknown") && self.is_exclusive;
        ensure!(held == u32::from(may_still_run), "{held} commands are held, and the ledger holds {known:?}");
        ensure!(self.number("SELECT count(*) FROM lockouts")? == 0, "one wrong code locks nobody out");
        self.judge_replies()
    }

    /// One reply, or copies of one, signed for this user.
    fn judge_replies(&self) -> Result<()> {
        let replies = self.replies()?;
        let first = replies.first().context("the user got no reply")?;
        ensure!(replies.iter().all(|reply| reply == first), "two replies that differ: {replies:#?}");
        ensure!(first.matches("\nMessage-ID: ").count() == 1, "{first}");
        let text = mailsudo::intake::readable(first.as_bytes()).into_iter().next().context("a reply without a text")?;
        let verdict = verify_reply(&text, &Key::from_hex(KEY).context("a key")?);
        ensure!(matches!(verdict, Verdict::Genuine(_)), "{verdict:?}: {first}");
        Ok(())
    }

    /// The ledger is sound, and its audit chain whole, says the program's own look at it.
    pub fn judge_ledger(&self) -> Result<()> {
        let gateway = Gateway::open(self.test_gateway.folder.path(), Trusted::caller())?;
        let ledger = ledger::open(gateway.settings(), Trusted::caller(), Timeouts::DEFAULT.transaction)?;
        let examined = ledger.examine(&mut |_| {})?;
        ensure!(examined.damage.is_none(), "the ledger: {examined:?}");
        let (counted, held) = (ledger.health()?.requests, examined.requests);
        ensure!(counted == held, "{counted} requests are counted, and {held} are there");
        let verified = verify(ledger.as_ref(), &gateway.settings().gateway)?;
        ensure!(verified.faults.is_empty(), "the audit chain: {:?}", verified.faults);
        Ok(())
    }
}
