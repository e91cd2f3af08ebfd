//! What the documents and the source cite is there: each link's file and heading, and each page of docs/ that a comment
//! names. Tables of the documents are tables, and no user's key lies in the checkout.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::import_order::checkout;

/// Not written by us, or not text.
const OTHERS: [&str; 6] = [".git", "target", "node_modules", "corpus", "mail", "performance"];

/// The files below `folder` with one of these endings.
fn files(folder: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !OTHERS.contains(&name.as_str()) {
                files(&path, endings, found);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
}

fn all(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&checkout(""), endings, &mut found);
    found
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a regular expression")
}

/// The anchors of a page's headings, as forges make them.
fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
    };
    headings.map(anchor).collect()
}

/// Whether the page at `page` is there, with the heading if one is named.
fn is_there(page: &Path, heading: &str) -> bool {
    page.exists() && (heading.is_empty() || anchors(page).contains(heading))
}

#[test]
fn each_link_of_the_documents_leads_somewhere() {
    let link = regex(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)");
    let (mut seen, mut broken) = (0, Vec::new());
    for page in all(&[".md"]) {
        let text = fs::read_to_string(&page).expect("a page");
        for found in link.captures_iter(&text).filter(|found| !found[1].contains(':')) {
            seen += 1;
            let to = if found[1].is_empty() { page.clone() } else { page.with_file_name("").join(&found[1]) };
            if !is_there(&to, found.get(2).map_or("", |heading| heading.as_str())) {
                broken.push(format!("{}: {}", page.display(), &found[0]));
            }
        }
    }
    assert!(seen > 150, "the links are not found: {seen}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn each_table_of_the_documents_has_one_row_a_line() {
    let (mut seen, mut broken) = (0, Vec::new());
    for page in all(&[".md"]) {
        let text = fs::read_to_string(&page).expect("a page");
        let (mut columns, mut is_session) = (None, false);
        for line in text.lines().map(str::trim) {
            is_session ^= line.starts_with("```");
            if is_session {
                continue;
            }
            let cells = line.replace("\\|", "").matches('|').count();
            if line.starts_with('|') && (!line.ends_with('|') || columns.is_some_and(|columns| columns != cells)) {
                broken.push(format!("{}: {line}", page.display()));
            }
            seen += usize::from(line.starts_with('|') && columns.is_none());
            columns = line.starts_with('|').then(|| columns.unwrap_or(cells));
        }
    }
    assert!(seen > 80, "the tables are not found: {seen}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_key_of_a_user_lies_in_the_checkout() {
    let key = regex(r#"(?m)^\s*hmac_key\s*=\s*"[0-9a-fA-F]{64}""#);
    let has_key = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| key.is_match(&text));
    let found: Vec<PathBuf> = all(&[".toml"]).into_iter().filter(has_key).collect();
    assert!(found.is_empty(), "a try by hand left its key here: remove {found:?}");
}

#[test]
fn each_make_target_that_the_documents_name_is_there() {
    // In a line of text, or a line of a session.
    let command = regex(r"(?m)(?:`make ([a-z-]+)|^make ([a-z-]+)(?:$| +#))");
    let targets = fs::read_to_string(checkout("Makefile")).expect("the Makefile");
    let is_target = |name: &str| targets.lines().any(|line| line.starts_with(&format!("{name}:")));
    let (mut seen, mut missing) = (0, Vec::new());
    for page in all(&[".md"]) {
        let text = fs::read_to_string(&page).expect("a page");
        for found in command.captures_iter(&text) {
            seen += 1;
            let name = found.get(1).or(found.get(2)).expect("one of the two").as_str();
            if !is_target(name) {
                missing.push(format!("{}: {}", page.display(), &found[0]));
            }
        }
    }
    assert!(seen > 40, "the commands are not found: {seen}");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn each_citation_of_the_source_leads_somewhere() {
    let citation = regex(r"docs/((?:[a-z]+/)?[a-z0-9-]+)(\.md)?(?:#([a-z0-9-]+))?");
    let (mut seen, mut broken) = (0, Vec::new());
    for file in all(&[".rs", ".py", ".mjs", ".ts", ".c", ".toml", ".sh", "Makefile", "run", "setup"]) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for found in citation.captures_iter(&text) {
            let (name, heading) = (&found[1], found.get(3).map_or("", |heading| heading.as_str()));
            let decision = regex(r"^decisions/\d{4}").is_match(name);
            if found.get(2).is_none() && !decision {
                continue;
            }
            seen += 1;
            let is_right = if decision {
                let pages = fs::read_dir(checkout("docs/decisions")).expect("the decisions");
                let number = name.trim_start_matches("decisions/").split('-').next().unwrap_or_default();
                pages.flatten().any(|page| {
                    let page = page.file_name().to_string_lossy().into_owned();
                    page.starts_with(number)
                        && (found.get(2).is_none() || format!("decisions/{page}") == format!("{name}.md"))
                })
            } else {
                is_there(&checkout(&format!("docs/{name}.md")), heading)
            };
            // A fact is one heading among seventy.
            if !is_right || (name == "measurements" && heading.is_empty() && file.starts_with(checkout("src"))) {
                broken.push(format!("{}: {}", file.display(), &found[0]));
            }
        }
    }
    assert!(seen > 60, "the citations are not found: {seen}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
