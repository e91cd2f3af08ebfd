//! Only `authenticate::authenticate` makes an `Authenticated`.
use mailsudo::authenticate::{Authenticated, Identified};

fn forge(identified: &Identified) -> Authenticated<'_> {
    Authenticated { identified, arguments: Vec::new(), step: None }
}

fn main() {}
