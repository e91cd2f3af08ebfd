//! What the program prints, word for word. `TRYCMD=overwrite cargo test --test golden` takes over what it says now;
//! read the difference before you commit it.

#![allow(missing_docs)]

#[test]
fn the_program_says_what_the_golden_files_say() {
    trycmd::TestCases::new()
        // Without the path, what is not found is left out, and the test passes.
        .register_bin("mailsudo", std::path::Path::new(env!("CARGO_BIN_EXE_mailsudo")))
        .default_bin_name("mailsudo")
        // Whatever the caller of the tests has set for the look of all programs.
        .env("COLUMNS", "")
        .env("CLICOLOR_FORCE", "")
        .case("tests/golden/*.trycmd");
}
