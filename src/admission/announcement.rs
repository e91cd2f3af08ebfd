//! What is recorded about an approval that is asked for, and about a payload. In: what was decided. Out: records for
//! the ledger.

use super::counted;
use crate::authorize::Required;
use crate::ledger::{ApprovalRecord, LedgerError, Notice, NoticeKind, PayloadRecord, Series, Transaction};
use crate::protocol::{Payload, RequestId, Timestamp, UserName};

/// What is recorded about an approval that is asked for, or that an exception makes needless.
#[derive(Debug, Clone)]
pub struct Announcement {
    approval: ApprovalRecord,
    notices: Vec<Notice>,
}

impl Announcement {
    /// What is recorded about `required` of the request `id`; `approvers` get a notice.
    pub fn new(id: RequestId, required: &Required, approvers: &[UserName], host: String, now: Timestamp) -> Self {
        let kind = if required.exception().is_some() { NoticeKind::Exception } else { NoticeKind::Ask };
        Self {
            approval: ApprovalRecord {
                request: id,
                digest: required.digest(),
                until: now.plus(required.terms().within.as_duration()),
                needed: required.terms().needed.get(),
                host,
                reason: required.reason().map(str::to_owned),
                exception: required.exception().map(str::to_owned),
            },
            notices: approvers.iter().map(|user| Notice { user: user.to_string(), kind, sent: None }).collect(),
        }
    }

    /// What is recorded.
    pub fn approval(&self) -> &ApprovalRecord {
        &self.approval
    }

    /// Who gets a notice.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    pub(super) fn write(&self, transaction: &mut dyn Transaction, now: Timestamp) -> Result<(), LedgerError> {
        let event = if self.approval.exception.is_some() { "exception" } else { "asked" };
        transaction.count(counted::one(Series::Approval(event)), now);
        transaction.insert_approval(&self.approval)?;
        self.notices.iter().try_for_each(|notice| transaction.insert_notice(&self.approval.request, notice))
    }
}

/// A payload for the ledger. Its bytes are kept only for a request that is pending.
pub(super) fn payload_record(payload: &Payload, is_pending: bool) -> PayloadRecord {
    PayloadRecord {
        digest: payload.digest(),
        size: payload.content().len() as u64,
        content: is_pending.then(|| payload.content().to_owned()),
    }
}
