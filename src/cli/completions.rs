//! `mailsudo completions`: the completion script of a shell.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use clap_complete::env::Shells;

use super::stdout;

/// Print the completion script of a shell
///
/// The packages install the scripts where the shells look for them. A script calls the program itself, so it knows the
/// gateway's commands and users as far as the caller may read them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(mailsudo completions bash)
  mailsudo completions zsh > ~/.zfunc/_mailsudo
  mailsudo completions fish > ~/.config/fish/completions/mailsudo.fish")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// What bash needs besides, for words with `=` and `:`.
const BASH_WORDS: &str = include_str!("../../packaging/words.bash");

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode> {
        let name = match self.shell {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).with_context(|| format!("there are no completions for {name}"))?;
        let mut script = Vec::new();
        shell.write_registration("COMPLETE", "mailsudo", "mailsudo", "mailsudo", &mut script)?;
        if matches!(self.shell, Shell::Bash) {
            script.extend_from_slice(BASH_WORDS.as_bytes());
        }
        stdout::script(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
