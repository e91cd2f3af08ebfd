//! What must hold of a delivery however it was cut short, once nothing disturbs it any more.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use mailsudo::config::{Gateway, Trusted};
use mailsudo::evidence::{Found, against, read_witnesses, verify};
use mailsudo::ledger;
use mailsudo::limits::Timeouts;
use mailsudo::protocol::{Key, Verdict, check_notice, verify_reply};
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::{KEY, OTHER_KEY};
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
        self.judge_asked(known)?;
        self.judge_replies()
    }

    fn judge_replies(&self) -> Result<()> {
        self.judge_messages()?;
        ensure!(self.number("SELECT count(*) FROM notices WHERE sent IS NULL")? == 0, "a notice is left to send");
        Ok(())
    }

    /// Each message that is to be sent, or copies of it, signed for its user.
    pub fn judge_messages(&self) -> Result<()> {
        let mut messages: BTreeMap<String, String> = BTreeMap::new();
        for message in self.replies()? {
            let ids: Vec<_> = message.lines().filter_map(|line| line.strip_prefix("Message-ID: ")).collect();
            let [id] = ids.as_slice() else { bail!("not one Message-ID: {message}") };
            let first = messages.entry((*id).to_owned()).or_insert_with(|| message.clone());
            ensure!(*first == message, "two messages that differ: {first}\n{message}");
        }
        ensure!(messages.len() == self.messages, "{} messages: {messages:#?}", messages.len());
        for message in messages.values() {
            let read = self.read(message)?;
            let text = mailsudo::intake::readable(read.as_bytes()).into_iter().next().context("no text")?;
            let key = if message.contains("\nTo: <bob@example.com>\n") { OTHER_KEY } else { KEY };
            let key = Key::from_hex(key).context("a key")?;
            let is_genuine = matches!(verify_reply(&text, &key), Verdict::Genuine(_))
                || matches!(check_notice(&text, &key).verdict, Verdict::Genuine(_));
            ensure!(is_genuine, "not genuine: {message}");
        }
        Ok(())
    }

    /// What a request waited for is over together with the vote that decided it, and ended like it.
    fn judge_asked(&self, known: &Known) -> Result<()> {
        let left =
            "SELECT count(*) FROM requests WHERE state = 'started' OR (command = 'risky' AND handed_over IS NULL)";
        ensure!(self.number(left)? == 0, "the request is left open by its vote, which ended as {known:?}");
        let result = known.result.as_deref().unwrap_or_default();
        let same = format!(
            "SELECT count(*) FROM requests AS asked JOIN votes ON votes.request = asked.name
             WHERE (votes.kind = 'approved' AND asked.result <> '{result}') OR (votes.kind = 'denied' AND asked.state <> 'denied')"
        );
        ensure!(self.number(&same)? == 0, "the request did not end as its vote says: {known:?}");
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
        let verified = verify(ledger.as_ref(), &gateway.settings().gateway, SystemClock.now())?;
        ensure!(verified.faults.is_empty(), "the audit chain: {:?}", verified.faults);
        // What was given out is never lost, whatever died.
        for reply in self.replies()? {
            let reply = self.read(&reply)?;
            let name = &gateway.settings().gateway;
            let witnesses = read_witnesses("reply", &mut reply.as_bytes(), &gateway, SystemClock.now())?;
            // A notice has no head: it is made again from the record, and must stay the same.
            let heads = usize::from(!reply.contains(".notice."));
            ensure!(witnesses.len() == heads, "{} heads, not {heads}: {reply}", witnesses.len());
            for witness in witnesses {
                let found = against(&verified, name, &witness);
                ensure!(witness.is_signed && matches!(found, Found::Held(_)), "{found:?}: {reply}");
            }
        }
        Ok(())
    }
}
