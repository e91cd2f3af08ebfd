//! HTML to tokens: mailsudo's own are those of html5gum, which follows the standard state by state.
#![no_main]

#[path = "../../tests/common/html5gum.rs"]
mod html5gum;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|html: &str| {
    assert_eq!(html5gum::own(html), html5gum::standard(html));
});
