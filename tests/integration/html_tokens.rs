//! HTML's tokens (`src/intake/html/tokens.rs`) are those of html5gum, which follows the standard state by state.

use proptest::prelude::*;

use crate::html5gum::{Kept, own, standard};

const NAMES: &str = include_str!("../../src/intake/html/characters.txt");
const WITHOUT_SEMICOLON: &str = include_str!("../../src/intake/html/without-semicolon.txt");

fn assert_same(html: &str) {
    assert_eq!(own(html), standard(html), "{html:?}");
}

/// Pieces that a tokenizer decides something by. Letters in both cases; names that begin other names.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "<", "</", ">", "/", "/>", "=", "\"", "'", "`", "!", "?", "-", "--", "<!--", "-->", "--!>", "<!", "<?", "]]>",
    "<![CDATA[", "<!doctype", "<!DOCTYPE html public \"a>b\" 'c'", " ", "\t", "\n", "\r", "\r\n", "\u{c}", "\0",
    "\u{b}", "a", "B", "x", "é", "\u{fffd}", "𝔸", "script", "SCRIPT", "style", "title", "textarea", "xmp", "iframe",
    "noembed", "noframe", "noframes", "noscript", "plaintext", "template", "pre", "br", "p", "div", "<script>",
    "</script>", "<script", "</script", "<ScRiPt ", "<style>", "</style>", "<title>", "</title>", "<TextArea>",
    "</textarea>", "<xmp>", "</XMP ", "<iframe>", "</iframe/", "<noscript>", "</noscript>", "<plaintext>", "<p",
    "</p", "<br x", "<a b=c", "<a b=\"", "<a b='", "=\"c\"", "&", "&amp", "&amp;", "&lt;", "&not", "&notit;",
    "&notin;", "&nbsp", "&NotEqualTilde;", "&#", "&#x", "&#X", "0", "9", "80;", "9f", "d800", "10ffff", "110000",
    "99999999999", ";", "gt", "frac12", "É",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![20 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

#[test]
fn any_soup_has_the_standards_tokens() {
    proptest!(ProptestConfig::with_cases(20_000), |(html in soup())| {
        prop_assert_eq!(own(&html), standard(&html), "{:?}", html);
    });
}

/// After each beginning, every text of up to three pieces: what a state does with each character, and with the end.
#[test]
fn every_short_text_has_the_standards_tokens() {
    let signs =
        ["<", ">", "/", "-", "!", "?", "=", "\"", "'", " ", "\r", "\n", "\0", "a", "&", "#", "script", "</script>"];
    let beginnings = [
        "",
        "<",
        "</",
        "<a",
        "<a ",
        "<a b",
        "<a b ",
        "<a b=",
        "<a b='",
        "<a b=c",
        "</a b=\"c\"",
        "<!--",
        "<!---",
        "<!--a-",
        "<!--a--",
        "<!--a--!",
        "<!--<!",
        "<script>",
        "<script><!--",
        "<script><!--<script",
        "<script><!--<script>",
        "<script><!--</script",
        "<title>",
        "<style>",
        "<style></style",
        "<xmp></",
        "<plaintext>",
    ];
    let ends = |text: String| signs.map(|sign| format!("{text}{sign}"));
    for beginning in beginnings {
        assert_same(beginning);
        for one in ends(beginning.to_owned()) {
            assert_same(&one);
            for two in ends(one) {
                assert_same(&two);
                for three in ends(two) {
                    assert_same(&three);
                }
            }
        }
    }
}

#[test]
fn every_named_character_is_the_standards() {
    let names = |list: &'static str| list.lines().filter_map(|line| line.split(' ').next()).collect::<Vec<_>>();
    let (names, without) = (names(NAMES), names(WITHOUT_SEMICOLON));
    assert_eq!((names.len(), without.len()), (2125, 106), "the standard's 2231");
    assert!(names.is_sorted() && without.is_sorted());
    for name in names.iter().chain(&without) {
        assert_ne!(own(&format!("&{name}")), [Kept::Text(format!("&{name}"))], "it means something");
        let name = name.trim_end_matches(';');
        for (at, _) in name.char_indices().skip(1).chain([(name.len(), ' ')]) {
            let part = &name[..at];
            for end in ["", ";", "=", " ", "a", "Z", "1", "<", "&", "é", ";;", "\0", "\r\n"] {
                assert_same(&format!("&{part}{end}"));
            }
        }
        assert_same(&format!("<a b=&{name}>c<title>&{name}&{name};"));
    }
}

#[test]
fn every_numeric_reference_is_the_standards() {
    let steps = (0x400..0x0011_0000).step_by(61).chain((0xd7f0..0xe010).step_by(3)).chain(0xfdcf..0xfdf1);
    let planes = (0..=0x11_u64).flat_map(|plane| (plane << 16).saturating_sub(3)..(plane << 16) + 3);
    let large = [u64::from(u32::MAX), u64::from(u32::MAX) + 1, 0x1_0000_0041, u64::MAX];
    for code in (0..0x400).chain(steps).chain(planes).chain(large) {
        assert_same(&format!("&#{code};&#x{code:x};&#X{code:X}g&#0{code}\0&#x00{code:x}<br>&#{code}"));
    }
    for html in ["&#", "&#;", "&#x", "&#x;", "&#xg", "&#a", "&#-1;", "&#x 41;", "&# 65;", "&#\u{661};", "&#x\u{ff21};"]
    {
        assert_same(html);
    }
    assert_same(&format!("&#{};&#x{};", "9".repeat(5000), "f".repeat(5000)));
}
