//! Whether a lockdown is for the user of a request. It may begin at any moment, and so it is asked anew at each
//! attempt.

use super::context::Context;
use crate::authenticate::Identified;
use crate::error::{Reason, Refusal, Stop};

/// The refusal of a user's request, if a lockdown is for that user.
///
/// # Errors
///
/// The file that says so cannot be read: then nothing runs.
pub(super) fn locked_down(context: &Context<'_>, identified: &Identified) -> Result<Option<Refusal>, Stop> {
    if context.gateway.lockdown()?.is_none_or(|lockdown| lockdown.permits(identified.user())) {
        return Ok(None);
    }
    let detail = "the gateway is locked down by its sysadmin; ask them when it ends";
    Ok(Some(Refusal::new(Reason::LockedDown, detail)))
}
