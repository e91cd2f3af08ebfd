//! The mail set-ups in docs/ are the files that the system tests run, word for word.

use std::fs;
use std::path::{Path, PathBuf};

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of examples");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_docs_show_the_files_that_the_tests_run() {
    let shown = [
        ("docs/mail-servers.md", files(&in_checkout("examples/mail-servers"))),
        ("docs/imap.md", files(&in_checkout("examples/imap"))),
        ("docs/imap.md", vec![in_checkout("packaging/mailsudo-fetch.service")]),
        ("docs/recipes.md", files(&in_checkout("examples/recipes"))),
    ];
    for (transaction, files) in shown {
        let text = fs::read_to_string(in_checkout(transaction)).expect("a page");
        assert!(!files.is_empty(), "{transaction} has no examples");
        for file in files {
            let content = fs::read_to_string(&file).expect("an example");
            assert!(
                text.contains(&format!("\n{content}```")),
                "{transaction} does not show {} as it is",
                file.display()
            );
        }
    }
}

/// Plain English: a user is "the user".
#[test]
fn no_text_calls_a_user_he() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![checkout.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                if ![".git", "target", "mail", "seeds", "corpus", "performance"].contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            // This file has the words in it.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if name == "examples.rs" || name.starts_with("LICENSE") || name == "Cargo.lock" {
                continue;
            }
            for (at, line) in text.lines().enumerate() {
                let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                if words.any(|word| {
                    ["h\u{65}", "h\u{69}s", "h\u{69}m"].iter().any(|banned| word.eq_ignore_ascii_case(banned))
                }) {
                    found.push(format!("{}:{}: {line}", path.display(), at + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
