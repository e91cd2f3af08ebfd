//! Whether the mail system vouches for a user as his file asks. What `[intake]` asks of everybody was judged at the door,
//! but for whose the login is: that takes a name, and so a mac that holds.

use crate::config::{Intake, User};
use crate::error::{Reason, Refusal, Stop};
use crate::intake::{Envelope, Message, vouch};

/// Judges the user's own demands, and whether the login is his where one is asked for.
///
/// # Errors
///
/// Refusals that nobody hears of; a deferral where the mail server or the configuration leaves something unsaid.
pub(super) fn check(user: &User, message: &Message, envelope: &Envelope, intake: &Intake) -> Result<(), Stop> {
    let demands = user.demands();
    vouch::client(envelope, demands.clients)?;
    if demands.sasl || intake.require_sasl {
        let login = vouch::login(envelope)?;
        // Byte for byte: to Kerberos, alice and Alice are two.
        if !user.logins.iter().any(|own| login == own.as_str()) {
            let detail = format!("the login {} is not one of the user's", login.to_string_lossy());
            return Err(Refusal::new(Reason::ForeignLogin, detail).into());
        }
    }
    if demands.authentication_results {
        vouch::verdict(message, intake)?;
    }
    Ok(())
}
