//! `man FOLDER`: the man pages of section 1 from the command line's own description.
//! (Shell completions come from the program itself: `COMPLETE=bash mailsudo`.)

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: man FOLDER")?;
    fs::create_dir_all(&folder)?;
    clap_mangen::generate_to(mailsudo::cli::command().disable_help_subcommand(true), &folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        fs::write(&path, readable(&fs::read_to_string(&path)?))?;
    }
    Ok(())
}

/// The page as a person expects it (man-pages(7)): examples under their name and line by line, the program in the footer,
/// other pages at the end. What clap calls extra is ours to write, so its form is known.
fn readable(page: &str) -> String {
    let mut text = String::new();
    let mut is_example = false;
    let mut see = "mailsudo(1)";
    for line in page.lines() {
        if line.starts_with("  ") != is_example {
            is_example = !is_example;
            text.push_str(if is_example { ".RS 4\n.nf\n" } else { ".fi\n.RE\n" });
        }
        match line {
            "Example:" | "Examples:" => {}
            ".SH EXTRA" => text.push_str(".SH EXAMPLES\n"),
            "" => text.push_str(".PP\n"),
            line if line.starts_with(".TH ") => {
                let name = line.split(' ').nth(1).unwrap_or("mailsudo");
                text.push_str(&format!(".TH {name} 1 \"\" \"mailsudo {}\" \"mailsudo\"\n", env!("CARGO_PKG_VERSION")));
            }
            line => match line.strip_prefix("Manual: ") {
                Some(pages) => see = pages,
                None => text.push_str(&format!("{}\n", line.strip_prefix("  ").unwrap_or(line))),
            },
        }
    }
    if is_example {
        text.push_str(".fi\n.RE\n");
    }
    text.push_str(&format!(".SH SEE ALSO\n{see}\n"));
    text
}
