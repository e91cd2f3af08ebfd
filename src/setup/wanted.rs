//! What the mail server's side of a plan needs to know. In: the gateway's planned settings. Out: the same, for each
//! mail server.

use std::time::Duration;

use crate::limits::POSTFIX_MARGIN;

/// The gateway to connect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'s> {
    /// Its address.
    pub(super) address: &'s str,
    /// The account that runs `deliver`.
    pub(super) service_user: &'s str,
    /// The program.
    pub(super) program: &'s str,
    /// Its folder, where that is not the default one.
    pub(super) config: Option<&'s str>,
    /// The longest time limit of a command.
    pub(super) longest: Duration,
}

impl Wanted<'_> {
    /// The local part and the domain of the address.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.address.rsplit_once('@').unwrap_or((self.address, ""))
    }

    /// How long a delivery may take.
    pub(super) fn limit(&self) -> Duration {
        self.longest + POSTFIX_MARGIN
    }

    #[cfg(test)]
    pub(super) fn example() -> Wanted<'static> {
        Wanted {
            address: "root-ops@mail.example",
            service_user: "ms",
            program: "/opt/mailsudo",
            config: None,
            longest: Duration::from_mins(5),
        }
    }
}
