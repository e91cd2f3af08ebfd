//! Character references (HTML Living Standard, section 13.2.5.72 and those after it). In: what stands after an `&`. Out:
//! the characters that it means, and where the text goes on.
//!
//! The names are one text, which a search by halves reads in place. A table with a pointer for each name would be relocated
//! at each start of the program (docs/decisions/0055).
//!
//! The names are those of the standard's entities.json, which Python has, too. In this folder:
//!
//! ```sh
//! python3 -c 'from html.entities import html5
//! for name, text in sorted((name[:-1], text) for name, text in html5.items() if name[-1] == ";"):
//!     print(name, *(f"{ord(c):x}" for c in text))' >characters.txt
//! python3 -c 'from html.entities import html5
//! print(*sorted(name for name in html5 if name[-1] != ";"), sep="\n")' >without-semicolon.txt
//! ```

/// Each name, and its characters in hexadecimal, in the order of the names' bytes.
const CHARACTERS: &str = include_str!("characters.txt");

/// The names that need no semicolon, in the same order. None begins with another.
const WITHOUT_SEMICOLON: &str = include_str!("without-semicolon.txt");

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
    let (word, rest) = after.split_at_checked(end)?;
    if let Some(rest) = rest.strip_prefix(';')
        && let Some(characters) = characters(word)
    {
        return Some((characters, rest));
    }
    let name = last_until(WITHOUT_SEMICOLON, word)?;
    Some((characters(name)?, after.strip_prefix(name)?))
}

fn characters(name: &str) -> Option<Characters> {
    let line = last_until(CHARACTERS, name)?;
    let codes = line.strip_prefix(name)?.strip_prefix(' ')?;
    let mut characters = codes.split(' ').filter_map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
    Some((characters.next()?, characters.next()))
}

/// The last line whose name is not greater than `name`.
fn last_until(mut lines: &'static str, name: &str) -> Option<&'static str> {
    let mut last = None;
    while !lines.is_empty() {
        let (half, _) = lines.split_at_checked(lines.len() / 2)?;
        let (before, from) = lines.split_at_checked(half.rfind('\n').map_or(0, |end| end + 1))?;
        let (line, after) = from.split_once('\n')?;
        if line.split(' ').next()? <= name {
            (last, lines) = (Some(line), after);
        } else {
            lines = before;
        }
    }
    last
}
