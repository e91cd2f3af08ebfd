//! Approvals, payloads, votes and notices, in PostgreSQL's SQL.

use std::time::{Duration, Instant};

use super::record::{self, COLUMNS, Written, record_of};
use super::transaction::PostgresTransaction;
use super::value::{Row, Value};
use super::wire::{Answer, statement};
use super::{ASYNCHRONOUS, Postgres};
use crate::ledger::{
    ApprovalQueries, ApprovalRecord, ApprovalTransaction, LedgerError, Notice, NoticeKind, PayloadRecord, Record,
    State, Story, Vote, VoteKind,
};
use crate::protocol::{PayloadDigest, RequestId, RunDigest, Timestamp};

impl ApprovalQueries for Postgres {
    fn record(&self, id: &RequestId) -> Result<Option<Record>, LedgerError> {
        one_record(self.one(&known(), &[bytes(id)])?)
    }

    fn story(&self, id: &RequestId) -> Result<Story, LedgerError> {
        let key = [bytes(id)];
        story(id, self.repeat(&STORY.map(|sql| statement(sql, &key)))?)
    }

    fn pending(&self, most: u32) -> Result<Vec<Record>, LedgerError> {
        let sql = format!(
            "SELECT {} FROM mailsudo.approvals a JOIN mailsudo.requests r ON r.id = a.id
             WHERE a.is_open AND r.state = 'pending' ORDER BY a.until, a.id LIMIT $1",
            COLUMNS.split(", ").map(|column| format!("r.{}", column.trim())).collect::<Vec<_>>().join(", ")
        );
        let rows = self.one(&sql, &[i64::from(most).into()])?.rows;
        rows.into_iter().map(|mut row| record::read(&mut row)).collect()
    }

    fn mark_noticed(
        &mut self,
        id: &RequestId,
        notice: &Notice,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        let sql = "UPDATE mailsudo.notices SET sent = $4
             WHERE request = $1 AND user_name = $2 AND kind = $3 AND sent IS NULL";
        let values = [bytes(id), notice.user.as_str().into(), notice.kind.word().into(), now.into()];
        let statements = [statement(ASYNCHRONOUS, &[]), statement(sql, &values)];
        self.session.borrow_mut().repeat(&statements, Instant::now() + timeout).map(drop)
    }
}

impl ApprovalTransaction for PostgresTransaction {
    fn record_of(&self, id: &RequestId) -> Result<Option<Record>, LedgerError> {
        one_record(self.one(&known(), &[bytes(id)])?)
    }

    fn story_of(&self, id: &RequestId) -> Result<Story, LedgerError> {
        let key = [bytes(id)];
        let answers = STORY.iter().map(|sql| Ok(self.one(sql, &key)?)).collect::<Result<_, LedgerError>>()?;
        story(id, answers)
    }

    fn voted_on(&self, by: &RequestId) -> Result<Option<RequestId>, LedgerError> {
        let found = self.one("SELECT request FROM mailsudo.votes WHERE vote = $1", &[bytes(by)])?.row();
        found.map(|mut row| record_of(&row.bytes("id")?)).transpose()
    }

    fn change(&mut self, record: &Record, from: State) -> Result<bool, LedgerError> {
        let row = Written::new(record);
        let (node, token) = self.writer();
        let values = row.claim(from.word(), node, token);
        Ok(self.one(record::CLAIM, &values)?.changed() == 1)
    }

    fn insert_approval(&mut self, approval: &ApprovalRecord) -> Result<(), LedgerError> {
        Ok(self.one(INSERT_APPROVAL, &approval_values(approval, approval.exception.is_none())).map(drop)?)
    }

    fn insert_payload(&mut self, id: &RequestId, payload: &PayloadRecord) -> Result<(), LedgerError> {
        Ok(self.one(INSERT_PAYLOAD, &payload_values(id, payload)).map(drop)?)
    }

    fn insert_vote(&mut self, vote: &Vote) -> Result<(), LedgerError> {
        Ok(self.one(INSERT_VOTE, &vote_values(vote)).map(drop)?)
    }

    fn insert_notice(&mut self, id: &RequestId, notice: &Notice) -> Result<(), LedgerError> {
        let sql = format!("{INSERT_NOTICE} {UNLESS_THERE}");
        Ok(self.one(&sql, &notice_values(id, notice)).map(drop)?)
    }

    fn close_approval(&mut self, id: &RequestId) -> Result<(), LedgerError> {
        self.one("UPDATE mailsudo.approvals SET is_open = false WHERE id = $1", &[bytes(id)])?;
        self.one("UPDATE mailsudo.payloads SET content = NULL WHERE id = $1", &[bytes(id)])?;
        Ok(())
    }
}

const INSERT_APPROVAL: &str =
    "INSERT INTO mailsudo.approvals (id, digest, until, needed, host, reason, exception, is_open)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8 = 1)";
const INSERT_PAYLOAD: &str = "INSERT INTO mailsudo.payloads (id, digest, size, content) VALUES ($1, $2, $3, $4)";
const INSERT_VOTE: &str =
    "INSERT INTO mailsudo.votes (vote, request, user_name, kind, at, words) VALUES ($1, $2, $3, $4, $5, $6)";
const INSERT_NOTICE: &str = "INSERT INTO mailsudo.notices (request, user_name, kind, sent) VALUES ($1, $2, $3, $4)";
const UNLESS_THERE: &str = "ON CONFLICT DO NOTHING";

fn approval_values(approval: &ApprovalRecord, is_open: bool) -> Vec<Value<'_>> {
    vec![
        bytes(&approval.request),
        approval.digest.as_bytes().as_slice().into(),
        approval.until.into(),
        i64::from(approval.needed).into(),
        approval.host.as_str().into(),
        approval.reason.as_deref().into(),
        approval.exception.as_deref().into(),
        i64::from(is_open).into(),
    ]
}

fn payload_values<'v>(id: &'v RequestId, payload: &'v PayloadRecord) -> Vec<Value<'v>> {
    let size = i64::try_from(payload.size).unwrap_or(i64::MAX);
    let digest = payload.digest.as_bytes().as_slice();
    vec![bytes(id), digest.into(), size.into(), payload.content.as_deref().into()]
}

fn vote_values(vote: &Vote) -> Vec<Value<'_>> {
    vec![
        bytes(&vote.by),
        bytes(&vote.request),
        vote.user.as_str().into(),
        vote.kind.word().into(),
        vote.at.into(),
        vote.words.as_deref().into(),
    ]
}

fn notice_values<'v>(id: &'v RequestId, notice: &'v Notice) -> Vec<Value<'v>> {
    vec![bytes(id), notice.user.as_str().into(), notice.kind.word().into(), notice.sent.into()]
}

/// The statements that write a story of another ledger, where it is not there yet, with their values.
pub(super) fn rows<'v>(record: &'v Record, story: &'v Story) -> Vec<(String, Vec<Value<'v>>)> {
    let is_open = record.state == State::Pending;
    let approval = story.approval.iter().map(|approval| (INSERT_APPROVAL, approval_values(approval, is_open)));
    let payload = story.payload.iter().map(|payload| (INSERT_PAYLOAD, payload_values(&record.id, payload)));
    let votes = story.votes.iter().map(|vote| (INSERT_VOTE, vote_values(vote)));
    let notices = story.notices.iter().map(|notice| (INSERT_NOTICE, notice_values(&record.id, notice)));
    let all = approval.chain(payload).chain(votes).chain(notices);
    all.map(|(sql, values)| (format!("{sql} {UNLESS_THERE}"), values)).collect()
}

fn bytes(id: &RequestId) -> Value<'_> {
    id.as_bytes().as_slice().into()
}

fn known() -> String {
    format!("SELECT {COLUMNS} FROM mailsudo.requests WHERE id = $1")
}

fn one_record(answer: Answer) -> Result<Option<Record>, LedgerError> {
    answer.row().map(|mut row| record::read(&mut row)).transpose()
}

fn digest(row: &mut Row) -> Result<[u8; 32], LedgerError> {
    row.bytes("digest")?.as_ref().try_into().map_err(|_| LedgerError::Corrupt("digest"))
}

/// What is known of one request, `$1`.
const STORY: [&str; 4] = [
    "SELECT digest, until, needed, host, reason, exception FROM mailsudo.approvals WHERE id = $1",
    "SELECT digest, size, content FROM mailsudo.payloads WHERE id = $1",
    "SELECT vote, user_name, kind, at, words FROM mailsudo.votes WHERE request = $1 ORDER BY seq",
    "SELECT user_name, kind, sent FROM mailsudo.notices WHERE request = $1 ORDER BY user_name, kind",
];

/// Reads the answers to [`STORY`].
fn story(id: &RequestId, answers: Vec<Answer>) -> Result<Story, LedgerError> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().ok_or(LedgerError::Corrupt("answer"));
    let (approval, payload, votes, notices) = (next()?, next()?, next()?, next()?);
    let approval = approval.row().map(|mut row| -> Result<_, LedgerError> {
        Ok(ApprovalRecord {
            request: *id,
            digest: RunDigest::from_bytes(digest(&mut row)?),
            until: row.time("last moment")?,
            needed: u32::try_from(row.int("count")?).map_err(|_| LedgerError::Corrupt("count"))?,
            host: row.text("host")?,
            reason: row.maybe_text("reason")?,
            exception: row.maybe_text("exception")?,
        })
    });
    let payload = payload.row().map(|mut row| -> Result<_, LedgerError> {
        Ok(PayloadRecord {
            digest: PayloadDigest::from_bytes(digest(&mut row)?),
            size: row.count("size")?,
            content: row.maybe_bytes("payload")?.map(|content| content.to_vec()),
        })
    });
    Ok(Story {
        approval: approval.transpose()?,
        payload: payload.transpose()?,
        votes: votes.rows.into_iter().map(|row| vote(id, row)).collect::<Result<_, _>>()?,
        notices: notices.rows.into_iter().map(notice).collect::<Result<_, _>>()?,
    })
}

fn vote(request: &RequestId, mut row: Row) -> Result<Vote, LedgerError> {
    let by = record_of(&row.bytes("id")?)?;
    let user = row.text("user")?;
    let word = row.text("vote")?;
    let kind = VoteKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or(LedgerError::Corrupt("vote"))?;
    Ok(Vote { by, request: *request, user, kind, at: row.time("time of vote")?, words: row.maybe_text("reason")? })
}

fn notice(mut row: Row) -> Result<Notice, LedgerError> {
    let user = row.text("user")?;
    let word = row.text("notice")?;
    let kind = NoticeKind::ALL.into_iter().find(|kind| kind.word() == word).ok_or(LedgerError::Corrupt("notice"))?;
    Ok(Notice { user, kind, sent: row.maybe_time("time of notice")? })
}
