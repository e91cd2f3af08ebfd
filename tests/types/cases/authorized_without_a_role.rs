//! Only `authorize::authorize` makes an `Authorized`.
use mailsudo::authenticate::Authenticated;
use mailsudo::authorize::{Action, Authorized};

fn forge(authenticated: Authenticated<'_>) -> Authorized<'_> {
    Authorized { authenticated, action: Action::Help, role: None, required: None }
}

fn main() {}
