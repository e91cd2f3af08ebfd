//! Users who are locked out. In: the ledger. Out: a warning for each, with the command that ends the lockout.

use super::{CheckedGateway, Report};
use crate::ledger::{LedgerError, LedgerQueries};
use crate::protocol::Timestamp;
use crate::remedy::Call;

/// Who is locked out, and until when.
pub(super) struct Lockouts(Vec<(String, Timestamp)>);

impl Lockouts {
    /// The users of `gateway` who are locked out now.
    pub(super) fn of(ledger: &dyn LedgerQueries, gateway: &CheckedGateway<'_>) -> Result<Self, LedgerError> {
        let mut found = Vec::new();
        for (name, _) in &gateway.users {
            if let Some(lockout) = ledger.lockout(name)?.filter(|lockout| gateway.now < lockout.until) {
                found.push((name.to_string(), lockout.until));
            }
        }
        Ok(Self(found))
    }

    /// Reports each.
    pub(super) fn report(self, report: &mut Report) {
        for (name, until) in self.0 {
            report.warning(
                "lockout",
                format!("{name} is locked out until {until}, after too many wrong codes"),
                Call::UnlockUser(name),
            );
        }
    }
}
