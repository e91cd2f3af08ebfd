//! What the program prints, word for word. `TRYCMD=overwrite cargo test --test golden` takes over what it says now;
//! read the difference before you commit it.

#![allow(missing_docs)]

#[test]
fn the_program_says_what_the_golden_files_say() {
    trycmd::TestCases::new().default_bin_name("mailsudo").case("tests/golden/*.trycmd");
}
