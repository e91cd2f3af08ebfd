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
fn the_pages_show_the_files_that_the_tests_run() {
    let shown = [
        ("docs/mail-servers.md", files(&in_checkout("examples/mail-servers"))),
        ("docs/imap.md", files(&in_checkout("examples/imap"))),
        ("docs/imap.md", vec![in_checkout("packaging/mailsudo-fetch.service")]),
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
