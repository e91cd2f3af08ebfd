//! Approvals: a request that asks for one, and votes. Each effect is recorded before the next begins.

use super::delivery::Delivery;
use super::judge::{Asked, Judge, Judgement, LOST};
use super::lockdown::locked_down;
use super::observer::Step;
use super::target::Target;
use crate::admission::{self, Admitted, Announcement, Claim, Conclusion, FullyApproved, PendingRecord};
use crate::authorize::{Action, Authorized, Person, Required, approvers};
use crate::config::Gateway;
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::ledger::{Ledger, Notice, NoticeKind, Record, State, StoredReply, Transaction, Vote};
use crate::limits::{APPROVERS, BEFORE_RUN, EXCLUSIVE_POLL};
use crate::protocol::{RunResult, Timestamp};
use crate::reply::{ReplyComposer, host};

/// What is recorded for a request that needs approval; `None` where it needs none.
///
/// # Errors
///
/// A refusal where too few users could approve it; a deferral where their files cannot be read.
pub(super) fn announcement(
    gateway: &Gateway,
    authorized: &Authorized<'_>,
    now: Timestamp,
) -> Result<Option<Announcement>, Stop> {
    let Some(required) = authorized.required() else {
        return Ok(None);
    };
    let identified = authorized.identified();
    let lost = || Deferral::new("configuration", format!("the files of {} are gone", identified.user()));
    let requester = Person::find(gateway, identified.user())?.ok_or_else(lost)?;
    let mut names = approvers(gateway, required.terms(), &requester)?;
    names.truncate(APPROVERS);
    let needed = usize::try_from(required.terms().needed.get()).unwrap_or(usize::MAX);
    if required.exception().is_none() && names.len() < needed {
        let detail =
            format!("{needed} must approve it, and {} could; the gateway's sysadmin must correct it", names.len());
        return Err(Refusal::new(Reason::NoApprover, detail).with_step(authorized.step()).into());
    }
    Ok(Some(Announcement::new(identified.id(), required, &names, host(), now)))
}

/// Whether the request must wait for approval.
pub(super) fn must_wait(authorized: &Authorized<'_>) -> bool {
    authorized.required().is_some_and(|required| required.exception().is_none())
}

/// What became of a vote, so far.
pub(super) enum Voted<'p> {
    /// It is recorded, with its reply.
    Done(Option<StoredReply>),
    /// It was the last one needed: this runs now.
    Run(Box<Admitted<'p>>),
    /// It was the last one needed, and another run holds the command.
    Held(Box<(Authorized<'p>, PendingRecord)>),
}

impl Delivery<'_> {
    /// Records a request as pending.
    pub(super) fn ask(
        &mut self,
        mut transaction: Box<dyn Transaction + '_>,
        authorized: &Authorized<'_>,
        mut pending: PendingRecord,
        announcement: &Announcement,
        now: Timestamp,
    ) -> Result<Option<StoredReply>, Stop> {
        let (Action::Run(invocation), Some(required)) = (authorized.action(), authorized.required()) else {
            return Ok(None);
        };
        let id = self.identified.id();
        self.point = Some(admission::asking(transaction.as_mut(), authorized, &mut pending, now)?);
        let reply = self.composer().pending(invocation, required, announcement, &id, now);
        admission::ask(transaction, authorized, pending, announcement, reply.clone(), now)?;
        self.observer.note(Step::Asked(
            self.identified,
            self.arguments,
            announcement,
            self.context.witness(self.point),
        ));
        Ok(Some(reply))
    }

    /// Tells the log that a request runs without approval.
    pub(super) fn exception(
        &mut self,
        required: Option<&Required>,
        announcement: Option<&Announcement>,
    ) -> Result<(), Stop> {
        if let (Some(role), Some(announcement)) = (required.and_then(Required::exception), announcement) {
            self.observer.require(Step::Exception(role, announcement))?;
        }
        Ok(())
    }

    /// Judges a vote, and records what it changes.
    pub(super) fn vote<'p>(
        &mut self,
        mut transaction: Box<dyn Transaction + '_>,
        authorized: Authorized<'p>,
        mut pending: PendingRecord,
        target: &Target,
        now: Timestamp,
    ) -> Result<Voted<'p>, Stop> {
        let Action::Vote(ballot) = authorized.action() else {
            return Err(Deferral::new("panic", "a vote without a ballot").into());
        };
        let judge = Judge {
            gateway: self.context.gateway,
            transaction: transaction.as_ref(),
            vote: self.identified.id(),
            voter: self.identified.user(),
            is_signed: self.identified.signed_by().is_some(),
            now,
        };
        let judgement = judge.judge(ballot)?;
        if !matches!(judgement, Judgement::Refuse(_)) {
            target.require_lock()?;
        }
        if let Some(event) = vote_event(&judgement) {
            self.point = Some(admission::voting(transaction.as_mut(), &authorized, &mut pending, &event, now)?);
        }
        self.record_judgement(transaction, authorized, pending, judgement, now)
    }

    /// Records what a vote changes, with its finished replies.
    fn record_judgement<'p>(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        authorized: Authorized<'p>,
        pending: PendingRecord,
        judgement: Judgement,
        now: Timestamp,
    ) -> Result<Voted<'p>, Stop> {
        let done = |reply: StoredReply| Ok(Voted::Done(Some(reply)));
        match judgement {
            Judgement::Refuse(refusal) => {
                let refusal = refusal.with_step(authorized.step());
                self.refuse(transaction, pending, refusal, now).map(Voted::Done)
            }
            Judgement::Run(asked, vote, approved) => {
                self.still_in_time()?;
                let longest = self.context.longest();
                let (record, votes) = (asked.record, asked.story.votes);
                let asked = FullyApproved { approved: *approved, record, votes, vote };
                let claim = admission::claim(transaction, authorized, pending, asked, longest, now)?;
                Ok(match claim {
                    Claim::Admitted(admitted) => {
                        if let Some(claimed) = admitted.claimed() {
                            let witness = self.context.witness(Some(admitted.point()));
                            self.observer.note(Step::Claimed(self.identified, claimed.record(), witness));
                        }
                        Voted::Run(admitted)
                    }
                    Claim::Held(held) => Voted::Held(held),
                })
            }
            Judgement::Counted(asked, vote, found, needed) => {
                let what = format!("Your approval counts: {found} of {needed}. It does not run yet.");
                let reply = self.composer().counted(&asked.record, &what, now);
                self.voted(transaction, pending, Conclusion { vote, ..plain(reply) }, &asked, "approved", now)
            }
            Judgement::Withdrawn(asked, vote) => {
                let reply = self.composer().counted(&asked.record, "Your approval is taken back.", now);
                let conclusion = Conclusion { vote: Some(vote), ..plain(reply) };
                self.voted(transaction, pending, conclusion, &asked, "withdrew", now)
            }
            Judgement::Denied(asked, vote) => {
                let reply = self.composer().counted(&asked.record, "You have denied it. It will not run.", now);
                let why = format!("{} denied it.", self.identified.user());
                let conclusion = self.concluded(&asked, State::Denied, Some(vote), &why, reply, now)?;
                self.voted(transaction, pending, conclusion, &asked, "denied", now)
            }
            Judgement::Cancelled(asked, vote) => {
                let reply = self.composer().counted(&asked.record, "It is cancelled, and will not run.", now);
                let conclusion =
                    self.concluded(&asked, State::Cancelled, Some(vote), "You cancelled it.", reply, now)?;
                self.voted(transaction, pending, conclusion, &asked, "cancelled", now)
            }
            Judgement::Expired(asked, why) => {
                let refusal = Refusal::new(Reason::NotPending, format!("it has lapsed. {}", why.trim_end_matches('.')));
                let reply = self.composer().refusal(&refusal, now);
                let conclusion = self.concluded(&asked, State::Lapsed, None, &why, reply.clone(), now)?;
                admission::conclude(transaction, pending, conclusion, now)?;
                self.observer.note(Step::Lapsed(&asked.record, &why, self.context.witness(self.point)));
                self.observer.note(Step::Refused(&refusal, self.context.witness(self.point)));
                done(reply)
            }
            Judgement::Lost(asked) => {
                let refusal = Refusal::new(Reason::FailedOver, LOST.trim_end_matches('.'));
                let reply = self.composer().refusal(&refusal, now);
                let conclusion = self.concluded(&asked, State::Finished, None, LOST, reply.clone(), now)?;
                admission::conclude(transaction, pending, conclusion, now)?;
                self.observer.note(Step::Refused(&refusal, self.context.witness(self.point)));
                done(reply)
            }
            Judgement::Lapsed(asked, vote, why) => {
                let why = format!("It was approved, but {why}.");
                let reply = self.composer().not_run(&asked.record, &why, now);
                let lapsed = self.concluded(&asked, State::Lapsed, vote, &why, reply.clone(), now)?;
                let conclusion = Conclusion { notices: self.told_of_lapse(&asked), ..lapsed };
                admission::conclude(transaction, pending, conclusion, now)?;
                self.observer.note(Step::Lapsed(&asked.record, &why, self.context.witness(self.point)));
                done(reply)
            }
        }
    }

    /// Records a vote that starts no run, and tells the log once that is durable.
    fn voted<'p>(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        pending: PendingRecord,
        conclusion: Conclusion,
        asked: &Asked,
        what: &'static str,
        now: Timestamp,
    ) -> Result<Voted<'p>, Stop> {
        let reply = conclusion.reply.clone();
        admission::conclude(transaction, pending, conclusion, now)?;
        let witness = self.context.witness(self.point);
        self.observer.note(Step::Voted(self.identified, &asked.record, what, witness));
        Ok(Voted::Done(Some(reply)))
    }

    /// A run that a vote starts begins no later in its delivery than any other run may, so that it ends within the time
    /// that Postfix allows (docs/decisions/0030).
    fn still_in_time(&self) -> Result<(), Deferral> {
        let timeouts = &self.context.timeouts;
        let latest = timeouts.exclusive_wait.saturating_add(timeouts.transaction.saturating_mul(BEFORE_RUN));
        if self.begun.elapsed() <= latest {
            return Ok(());
        }
        Err(Deferral::new("busy", "the ledger took too long before the run could begin; the next delivery begins it"))
    }

    /// Waits for the exclusive command of an approved request, and judges the vote again each time.
    pub(super) fn vote_until_decided<'p>(
        &mut self,
        ledger: &mut dyn Ledger,
        mut voted: Voted<'p>,
        target: &Target,
    ) -> Result<Voted<'p>, Stop> {
        let clock = self.context.clock;
        loop {
            let (authorized, pending) = match voted {
                Voted::Held(held) => *held,
                decided => return Ok(decided),
            };
            if clock.instant() >= target.deadline {
                let what = "another run holds the exclusive command of the approved request; the vote stays recorded";
                return Err(Deferral::new("busy", what).into());
            }
            self.observer.note(Step::Waiting(None));
            clock.sleep(EXCLUSIVE_POLL);
            if let Some(refusal) = locked_down(self.context, self.identified)? {
                return self.stop_waiting(ledger, pending, refusal).map(Voted::Done);
            }
            let transaction = ledger.transaction(&self.identified.id(), self.identified.user())?;
            admission::still_waiting(transaction.as_ref())?;
            voted = self.vote(transaction, authorized, pending, target, clock.now())?;
        }
    }

    /// What a vote changes that ends its request without a run.
    fn concluded(
        &self,
        asked: &Asked,
        state: State,
        vote: Option<Vote>,
        why: &str,
        reply: StoredReply,
        now: Timestamp,
    ) -> Result<Conclusion, Stop> {
        let result = match state {
            State::Denied => RunResult::Denied,
            State::Cancelled => RunResult::Cancelled,
            State::Finished => RunResult::Unknown,
            _ => RunResult::Lapsed,
        };
        let mut votes = asked.story.votes.clone();
        votes.extend(vote.clone());
        let compose = |composer: ReplyComposer<'_>| composer.concluded(result, &votes, why, now);
        let head = self.point.map(|point| point.head);
        let final_reply = self.context.to_requester(&asked.record, head, compose)?;
        let concluded = Record {
            argv: asked.record.shown_argv(),
            state,
            result: Some(result),
            finished: Some(now),
            replied: if final_reply.is_some() { None } else { Some(now) },
            reply: final_reply,
            ..asked.record.clone()
        };
        Ok(Conclusion { vote, concluded: Some(concluded), ..plain(reply) })
    }

    /// Everyone who was asked, but the user whose vote found out: that one gets a reply.
    fn told_of_lapse(&self, asked: &Asked) -> Vec<Notice> {
        let own = self.identified.user().as_str();
        let asked = asked.story.notices.iter().filter(|notice| notice.kind == NoticeKind::Ask && notice.user != own);
        asked.map(|notice| Notice { user: notice.user.clone(), kind: NoticeKind::Lapsed, sent: None }).collect()
    }
}

/// What is recorded of a vote that starts no run; `None` for one that is refused for itself, or is the last one needed.
fn vote_event(judgement: &Judgement) -> Option<admission::VoteEvent<'_>> {
    fn event<'b>(
        asked: &'b Asked,
        vote: Option<&'b Vote>,
        state: State,
        result: RunResult,
    ) -> admission::VoteEvent<'b> {
        admission::VoteEvent { vote, became: (&asked.record.id, state), refused: None, result }
    }
    let exit = RunResult::Exit(0);
    Some(match judgement {
        Judgement::Refuse(_) | Judgement::Run(..) => return None,
        Judgement::Counted(asked, vote, ..) => event(asked, vote.as_ref(), State::Pending, exit),
        Judgement::Withdrawn(asked, vote) => event(asked, Some(vote), State::Pending, exit),
        Judgement::Denied(asked, vote) => event(asked, Some(vote), State::Denied, exit),
        Judgement::Cancelled(asked, vote) => event(asked, Some(vote), State::Cancelled, exit),
        Judgement::Lapsed(asked, vote, _) => event(asked, vote.as_ref(), State::Lapsed, RunResult::Lapsed),
        Judgement::Expired(asked, _) => admission::VoteEvent {
            refused: Some(Reason::NotPending),
            ..event(asked, None, State::Lapsed, RunResult::Refused)
        },
        Judgement::Lost(asked) => admission::VoteEvent {
            refused: Some(Reason::FailedOver),
            ..event(asked, None, State::Finished, RunResult::Refused)
        },
    })
}

/// A vote that changes nothing but itself.
fn plain(reply: StoredReply) -> Conclusion {
    Conclusion { vote: None, concluded: None, notices: Vec::new(), reply }
}
