//! Only `authorize::reauthorize` makes an `Approved`: no number of votes alone runs anything.
use mailsudo::authorize::{Approved, Invocation};
use mailsudo::protocol::RequestId;

fn forge(request: RequestId, invocation: Invocation) -> Approved {
    Approved { request, invocation, payload: None, shows_output: true }
}

fn main() {}
