//! The change of a request's record that a transaction makes. It is sent together with what comes next: with COMMIT, as
//! a rule. In: a record. Out: a statement that ends the transaction if another delivery has changed the record.

use super::begin::Known;
use super::record::{Written, insert_sql, update_sql};
use super::terms::Terms;
use super::value::Value;
use crate::ledger::Record;

/// A change that was not sent yet.
pub(super) struct Unwritten {
    record: Record,
    /// The token of the record's last writer and what that has written; `None` for a first record.
    before: Option<(Vec<u8>, i64)>,
    /// The count of writes after it.
    pub(super) written: i64,
}

impl Unwritten {
    /// The first record.
    pub(super) fn first(record: &Record) -> Self {
        Self { record: record.clone(), before: None, written: 1 }
    }

    /// `record` in the place of what is `known`.
    pub(super) fn change(record: &Record, known: &Known) -> Self {
        let before = Some((known.token.clone(), known.written));
        Self { record: record.clone(), before, written: known.written.saturating_add(1) }
    }

    /// Its statement.
    pub(super) fn sql(&self) -> String {
        let write = if self.before.is_some() { update_sql() } else { insert_sql() };
        format!("SELECT mailsudo.require({write})")
    }

    /// The record's values that have a form of their own.
    pub(super) fn row(&self) -> Written<'_> {
        Written::new(&self.record)
    }

    /// The values for [`sql`](Self::sql).
    pub(super) fn values<'v>(&'v self, row: &'v Written<'v>, terms: &'v Terms) -> Vec<Value<'v>> {
        match &self.before {
            Some((token, count)) => row.change((token, *count), &terms.node, &terms.token, self.written).to_vec(),
            None => row.first(&terms.node, &terms.token, self.written).to_vec(),
        }
    }
}
