//! How large a world is, and which rule is taken out of it.

use crate::state::Tick;

/// How long a command runs at most, its end by force included.
pub const LIMIT: Tick = 1;
/// How much longer an exclusive command is held; a run begins within it.
pub const MARGIN: Tick = 1;
/// How long a lock lasts: longer than a delivery that is not paused.
pub const LOCK: Tick = LIMIT + MARGIN + 2;
/// How far in the future a request may be signed.
pub const MAX_FUTURE: Tick = 1;
/// How old a request may be, and how old it is at least when it is pruned.
pub const MAX_AGE: Tick = 2;
/// How far a node's clock may differ from the database's.
pub const CLOCKS: Tick = 1;

/// A rule of the protocol. Each has a test that takes it out and finds what it prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The claim on a request is an INSERT that does nothing where a row is.
    Claim,
    /// A commit that is not proven is a deferral.
    DoubtDefers,
    /// What is read back after a commit must be this delivery's.
    ReadBack,
    /// A stored reply that is read is sent after a commit.
    ResumeCommits,
    /// A late writer changes only a row with its token.
    Token,
    /// One delivery at a time works on a request.
    Lock,
    /// A delivery goes on only while the lock is still its own.
    OwnLock,
    /// A run begins soon after its commit or not at all.
    InTime,
    /// A hold lasts longer than the run that it is for.
    HoldMargin,
    /// No exclusive command begins soon after a failover.
    Quiet,
    /// A failover refuses what was signed before it.
    LostUntil,
    /// ... also where the request is recorded as waiting.
    LostUntilWaiting,
    /// ... also what a node with a fast clock took from the future.
    LostUntilClocks,
    /// Pruning raises the watermark.
    Watermark,
    /// A reply is marked as sent after it was sent.
    SentThenMarked,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub signed: Tick,
    pub is_exclusive: bool,
}

/// The size of a world.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub requests: Vec<Request>,
    /// How much each node's clock is ahead of the database's.
    pub clocks: Vec<Tick>,
    /// Each commit is on a standby before it is answered, and the operator has said so.
    pub synchronous: bool,
    pub failovers: u8,
    pub kills: u8,
    /// How many commits end in doubt.
    pub doubts: u8,
    /// How often each node delivers each mail.
    pub attempts: u8,
    /// When the time ends.
    pub end: Tick,
    pub prunes: bool,
    pub without: Option<Rule>,
}

impl Configuration {
    /// Two nodes which both have one plain request's mail, signed now.
    pub fn small() -> Self {
        Self {
            requests: vec![Request { signed: 0, is_exclusive: false }],
            clocks: vec![0, 0],
            synchronous: true,
            failovers: 0,
            kills: 0,
            doubts: 0,
            attempts: 2,
            end: 1,
            prunes: false,
            without: None,
        }
    }

    pub fn holds(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
