//! How a message may end, other than by a deferral.

/// The end of a message that was not deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its reply was sent, or there is none to send.
    Handled,
    /// It was refused.
    Refused,
    /// `explain`: its command would run now.
    WouldRun,
    /// `explain`: it would be handled, and its command would not run now.
    WouldNotRun,
}
