//! docs/statements.md has each word that the program says about a request: so a new word comes with the reason for it.

use std::fs;
use std::path::Path;

use mailsudo::error::Reason;
use mailsudo::ledger::State;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The string literals of a function, which ends at the first brace in its first column of indentation.
fn literals(source: &str, function: &str, end: &str) -> Vec<String> {
    let (_, rest) = source.split_once(function).unwrap_or_else(|| panic!("no `{function}`"));
    let (body, _) = rest.split_once(end).expect("its end");
    // A quotation mark within a literal ends nothing.
    let body = body.replace("\\\"", "\0");
    body.split('"').skip(1).step_by(2).map(|literal| literal.replace('\0', "\"")).collect()
}

/// A literal up to its first placeholder.
fn fixed(literal: &str) -> &str {
    literal.split('{').next().unwrap_or_default().trim_end()
}

#[test]
fn each_word_of_the_source_is_here() {
    let page = read("docs/statements.md");
    let joined = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut missing = Vec::new();
    let mut expect = |what: &str, word: &str| {
        if !joined.contains(word) {
            missing.push(format!("{what}: {word}"));
        }
    };
    for reason in Reason::ALL {
        expect("a reason", &format!("`{}`", reason.code()));
    }
    for state in State::ALL {
        expect("a state", &format!("`{}`", state.word()));
    }
    let outcomes = literals(&read("src/reply/words.rs"), "fn words(result: RunResult)", "\n}\n");
    assert!(outcomes.len() > 5, "{outcomes:?}");
    for outcome in &outcomes {
        expect("the first line of a reply", fixed(outcome));
    }
    let results = literals(&read("src/protocol/reply.rs"), "impl fmt::Display for RunResult", "\n}\n");
    assert!(results.len() > 4, "{results:?}");
    for result in &results {
        expect("a result", fixed(result));
    }
    let verdicts = literals(&read("src/cli/verify.rs"), "match &checked.finding {", "\n    }\n");
    assert!(verdicts.len() > 5, "{verdicts:?}");
    for verdict in verdicts.iter().filter(|verdict| !verdict.starts_with('\\')) {
        expect("verify", fixed(verdict));
    }
    let labels = literals(&read("src/pipeline/builtin.rs"), "fn report(record: &Record", "\n}\n");
    for label in labels.iter().filter(|label| label.chars().all(|c| c.is_ascii_lowercase()) && !label.is_empty()) {
        expect("status", &format!("`{label}`"));
    }
    // A line of explain begins with a word and a colon.
    for line in literals(&read("src/pipeline/trace.rs"), "//! `explain`'s observer", "\n/// What the sysadmin can") {
        if let Some((word, _)) = line.split_once(": ")
            && word.chars().all(|c| c.is_ascii_lowercase() || c == ' ')
        {
            expect("explain", &format!("`{}`", word.trim()));
        }
    }
    assert!(missing.is_empty(), "docs/statements.md does not have: {missing:#?}");
}

#[test]
fn the_replies_own_sentences_are_here() {
    let page = read("docs/statements.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let source = read("src/reply/compose.rs") + &read("src/reply/words.rs");
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("\\ ", "");
    for (sentence, in_source) in [
        ("Nothing was run: ", "\"Nothing was run\""),
        ("This has no effect: ", "\"This has no effect\""),
        ("It is not run now: ", "\"It is not run now\""),
        ("The gateway could not run this command", "The gateway could not run this command"),
        (
            "The gateway recorded the start of this command, and has no record of its end.",
            "The gateway recorded the start of this command, and has no record of its end.",
        ),
        ("Nothing was run: the gateway was stopped", "Nothing was run: the gateway was stopped"),
        ("WITHOUT APPROVAL: this did not wait for approval", "WITHOUT APPROVAL: this did not wait for approval"),
        ("nothing was run: the gateway could not start it", "nothing was run: the gateway could not start it"),
        ("The gateway stopped while it wrote its answer.", "The gateway stopped while it wrote its answer."),
        ("It printed nothing.", "It printed nothing."),
    ] {
        assert!(page.contains(sentence), "{sentence}");
        assert!(source.contains(in_source), "{in_source}");
    }
}
