//! Approvals, payloads, votes and notices, in SQL.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::transaction::SqliteTransaction;
use super::{Sqlite, Synchronous, record};
use crate::ledger::{
    ApprovalQueries, ApprovalRecord, ApprovalTransaction, LedgerError, Notice, NoticeKind, PayloadRecord, Record,
    State, Story, Vote, VoteKind,
};
use crate::protocol::{PayloadDigest, RequestId, RunDigest, Timestamp};

impl ApprovalQueries for Sqlite {
    fn record(&self, id: &RequestId) -> Result<Option<Record>, LedgerError> {
        record::find(&self.connection, id)
    }

    fn story(&self, id: &RequestId) -> Result<Story, LedgerError> {
        story(&self.connection, id)
    }

    fn pending(&self, most: u32) -> Result<Vec<Record>, LedgerError> {
        let sql = "SELECT name FROM approvals WHERE is_open = 1 ORDER BY until, name LIMIT ?1";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([most])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.extend(record::find(&self.connection, &RequestId::from_bytes(row.get(0)?))?);
        }
        records.retain(|record| record.state == State::Pending);
        Ok(records)
    }

    fn mark_noticed(
        &mut self,
        id: &RequestId,
        notice: &Notice,
        now: Timestamp,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        self.set(Synchronous::Normal)?;
        let sql = "UPDATE notices SET sent = ?4 WHERE request = ?1 AND user = ?2 AND kind = ?3 AND sent IS NULL";
        let values = params![id.as_bytes(), notice.user, notice.kind.word(), now.seconds()];
        self.wait_while_busy(timeout, || self.connection.execute(sql, values)).map(drop)
    }
}

impl ApprovalTransaction for SqliteTransaction<'_> {
    fn record_of(&self, id: &RequestId) -> Result<Option<Record>, LedgerError> {
        record::find(&self.transaction, id)
    }

    fn story_of(&self, id: &RequestId) -> Result<Story, LedgerError> {
        story(&self.transaction, id)
    }

    fn voted_on(&self, by: &RequestId) -> Result<Option<RequestId>, LedgerError> {
        let sql = "SELECT request FROM votes WHERE vote = ?1";
        let found = self.transaction.query_row(sql, params![by.as_bytes()], |row| row.get(0));
        Ok(found.optional()?.map(RequestId::from_bytes))
    }

    fn change(&mut self, record: &Record, from: State) -> Result<bool, LedgerError> {
        record::update(&self.transaction, record, Some(from)).map(|changed| changed == 1)
    }

    fn insert_approval(&mut self, approval: &ApprovalRecord) -> Result<(), LedgerError> {
        let is_open = approval.exception.is_none();
        self.transaction.execute(
            "INSERT INTO approvals (name, digest, until, needed, host, reason, exception, is_open)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                approval.request.as_bytes(),
                approval.digest.as_bytes(),
                approval.until.seconds(),
                approval.needed,
                approval.host,
                approval.reason,
                approval.exception,
                is_open,
            ],
        )?;
        Ok(())
    }

    fn insert_payload(&mut self, id: &RequestId, payload: &PayloadRecord) -> Result<(), LedgerError> {
        let size = i64::try_from(payload.size).unwrap_or(i64::MAX);
        self.transaction.execute(
            "INSERT OR REPLACE INTO payloads (name, digest, size, content) VALUES (?1, ?2, ?3, ?4)",
            params![id.as_bytes(), payload.digest.as_bytes(), size, payload.content],
        )?;
        Ok(())
    }

    fn insert_vote(&mut self, vote: &Vote) -> Result<(), LedgerError> {
        self.transaction.execute(
            "INSERT INTO votes (vote, request, user, kind, at, words) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                vote.by.as_bytes(),
                vote.request.as_bytes(),
                vote.user,
                vote.kind.word(),
                vote.at.seconds(),
                vote.words
            ],
        )?;
        Ok(())
    }

    fn insert_notice(&mut self, id: &RequestId, notice: &Notice) -> Result<(), LedgerError> {
        self.transaction.execute(
            "INSERT OR IGNORE INTO notices (request, user, kind, sent) VALUES (?1, ?2, ?3, ?4)",
            params![id.as_bytes(), notice.user, notice.kind.word(), notice.sent.map(Timestamp::seconds)],
        )?;
        Ok(())
    }

    fn close_approval(&mut self, id: &RequestId) -> Result<(), LedgerError> {
        self.transaction.execute("UPDATE approvals SET is_open = 0 WHERE name = ?1", params![id.as_bytes()])?;
        self.transaction.execute("UPDATE payloads SET content = NULL WHERE name = ?1", params![id.as_bytes()])?;
        Ok(())
    }
}

/// What is recorded about a request besides its row: approval, payload, votes and notices.
fn story(connection: &Connection, id: &RequestId) -> Result<Story, LedgerError> {
    let sql = "SELECT digest, until, needed, host, reason, exception FROM approvals WHERE name = ?1";
    let approval = connection.query_row(sql, params![id.as_bytes()], |row| {
        Ok(ApprovalRecord {
            request: *id,
            digest: RunDigest::from_bytes(row.get(0)?),
            until: Timestamp::from_seconds(row.get(1)?),
            needed: row.get(2)?,
            host: row.get(3)?,
            reason: row.get(4)?,
            exception: row.get(5)?,
        })
    });
    let sql = "SELECT digest, size, content FROM payloads WHERE name = ?1";
    let payload = connection.query_row(sql, params![id.as_bytes()], |row| {
        Ok(PayloadRecord { digest: PayloadDigest::from_bytes(row.get(0)?), size: row.get(1)?, content: row.get(2)? })
    });
    Ok(Story {
        approval: approval.optional()?,
        payload: payload.optional()?,
        votes: rows(
            connection,
            "SELECT vote, request, user, kind, at, words FROM votes WHERE request = ?1 ORDER BY rowid",
            id,
            vote,
        )?,
        notices: rows(
            connection,
            "SELECT user, kind, sent FROM notices WHERE request = ?1 ORDER BY user, kind",
            id,
            notice,
        )?,
    })
}

/// The rows about the request `id` that `sql` finds, each read by `read`.
fn rows<T>(
    connection: &Connection,
    sql: &str,
    id: &RequestId,
    read: fn(&Row<'_>) -> Result<T, LedgerError>,
) -> Result<Vec<T>, LedgerError> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(params![id.as_bytes()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn vote(row: &Row<'_>) -> Result<Vote, LedgerError> {
    let word: String = row.get("kind")?;
    let kind = VoteKind::ALL.into_iter().find(|kind| kind.word() == word);
    Ok(Vote {
        by: RequestId::from_bytes(row.get("vote")?),
        request: RequestId::from_bytes(row.get("request")?),
        user: row.get("user")?,
        kind: kind.ok_or(LedgerError::Corrupt("vote"))?,
        at: Timestamp::from_seconds(row.get("at")?),
        words: row.get("words")?,
    })
}

fn notice(row: &Row<'_>) -> Result<Notice, LedgerError> {
    let word: String = row.get("kind")?;
    let kind = NoticeKind::ALL.into_iter().find(|kind| kind.word() == word);
    let sent: Option<i64> = row.get("sent")?;
    Ok(Notice {
        user: row.get("user")?,
        kind: kind.ok_or(LedgerError::Corrupt("notice"))?,
        sent: sent.map(Timestamp::from_seconds),
    })
}
