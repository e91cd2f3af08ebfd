//! The steps of a delivery, each named like the function of the program that it stands for
//! (`the_code_has_the_same_steps`).

use crate::rules::{CLOCKS, Configuration, LIMIT, LOCK, MARGIN, MAX_AGE, MAX_FUTURE, Rule};
use crate::state::{Answer, At, Database, Fault, Lock, Row, RowState, Run, Token, World};

/// A request's mail on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub request: usize,
    pub node: usize,
}

/// How a commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It is done, and the answer is COMMIT.
    Done,
    /// It is done, and the connection is lost before the answer.
    Unanswered,
    /// It is not done, and the connection is lost.
    Undone,
    /// It is not done, and the client reports success (a transaction that had failed before).
    Hollow,
    /// It is done on the primary alone, with a warning: the wait for the standby was cancelled.
    Warned,
}

impl Ended {
    pub const ALL: [Self; 5] = [Self::Done, Self::Unanswered, Self::Undone, Self::Hollow, Self::Warned];
}

/// The world, and the rules that it has.
pub struct Steps<'w> {
    pub is: &'w Configuration,
    pub world: &'w mut World,
}

impl Steps<'_> {
    fn token(&self, at: Place) -> Token {
        Token { node: at.node, attempt: self.world.jobs[at.request][at.node].attempt }
    }

    fn go(&mut self, at: Place, to: At) {
        self.world.jobs[at.request][at.node].at = to;
    }

    /// The delivery ends, and the mail stays in the queue.
    pub fn leave(&mut self, at: Place) {
        let job = &mut self.world.jobs[at.request][at.node];
        (job.at, job.attempt, job.written) = (At::Queued, job.attempt + 1, 0);
    }

    /// The same, with the lock released.
    fn defer(&mut self, at: Place) {
        self.release(at);
        self.leave(at);
    }

    fn release(&mut self, at: Place) {
        let token = self.token(at);
        let lock = &mut self.world.database.locks[at.request];
        if lock.as_ref().is_some_and(|lock| lock.token == token) {
            *lock = None;
        }
    }

    fn consume(&mut self, at: Place) {
        self.release(at);
        self.go(at, At::Consumed);
        if self.world.sent[at.request].is_empty() {
            self.world.fault = Some(Fault::NoReply);
        }
    }

    /// Another server takes over. With synchronous replication `standbys` has the last state that a commit has waited
    /// for.
    pub fn fail_over(&mut self, standby: Option<usize>) {
        self.world.failovers += 1;
        self.world.timeline += 1;
        if let Some(number) = standby {
            self.world.database = self.world.standbys[number].clone();
        }
        self.world.standbys = vec![self.world.database.clone()];
    }

    /// Durable with the next commit only, so a failover may lose it.
    pub fn lock(&mut self, at: Place) {
        let (now, token) = (self.world.now, self.token(at));
        let held = self.world.database.locks[at.request].as_ref();
        // A process on the same host sees that the holder is dead.
        let is_dead = |lock: &Lock| lock.token.node == at.node && lock.token.attempt < token.attempt;
        if self.is.holds(Rule::Lock) && held.is_some_and(|lock| lock.ends >= now && !is_dead(lock)) {
            return;
        }
        self.world.database.locks[at.request] = Some(Lock { token, ends: now + LOCK });
        self.go(at, At::Locked);
    }

    /// Commits `database`, and with it all that was committed before. Whether the answer is a success without a
    /// warning.
    fn commit(&mut self, database: Database, end: Ended) -> bool {
        if end != Ended::Done {
            self.world.doubts += 1;
        }
        if !matches!(end, Ended::Undone | Ended::Hollow) {
            self.world.database = database;
        }
        if end == Ended::Done && self.is.synchronous {
            self.world.standbys = vec![self.world.database.clone()];
        } else if !self.is.synchronous && self.world.standbys.last() != Some(&self.world.database) {
            // How far a standby is behind: one commit or two.
            self.world.standbys.push(self.world.database.clone());
            let most = self.world.standbys.len().saturating_sub(3);
            self.world.standbys.drain(..most);
        }
        match end {
            Ended::Done => true,
            Ended::Hollow => !self.is.holds(Rule::ReadBack) || !self.is.holds(Rule::DoubtDefers),
            Ended::Unanswered | Ended::Warned => !self.is.holds(Rule::DoubtDefers),
            Ended::Undone => false,
        }
    }

    /// Whether the row is the one that this delivery has written.
    fn read_back(&self, at: Place, end: Ended) -> bool {
        if !self.is.holds(Rule::ReadBack) || !self.is.holds(Rule::DoubtDefers) {
            return true;
        }
        let row = self.world.database.rows[at.request].as_ref();
        end == Ended::Done && row.is_some_and(|row| row.token == self.token(at))
    }

    /// The server is another one, or has become another one.
    fn recognise(&self, database: &mut Database) {
        if database.stored == self.world.timeline {
            return;
        }
        database.stored = self.world.timeline;
        if self.is.synchronous {
            return;
        }
        if self.is.holds(Rule::LostUntil) {
            let clocks = if self.is.holds(Rule::LostUntilClocks) { CLOCKS } else { 0 };
            database.lost_until = database.lost_until.max(Some(self.world.now + MAX_FUTURE + clocks));
        }
        if self.is.holds(Rule::Quiet) {
            database.quiet_until = database.quiet_until.max(Some(self.world.now + LIMIT + MARGIN));
        }
    }

    /// Begins, decides, writes and commits; no other transaction is open, and no time passes in it.
    pub fn transaction(&mut self, at: Place, end: Ended, is_retry: bool) {
        let (now, token) = (self.world.now, self.token(at));
        let own = self.world.database.locks[at.request]
            .as_ref()
            .is_some_and(|lock| lock.token == token && lock.ends >= now + MARGIN);
        if self.is.holds(Rule::OwnLock) && self.is.holds(Rule::Lock) && !own {
            return self.defer(at);
        }
        let mut database = self.world.database.clone();
        self.recognise(&mut database);
        let row = database.rows[at.request].clone();
        let is_waiting = row.as_ref().is_some_and(|row| row.state == RowState::Waiting);
        match row {
            _ if is_retry && !is_waiting => self.defer(at),
            Some(row) if row.replied => self.consume(at),
            Some(Row { answer: Some(answer), .. }) => self.resume(at, database, answer, end),
            Some(row) if row.state == RowState::Started && self.is.holds(Rule::Claim) => {
                self.give_up(at, database, row, end);
            }
            _ => match self.refused(at, &database, is_waiting) {
                Some(answer) => self.refuse(at, database, answer, end),
                None => self.admit(at, database, end),
            },
        }
    }

    /// Why a request that is new, or has waited, may not run.
    fn refused(&self, at: Place, database: &Database, is_waiting: bool) -> Option<Answer> {
        let signed = self.is.requests[at.request].signed;
        let now = self.world.now + self.is.clocks[at.node];
        let is_lost = database.lost_until.is_some_and(|until| signed <= until);
        if is_waiting {
            return (is_lost && self.is.holds(Rule::LostUntilWaiting)).then_some(Answer::FailedOver);
        }
        if database.watermark.is_some_and(|until| signed <= until)
            || signed + MAX_AGE < now
            || now + MAX_FUTURE < signed
        {
            return Some(Answer::Refused);
        }
        is_lost.then_some(Answer::FailedOver)
    }

    fn write(&mut self, at: Place, database: &mut Database, row: Row) {
        let token = self.token(at);
        let written = database.rows[at.request].as_ref().map_or(0, |row| row.written) + 1;
        database.rows[at.request] = Some(Row { token, written, ..row });
        self.world.jobs[at.request][at.node].written = written;
    }

    fn settle(&mut self, at: Place, mut database: Database, row: Row, end: Ended, to: At) {
        self.write(at, &mut database, row);
        let is_proven = self.commit(database, end) && self.read_back(at, end);
        if is_proven { self.go(at, to) } else { self.defer(at) }
    }

    fn refuse(&mut self, at: Place, database: Database, answer: Answer, end: Ended) {
        self.settle(at, database, closed(answer, None), end, At::Stored(answer));
    }

    /// What is stored may be on this server alone: it is sent after a commit that waits for the standby.
    fn resume(&mut self, at: Place, database: Database, answer: Answer, end: Ended) {
        let is_safe = !self.is.holds(Rule::ResumeCommits) || self.commit(database, end);
        if is_safe { self.go(at, At::Stored(answer)) } else { self.defer(at) }
    }

    fn give_up(&mut self, at: Place, database: Database, row: Row, end: Ended) {
        self.settle(at, database, closed(Answer::Unknown, row.hold_ends), end, At::Stored(Answer::Unknown));
    }

    fn admit(&mut self, at: Place, database: Database, end: Ended) {
        let now = self.world.now;
        let is_exclusive = self.is.requests[at.request].is_exclusive;
        let others = database.rows.iter().enumerate().filter(|(request, _)| *request != at.request);
        let mut holds = others.filter_map(|(_, row)| row.as_ref()?.hold_ends).chain(database.quiet_until);
        let row = |state, hold_ends| Row {
            state,
            token: self.token(at),
            written: 0,
            answer: None,
            replied: false,
            hold_ends,
        };
        if is_exclusive && holds.any(|until| until >= now) {
            if database.rows[at.request].is_none() {
                let row = row(RowState::Waiting, None);
                return self.settle(at, database, row, end, At::Waiting);
            }
            // Nothing to write, but what was recognised must be kept: without the commit the quiet time would begin
            // anew each time.
            let is_proven = self.commit(database, end);
            return if is_proven { self.go(at, At::Waiting) } else { self.defer(at) };
        }
        let margin = if self.is.holds(Rule::HoldMargin) { MARGIN } else { 0 };
        let row = row(RowState::Started, is_exclusive.then_some(now + LIMIT + margin));
        self.settle(at, database, row, end, At::Admitted(now));
    }

    pub fn execute(&mut self, at: Place) {
        let At::Admitted(since) = self.world.jobs[at.request][at.node].at else { return };
        let (now, request) = (self.world.now, at.request);
        if self.is.holds(Rule::InTime) && now > since + MARGIN {
            return self.go(at, At::NotBegun);
        }
        let is_exclusive = |request: usize| self.is.requests[request].is_exclusive;
        if is_exclusive(request) && self.world.runs.iter().any(|run| is_exclusive(run.request)) {
            self.world.fault = Some(Fault::Overlap);
        }
        if self.world.began[request] > 0 {
            self.world.fault = Some(Fault::RanTwice);
        }
        let is_final = |answer: &Answer| matches!(answer, Answer::Unknown | Answer::NotBegun);
        if self.world.sent[request].iter().any(is_final) {
            self.world.fault = Some(Fault::BegunAfterAnswer);
        }
        self.world.began[request] += 1;
        self.world.runs.push(Run { request, since: now });
        self.go(at, At::Running);
    }

    /// The command has ended, or it was too late to begin it; this is recorded.
    pub fn finish(&mut self, at: Place, end: Ended) {
        let not_begun = self.world.jobs[at.request][at.node].at == At::NotBegun;
        let answer = if not_begun { Answer::NotBegun } else { Answer::Ran };
        if !not_begun {
            self.world.runs.retain(|run| run.request != at.request);
        }
        let token = self.token(at);
        let written = self.world.jobs[at.request][at.node].written;
        let mut database = self.world.database.clone();
        self.recognise(&mut database);
        let is_own = |row: &Row| row.token == token && row.written == written && !row.replied;
        let row = database.rows[at.request].as_ref();
        if !row.is_some_and(|row| is_own(row) || !self.is.holds(Rule::Token)) {
            return self.defer(at);
        }
        self.settle(at, database, closed(answer, None), end, At::Stored(answer));
    }

    /// Sends the delivery's own reply.
    pub fn send_own(&mut self, at: Place) {
        let (answer, is_marked) = match self.world.jobs[at.request][at.node].at {
            At::Marked(answer) => (answer, true),
            At::Stored(answer) => (answer, false),
            _ => return,
        };
        if !is_marked && !self.is.holds(Rule::SentThenMarked) {
            self.mark(at);
            return self.go(at, At::Marked(answer));
        }
        let sent = &mut self.world.sent[at.request];
        // Where a failover has lost commits, the ledger does not know what was said before.
        let is_end = |answer: Answer| matches!(answer, Answer::Ran | Answer::Unknown | Answer::NotBegun);
        let contradicts =
            self.is.synchronous && is_end(answer) && sent.iter().any(|before| *before != answer && is_end(*before));
        sent.push(answer);
        sent.dedup();
        if contradicts {
            self.world.fault = Some(Fault::TwoAnswers);
        }
        self.go(at, At::Sent(answer));
    }

    fn mark(&mut self, at: Place) {
        if let Some(row) = &mut self.world.database.rows[at.request]
            && row.state == RowState::Closed
        {
            row.replied = true;
        }
    }

    /// Need not be durable: if it is lost, the same reply is sent once more.
    pub fn end_delivery(&mut self, at: Place) {
        self.mark(at);
        self.consume(at);
    }

    pub fn prune(&mut self) {
        let mut database = self.world.database.clone();
        for (row, request) in database.rows.iter_mut().zip(&self.is.requests) {
            if row.as_ref().is_some_and(|row| row.replied) && request.signed + MAX_AGE < self.world.now {
                *row = None;
                if self.is.holds(Rule::Watermark) {
                    database.watermark = database.watermark.max(Some(request.signed));
                }
            }
        }
        self.world.database = database;
    }
}

fn closed(answer: Answer, hold_ends: Option<i8>) -> Row {
    let token = Token { node: 0, attempt: 0 };
    Row { state: RowState::Closed, token, written: 0, answer: Some(answer), replied: false, hold_ends }
}
