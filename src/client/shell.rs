//! A command of the user's own, run by the user's shell. In: the command. Out: what it prints.
//!
//! MUST: the command is the user's own text, from an option or a file of the user's. Nothing of a message is put into
//! it.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

/// What a command prints, without white space around it. It reads what this program reads. `what` names it in an error.
///
/// # Errors
///
/// It fails.
pub fn printed(command: &str, what: &str) -> Result<Zeroizing<String>> {
    let mut shell = shell(command);
    let output = shell.stderr(Stdio::inherit()).output().with_context(|| not_run(&shell))?;
    let text = Zeroizing::new(output.stdout);
    if !output.status.success() {
        bail!("the command for {what} failed: {}", output.status);
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&text).trim().to_owned()))
}

/// The shell that is to run `command`: sh(1), or cmd.exe on Windows.
pub(super) fn shell(command: &str) -> Command {
    let mut shell;
    #[cfg(not(windows))]
    {
        shell = Command::new("sh");
        shell.args(["-c", command]);
    }
    // cmd.exe reads the rest of its command line itself, with the user's own quotes.
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;

        shell = Command::new("cmd");
        shell.arg("/C").raw_arg(command);
    }
    shell
}

/// What is said where `shell` does not start.
pub(super) fn not_run(shell: &Command) -> String {
    format!("cannot run {}", shell.get_program().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_by_the_shell() {
        // Both shells read that.
        assert_eq!(printed("echo one two&& echo three", "it").expect("printed").replace('\r', ""), "one two\nthree");
        let failed = printed("echo 123456&& exit 3", "the code").expect_err("it fails").to_string();
        assert!(failed.contains("the command for the code failed") && !failed.contains("123456"), "{failed}");
    }
}
