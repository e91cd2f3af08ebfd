//! What a vote changes. In: the vote, the records in the open transaction, the configuration of now. Out: a
//! [`Judgement`]. It has no effect.
//!
//! MUST: users who may not judge a request get the same words as for one that does not exist. An approver counts only
//! with the right of now, and never as the requester or twice, under whatever name; with an SSH signature where the
//! command requires one. One denial is final, and needs no signature: it can only stop a run.

use crate::authorize::{Approved, Ballot, Person, Requested, reauthorize};
use crate::config::{Approval, Command, Gateway};
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::ledger::{ApprovalRecord, Record, State, Story, Transaction, Vote, VoteKind};
use crate::limits::MAX_AGE;
use crate::protocol::{Arguments, CommandName, ParameterName, Payload, RequestId, RunDigest, Timestamp, UserName};
use crate::reply::what_became;

/// Why a request ends that a database server may have lost (docs/decisions/0049).
pub(super) const LOST: &str = "The gateway's database was replaced, and does not know whether the request ran before. Look at what it changes, and sign it anew.";

/// A request that needs approval, as the ledger has it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) record: Record,
    pub(super) story: Story,
    approval: ApprovalRecord,
}

/// What a vote changes. A `vote` that is `None` is recorded already: it has waited.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nothing.
    Refuse(Refusal),
    /// The request has lapsed by time; the vote comes too late.
    Expired(Box<Asked>, String),
    /// A database server that failed may have recorded, and run, the request.
    Lost(Box<Asked>),
    /// The vote is the last one needed, and the request would not run as it was shown.
    Lapsed(Box<Asked>, Option<Vote>, String),
    /// The vote counts, and more are needed: how many there are, and how many must be.
    Counted(Box<Asked>, Option<Vote>, usize, usize),
    /// The vote is the last one needed.
    Run(Box<Asked>, Option<Vote>, Box<Approved>),
    /// The request is denied.
    Denied(Box<Asked>, Vote),
    /// Its user cancels it.
    Cancelled(Box<Asked>, Vote),
    /// The approver takes back an approval of their own.
    Withdrawn(Box<Asked>, Vote),
}

impl Judgement {
    /// The same for a sysadmin.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Refuse(refusal) => format!("refused: {} ({})", refusal.reason().code(), refusal.detail()),
            Self::Expired(_, why) | Self::Lapsed(_, _, why) => format!("the request would lapse: {why}"),
            Self::Lost(_) => format!("the request would end: {LOST}"),
            Self::Counted(_, _, found, needed) => format!("it would count, as {found} of {needed}"),
            Self::Run(_, _, approved) => {
                let (argv, run_as) = (approved.invocation().shown().join(" "), approved.invocation().run_as());
                format!("it is the last one needed, and would run {argv} as {run_as}")
            }
            Self::Denied(..) => "the request would be denied".to_owned(),
            Self::Cancelled(..) => "the request would be cancelled".to_owned(),
            Self::Withdrawn(..) => "the approval would be taken back".to_owned(),
        }
    }
}

/// The judge of one vote.
pub(super) struct Judge<'j> {
    pub(super) gateway: &'j Gateway,
    pub(super) transaction: &'j dyn Transaction,
    /// The request that is the vote.
    pub(super) vote: RequestId,
    pub(super) voter: &'j UserName,
    /// Whether the vote has an SSH signature that holds.
    pub(super) is_signed: bool,
    pub(super) now: Timestamp,
}

/// A user's approval that counts now.
struct Counted {
    person: Person,
    at: Timestamp,
}

impl Judge<'_> {
    /// Judges `ballot`.
    ///
    /// # Errors
    ///
    /// A deferral: the ledger or a file cannot be read.
    pub(super) fn judge(&self, ballot: &Ballot) -> Result<Judgement, Stop> {
        let id = ballot.request();
        let story = self.transaction.story_of(&id)?;
        let (Some(record), Some(approval)) = (self.transaction.record_of(&id)?, story.approval.clone()) else {
            return Ok(unknown());
        };
        let asked = Box::new(Asked { record, story, approval });
        let Some(voter) = Person::find(self.gateway, self.voter)? else {
            return Ok(unknown());
        };
        let requester = name(&asked.record.user)?;
        let requester = Person::find(self.gateway, &requester)?;
        match ballot {
            Ballot::Cancel(_) => self.cancel(asked, &voter, requester.as_ref()),
            Ballot::Approve(_, digest) => self.decide(asked, &voter, requester.as_ref(), *digest, None),
            Ballot::Deny(_, digest, why) => self.decide(asked, &voter, requester.as_ref(), *digest, Some(why)),
        }
    }

    fn cancel(&self, asked: Box<Asked>, voter: &Person, requester: Option<&Person>) -> Result<Judgement, Stop> {
        let is_own = asked.record.user == voter.name.as_str();
        if !is_own && !has_approved(&asked, voter) {
            return Ok(unknown());
        }
        if asked.record.state != State::Pending {
            return Ok(not_pending(&asked));
        }
        let terms = self.terms(&asked)?.1;
        let counted = match &terms {
            Some(terms) => self.counted(&asked, terms, requester)?,
            None => Vec::new(),
        };
        if let Some(why) = self.expired(&asked, terms.as_ref(), &counted) {
            return Ok(Judgement::Expired(asked, why));
        }
        let kind = if is_own { VoteKind::Cancel } else { VoteKind::Withdraw };
        let vote = self.new_vote(&asked, kind, None);
        Ok(if is_own { Judgement::Cancelled(asked, vote) } else { Judgement::Withdrawn(asked, vote) })
    }

    /// Judges an approval or, with a reason, a denial.
    fn decide(
        &self,
        asked: Box<Asked>,
        voter: &Person,
        requester: Option<&Person>,
        digest: RunDigest,
        denial: Option<&String>,
    ) -> Result<Judgement, Stop> {
        if asked.record.user == voter.name.as_str() {
            return Ok(own());
        }
        let (command, terms) = self.terms(&asked)?;
        let Some(terms) = terms.filter(|terms| terms.permits(&voter.name, &voter.user)) else {
            return Ok(unknown());
        };
        if digest != asked.approval.digest {
            return Ok(unknown());
        }
        if requester.is_some_and(|requester| requester.is(voter)) {
            return Ok(own());
        }
        if asked.record.state != State::Pending {
            return Ok(not_pending(&asked));
        }
        let counted = self.counted(&asked, &terms, requester)?;
        let lost = self.transaction.lost_until()?;
        if lost.is_some_and(|until| asked.record.signed <= until) {
            return Ok(Judgement::Lost(asked));
        }
        if let Some(why) = self.expired(&asked, Some(&terms), &counted) {
            return Ok(Judgement::Expired(asked, why));
        }
        if let Some(why) = denial {
            let vote = self.new_vote(&asked, VoteKind::Deny, Some(why.clone()));
            return Ok(Judgement::Denied(asked, vote));
        }
        let waited = asked.story.votes.iter().any(|vote| vote.by == self.vote);
        if waited && !active(&asked.story.votes).iter().any(|vote| vote.by == self.vote) {
            return Ok(Judgement::Refuse(Refusal::new(Reason::NotPending, "you have taken this approval back")));
        }
        if !waited && counted.iter().any(|counted| counted.person.is(voter)) {
            let detail = "you have approved this already; each user counts once";
            return Ok(Judgement::Refuse(Refusal::new(Reason::AlreadyApproved, detail)));
        }
        if terms.require_signature && !self.is_signed {
            return Ok(Judgement::Refuse(Refusal::unsigned()));
        }
        let vote = (!waited).then(|| self.new_vote(&asked, VoteKind::Approve, None));
        let needed = needed(&asked, Some(&terms));
        let others = counted.iter().filter(|counted| !counted.person.is(voter)).count();
        if others + 1 < needed {
            return Ok(Judgement::Counted(asked, vote, others + 1, needed));
        }
        Ok(match self.reauthorized(&asked, requester, command.as_ref())? {
            Ok(approved) => Judgement::Run(asked, vote, Box::new(approved)),
            Err(why) => Judgement::Lapsed(asked, vote, why),
        })
    }

    /// The approvals that count at this moment, the first first.
    fn counted(&self, asked: &Asked, terms: &Approval, requester: Option<&Person>) -> Result<Vec<Counted>, Stop> {
        let mut counted: Vec<Counted> = Vec::new();
        for vote in active(&asked.story.votes) {
            let Some(person) = Person::find(self.gateway, &name(&vote.user)?)? else {
                continue;
            };
            let may = terms.permits(&person.name, &person.user);
            let is_requester = requester.is_some_and(|requester| requester.is(&person));
            if may && !is_requester && !counted.iter().any(|other| other.person.is(&person)) {
                counted.push(Counted { person, at: vote.at });
            }
        }
        Ok(counted)
    }

    /// Why it is too late: not enough have approved in time, or enough have and it could not start in time after that.
    /// Both limits are inclusive.
    fn expired(&self, asked: &Asked, terms: Option<&Approval>, counted: &[Counted]) -> Option<String> {
        let last = needed(asked, terms).checked_sub(1).and_then(|at| counted.get(at));
        let Some((terms, last)) = terms.zip(last) else {
            let until = asked.approval.until;
            // No request waits longer: one that ends later was recorded while the clock was wrong.
            let is_over = self.now > until || until > self.now.plus(MAX_AGE);
            return is_over.then(|| format!("It was not approved until {until}."));
        };
        let start = last.at.plus(terms.run_within.as_duration());
        (self.now > start || start > self.now.plus(2 * MAX_AGE)).then(|| {
            format!(
                "It was approved at {}, but another run held its command, and it could not start until {start}.",
                last.at
            )
        })
    }

    /// The command of now, and its `[approval]`.
    fn terms(&self, asked: &Asked) -> Result<(Option<Command>, Option<Approval>), Stop> {
        let command = match CommandName::try_from(asked.record.command.as_str()) {
            Ok(name) => self.gateway.command(&name)?,
            Err(_) => None,
        };
        let terms = command.as_ref().and_then(|command| command.approval.clone());
        Ok((command, terms))
    }

    fn reauthorized(
        &self,
        asked: &Asked,
        requester: Option<&Person>,
        command: Option<&Command>,
    ) -> Result<Result<Approved, String>, Stop> {
        let Some(requester) = requester.filter(|requester| requester.user.enabled) else {
            return Ok(Err("the requester is no longer an enabled user of this gateway".to_owned()));
        };
        if self.gateway.lockdown()?.is_some_and(|lockdown| !lockdown.permits(&requester.name)) {
            return Ok(Err("the gateway is locked down, and the requester is not excepted".to_owned()));
        }
        let payload = match &asked.story.payload {
            None => None,
            Some(payload) => {
                let content = payload.content.clone();
                let lost = || Deferral::new("ledger", "the payload of a pending request is missing; restore a backup");
                Some(Payload::of(content.ok_or_else(lost)?))
            }
        };
        let previous = requester.secrets.previous.as_ref().map(|previous| &previous.key);
        let keys: Vec<_> = std::iter::once(&requester.secrets.key).chain(previous).collect();
        let shown = Requested {
            id: asked.record.id,
            gateway: &self.gateway.settings().gateway,
            roles: &requester.user.roles,
            arguments: arguments(&asked.record)?,
            argv: asked.record.argv.as_deref().unwrap_or_default(),
            keys: &keys,
            payload,
            digest: asked.approval.digest,
        };
        Ok(reauthorize(shown, command))
    }

    fn new_vote(&self, asked: &Asked, kind: VoteKind, words: Option<String>) -> Vote {
        Vote { by: self.vote, request: asked.record.id, user: self.voter.to_string(), kind, at: self.now, words }
    }
}

fn has_approved(asked: &Asked, voter: &Person) -> bool {
    active(&asked.story.votes).iter().any(|vote| vote.user == voter.name.as_str())
}

/// How many must approve: as many as was said, or more where the configuration of now says so.
fn needed(asked: &Asked, terms: Option<&Approval>) -> usize {
    let now = terms.map_or(0, |terms| terms.needed.get());
    usize::try_from(asked.approval.needed.max(now)).unwrap_or(usize::MAX)
}

/// The approvals that were not taken back.
fn active(votes: &[Vote]) -> Vec<&Vote> {
    let is_last = |at: usize, vote: &Vote| !votes.iter().skip(at + 1).any(|later| later.user == vote.user);
    let approvals = votes.iter().enumerate().filter(|(_, vote)| vote.kind == VoteKind::Approve);
    approvals.filter(|(at, vote)| is_last(*at, vote)).map(|(_, vote)| vote).collect()
}

/// The arguments of a request, as they are recorded.
fn arguments(record: &Record) -> Result<Arguments, Deferral> {
    let corrupt = || Deferral::new("ledger", "the ledger holds an impossible argument; restore a backup");
    let read = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((ParameterName::try_from(name).ok()?, value.to_owned()))
    };
    record.arguments.lines().map(|line| read(line).ok_or_else(corrupt)).collect()
}

fn name(text: &str) -> Result<UserName, Deferral> {
    let corrupt = |_| Deferral::new("ledger", "the ledger holds an impossible user; restore a backup");
    UserName::try_from(text).map_err(corrupt)
}

fn unknown() -> Judgement {
    let detail = "no request with this id and digest waits for you";
    Judgement::Refuse(Refusal::new(Reason::UnknownRequest, detail))
}

fn own() -> Judgement {
    let detail = "this is your own request; another user must judge it, and `cancel` takes it back";
    Judgement::Refuse(Refusal::new(Reason::OwnRequest, detail))
}

fn not_pending(asked: &Asked) -> Judgement {
    Judgement::Refuse(Refusal::new(Reason::NotPending, what_became(&asked.record, &asked.story)))
}
