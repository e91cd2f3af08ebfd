//! `papers FOLDER`: the man pages of section 1 from the command line's own description.
//! (Shell completions come from the program itself: `COMPLETE=bash mailsudo`.)

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: papers FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(mailsudo::cli::command().disable_help_subcommand(true), &folder)?;
    Ok(())
}
