//! What one delivery sends: notices to approvers, the final reply to a request that was voted on, and last its own
//! reply. Each is marked when it was sent, so that the next delivery of the same mail sends only the rest. The own
//! reply comes last: after it the mail is a duplicate.
//!
//! MUST: all messages of one delivery share the time of one (docs/decisions/0030). No key is in memory while sendmail
//! runs.

use std::time::{Duration, Instant};

use super::context::Context;
use super::observer::{Observer, Step, Witness};
use crate::admission;
use crate::authorize::{MustSign, Person, terms_of};
use crate::encryption::Encryption;
use crate::error::{Deferral, Stop};
use crate::ledger::{Ledger, Notice, NoticeKind, Record, State, StoredReply, Story};
use crate::limits::{LEDGER_READ, Timeouts};
use crate::protocol::{RequestId, UserName};
use crate::reply::{ReplyTransport, notice};

/// Sends what one delivery has to send.
pub(super) struct Sender<'s> {
    context: &'s Context<'s>,
    encryption: &'s Encryption<'s>,
    transport: &'s ReplyTransport,
    ledger: &'s mut dyn Ledger,
    observer: &'s mut dyn Observer,
    /// When the delivery began.
    begun: Instant,
    /// When the time for messages is over.
    deadline: Instant,
}

impl<'s> Sender<'s> {
    pub(super) fn new(
        context: &'s Context<'s>,
        encryption: &'s Encryption<'s>,
        transport: &'s ReplyTransport,
        ledger: &'s mut dyn Ledger,
        observer: &'s mut dyn Observer,
        begun: Instant,
    ) -> Self {
        // The time for messages is one: what was used to decrypt the request is gone.
        let deadline = Instant::now() + context.timeouts.reply.saturating_sub(encryption.used());
        Self { context, encryption, transport, ledger, observer, begun, deadline }
    }

    /// Sends what is left to send about the request `id` besides its own delivery's reply: notices, and, where a vote
    /// on it is delivered, its final reply.
    pub(super) fn send_about(&mut self, id: &RequestId, is_own: bool) -> Result<(), Stop> {
        self.left_for_reading()?;
        let Some(record) = self.ledger.record(id)? else {
            return Ok(());
        };
        self.left_for_reading()?;
        let story = self.ledger.story(id)?;
        if let (false, None, Some(reply)) = (is_own, record.replied, record.reply.clone()) {
            let witness = self.context.witness_in(&reply);
            let reply = self.finished(id, &record.user, reply)?;
            self.send(&reply)?;
            let now = self.context.clock.now();
            let left = self.left()?;
            admission::mark_concluded(self.ledger, id, left, now)?;
            self.observer.note(Step::Replied(&reply.to, witness));
        }
        for one in story.notices.iter().filter(|notice| notice.sent.is_none()) {
            let message = self.notice(&record, &story, one)?;
            self.log_withheld();
            if let Some(message) = message {
                self.send(&message)?;
                self.observer.note(Step::Noticed(one, &message.to));
            }
            let left = self.left()?;
            self.ledger.mark_noticed(id, one, self.context.clock.now(), left)?;
        }
        Ok(())
    }

    /// Tells the log what could not be encrypted, and why.
    fn log_withheld(&mut self) {
        for why in self.encryption.faults() {
            self.observer.note(Step::Withheld(&why));
        }
    }

    /// The notice; `None` where it must not be sent any more.
    fn notice(&self, record: &Record, story: &Story, one: &Notice) -> Result<Option<StoredReply>, Stop> {
        if one.kind == NoticeKind::Ask && record.state != State::Pending {
            return Ok(None);
        }
        let gateway = self.context.gateway;
        let approver = Person::named(gateway, &one.user)?.filter(|approver| approver.user.enabled);
        let must_sign = |approver: &Person| MustSign::of(&approver.user, terms_of(gateway, &record.command).as_ref());
        Ok(approver
            .and_then(|approver| notice(self.encryption, &approver, record, story, one.kind, must_sign(&approver))))
    }

    /// Sends the delivery's own reply and records that. After that nothing may defer, because the user has the reply.
    pub(super) fn send_own(
        &mut self,
        id: &RequestId,
        user: &UserName,
        reply: StoredReply,
        witness: Option<Witness<'_>>,
    ) -> Result<(), Stop> {
        let witness = witness.or_else(|| self.context.witness_in(&reply));
        let reply = self.finished(id, user.as_str(), reply)?;
        self.send(&reply)?;
        self.observer.note(Step::Replied(&reply.to, witness));
        let context = self.context;
        let retention = context.gateway.settings().retention.as_duration();
        // Nothing else waits after this. It uses what the other waits leave of the time that Postfix allows.
        let left = context.timeouts.total().saturating_sub(self.begun.elapsed()).max(context.timeouts.transaction);
        let (lost, now) = (self.observer.lost(), context.clock.now());
        if let Err(error) = admission::mark_replied(self.ledger, id, lost, retention, left, now) {
            self.observer.note(Step::NotRecorded(&error));
        }
        Ok(())
    }

    /// The reply to the request `id` of `user` as it is sent: a draft is encrypted now, outside any transaction, and
    /// stored like that before it is sent, so that every copy is the same to the byte.
    fn finished(&mut self, id: &RequestId, user: &str, reply: StoredReply) -> Result<StoredReply, Stop> {
        if reply.draft.is_none() {
            return Ok(reply);
        }
        let encrypted = self.encrypted(id, user, &reply)?;
        let message = encrypted.unwrap_or_else(|| reply.message.clone());
        let finished = StoredReply::finished(reply.to.clone(), message);
        let left = self.left()?;
        self.ledger.replace_reply(id, &reply, &finished, left)?;
        self.log_withheld();
        Ok(finished)
    }

    /// What is to be sent of a draft; `None` where it cannot be encrypted. The keys are gone when the program runs.
    fn encrypted(&self, id: &RequestId, user: &str, reply: &StoredReply) -> Result<Option<Vec<u8>>, Stop> {
        let Some(person) = Person::named(self.context.gateway, user)? else {
            self.encryption.fault(format!("to {user}: the user has no files any more"));
            return Ok(None);
        };
        let secrets = &person.secrets;
        let keys = std::iter::once(&secrets.key).chain(secrets.previous.as_ref().map(|previous| &previous.key));
        let opened = reply.open(keys, id);
        let Person { name, user: _, secrets } = person;
        drop(secrets);
        Ok(match opened {
            Some((kind, Some(plain))) => self.encryption.encrypt(&name, kind, &plain),
            Some((kind, None)) => {
                self.encryption.fault(format!("{kind} to {name}: no key of the user opens what was stored"));
                None
            }
            None => None,
        })
    }

    fn send(&mut self, message: &StoredReply) -> Result<(), Deferral> {
        let left = self.left()?;
        self.transport.send(message, &Timeouts { reply: left, ..self.context.timeouts })
    }

    /// The time that is left.
    fn left(&self) -> Result<Duration, Deferral> {
        let over = || Deferral::new("sendmail", "the time for messages is over; the next delivery sends the rest");
        self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(over)
    }

    /// Whether enough time is left to read the ledger once.
    fn left_for_reading(&self) -> Result<(), Deferral> {
        let needed = self.context.timeouts.transaction.min(self.context.timeouts.reply);
        match self.left()? {
            left if left + LEDGER_READ < needed => {
                Err(Deferral::new("ledger", "it is slow; the next delivery sends the messages that are left"))
            }
            _ => Ok(()),
        }
    }
}
