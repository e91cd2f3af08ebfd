//! Character references (HTML Living Standard, section 13.2.5.72 and those after it). In: what stands after an `&`.
//! Out: the characters that it means, and where the text goes on.
//!
//! The names are one text, and a number for each line says where it begins. A table with a pointer for each name would
//! be relocated at each start of the program (docs/decisions/0055).
//!
//! The names are those of the standard's entities.json, which Python has, too. In this folder:
//!
//! ```sh
//! python3 -c 'from html.entities import html5
//! def write(file, names):
//!     with open(file, "w") as out:
//!         for name in sorted(names): print(name, *(f"{ord(c):x}" for c in html5[name]), file=out)
//! write("characters.txt", (name for name in html5 if name[-1] == ";"))
//! write("without-semicolon.txt", (name for name in html5 if name[-1] != ";"))'
//! ```

/// Each name, and its characters in hexadecimal, in the order of the names' bytes.
const CHARACTERS: &str = include_str!("characters.txt");
static LINES: [u16; 2125] = line_starts(CHARACTERS);

/// The names that need no semicolon, in the same form. None begins with another.
const WITHOUT_SEMICOLON: &str = include_str!("without-semicolon.txt");
static LINES_WITHOUT: [u16; 106] = line_starts(WITHOUT_SEMICOLON);

/// What 80 to 9F mean in a numeric reference: what they are in windows-1252.
const WINDOWS_1252: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";

/// One character, or two.
pub(super) type Characters = (char, Option<char>);

/// Reads the reference that `after`, the text after an `&`, begins with: its characters, and the rest of the text.
pub(super) fn read(after: &str) -> Option<(Characters, &str)> {
    match after.strip_prefix('#') {
        Some(number) => numeric(number),
        None => named(after),
    }
}

fn numeric(number: &str) -> Option<(Characters, &str)> {
    let hexadecimal = number.strip_prefix(['x', 'X']);
    let (radix, digits) = hexadecimal.map_or((10, number), |digits| (16, digits));
    let (digits, rest) = digits.split_at_checked(digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len()))?;
    if digits.is_empty() {
        return None;
    }
    let value = |code: u32, digit| code.saturating_mul(radix).saturating_add(digit);
    let code = digits.chars().filter_map(|c| c.to_digit(radix)).fold(0, value);
    let character = match code {
        0 => None,
        0x80..=0x9f => WINDOWS_1252.chars().nth(code as usize - 0x80),
        _ => char::from_u32(code),
    };
    Some(((character.unwrap_or('\u{fffd}'), None), rest.strip_prefix(';').unwrap_or(rest)))
}

fn named(after: &str) -> Option<(Characters, &str)> {
    let end = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
    // No name has one letter. Without this a text of `&` alone would cost most.
    if end < 2 {
        return None;
    }
    let with_semicolon = || {
        let (name, rest) = after.split_at_checked(end + 1).filter(|(name, _)| name.ends_with(';'))?;
        let at = LINES.partition_point(|&at| from(CHARACTERS, at) < name);
        let codes = from(CHARACTERS, *LINES.get(at)?).strip_prefix(name)?;
        Some((characters(codes)?, rest))
    };
    let without = || {
        let word = after.get(..end)?;
        let name = |at| from(WITHOUT_SEMICOLON, at).split(' ').next().unwrap_or_default();
        let at = LINES_WITHOUT.partition_point(|&at| name(at) <= word).checked_sub(1)?;
        let at = *LINES_WITHOUT.get(at)?;
        let codes = from(WITHOUT_SEMICOLON, at).strip_prefix(name(at))?;
        Some((characters(codes)?, after.strip_prefix(name(at))?))
    };
    with_semicolon().or_else(without)
}

/// The characters whose numbers end this line.
fn characters(codes: &str) -> Option<Characters> {
    let codes = codes.lines().next()?.split_ascii_whitespace();
    let mut characters = codes.filter_map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
    Some((characters.next()?, characters.next()))
}

/// A text from a line on.
fn from(text: &'static str, at: u16) -> &'static str {
    text.get(usize::from(at)..).unwrap_or_default()
}

/// Where each line of a text begins.
#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "what is wrong here does not compile")]
const fn line_starts<const LINES: usize>(text: &str) -> [u16; LINES] {
    let text = text.as_bytes();
    assert!(text.len() <= u16::MAX as usize);
    let (mut starts, mut line, mut at) = ([0; LINES], 0, 0);
    while at < text.len() {
        if text[at] == b'\n' {
            line += 1;
            if line < LINES {
                starts[line] = at as u16 + 1;
            }
        }
        at += 1;
    }
    assert!(line == LINES);
    starts
}
