//! Only `authenticate::verify_mac` makes a `MacVerified`.
use mailsudo::authenticate::MacVerified;
use mailsudo::config::Secrets;
use mailsudo::protocol::Request;

fn forge(request: Request, secrets: Secrets) -> MacVerified {
    MacVerified { id: request.id(), request, is_under_previous_key: false, secrets }
}

fn main() {}
