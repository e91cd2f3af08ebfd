//! The `~HH` coding of argument values (writer's rule 4, reader's rule 7).
//! In: text, or the joined characters of `arg` and `more` lines. Out: the other form.
//! A decoded value never holds a character that could hide, reorder or break a line.

/// The longest decoded value, in bytes of UTF-8 (writer's rule 4).
pub const MAX_DECODED: usize = 4096;

/// A value under a valid mac that is still refused (reader's rule 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// A `~` is not followed by two upper-case hex digits.
    #[error("a ~ is not followed by two upper-case hex digits")]
    HalfEscape,
    /// The decoded bytes are not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The decoded text holds a control, bidi or zero-width character.
    #[error("it holds the invisible or control character U+{:04X}", u32::from(*.0))]
    Unsafe(char),
    /// The decoded text is longer than [`MAX_DECODED`].
    #[error("it is longer than {MAX_DECODED} bytes")]
    TooLong,
    /// Two arguments have the same name.
    #[error("the argument is given twice")]
    DoubledName,
}

/// Whether `byte` needs no escape in an encoded value (writer's rule 4).
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._/:=,+-".contains(&byte)
}

/// Whether a value may not hold `c` (reader's rule 7): C0, C1 and DEL; `Bidi_Control`; all that Unicode gives no width
/// (`Default_Ignorable_Code_Point`: zero-width spaces and joiners, soft hyphen, fillers, variation selectors, tags);
/// the line and paragraph separators; the interlinear marks.
pub fn is_unsafe(c: char) -> bool {
    let is_plain = (' '..='~').contains(&c);
    !is_plain
        && (c.is_control()
            || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'))
}

/// The characters that encode `value`, one item for each that must not be split: `a` or `~2D`.
pub(super) fn encode(value: &str) -> impl Iterator<Item = String> + '_ {
    units(value).map(|(byte, is_plain)| if is_plain { char::from(byte).to_string() } else { format!("~{byte:02X}") })
}

/// `value` as it stands in a line of the audit chain (docs/audit.md): encoded like an argument, and of any length.
pub fn encode_value(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len() + value.len() / 4);
    for (byte, is_plain) in units(value) {
        if is_plain {
            encoded.push(char::from(byte));
        } else {
            encoded.push('~');
            encoded.extend(
                [byte >> 4, byte & 0xf]
                    .map(|half| char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase()),
            );
        }
    }
    encoded
}

/// The value that [`encode_value`] has encoded; `None` for any other text.
pub fn decode_value(encoded: &str) -> Option<String> {
    let value = String::from_utf8(bytes_of(encoded).ok()?).ok()?;
    (encode_value(&value) == encoded).then_some(value)
}

/// The bytes of `value`, each with whether it stands for itself.
fn units(value: &str) -> impl Iterator<Item = (u8, bool)> + '_ {
    let bytes = value.as_bytes();
    bytes.iter().enumerate().map(|(at, &byte)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let client_would_change = match byte {
            b'-' => matches!(before, None | Some(b'-')),
            b'/' => before == Some(&b':'),
            _ => false,
        };
        (byte, is_plain(byte) && !client_would_change)
    })
}

/// Decodes the joined characters of an argument's lines.
pub(super) fn decode(encoded: &str) -> Result<String, BadValue> {
    let text = String::from_utf8(bytes_of(encoded)?).map_err(|_| BadValue::NotUtf8)?;
    if let Some(c) = text.chars().find(|&c| is_unsafe(c)) {
        return Err(BadValue::Unsafe(c));
    }
    if text.len() > MAX_DECODED {
        return Err(BadValue::TooLong);
    }
    Ok(text)
}

/// The bytes that `encoded` stands for.
fn bytes_of(encoded: &str) -> Result<Vec<u8>, BadValue> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'~' {
            let (Some(high), Some(low)) = (hex_digit(rest.next()), hex_digit(rest.next())) else {
                return Err(BadValue::HalfEscape);
            };
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    Ok(bytes)
}

fn hex_digit(byte: Option<u8>) -> Option<u8> {
    match byte? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        letter @ b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: &str) -> String {
        encode(value).collect()
    }

    #[test]
    fn what_a_client_would_change_is_escaped() {
        assert_eq!(encoded("--v"), "~2D~2Dv");
        assert_eq!(encoded("a--b---c"), "a-~2Db-~2D~2Dc");
        assert_eq!(encoded("http://x/y"), "http:~2F/x/y");
        assert_eq!(encoded("zoë"), "zo~C3~AB");
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(value in "\\PC{0,200}") {
            prop_assume!(!value.chars().any(is_unsafe));
            let wire = encoded(&value);
            prop_assert!(wire.bytes().all(|byte| is_plain(byte) || byte == b'~'));
            prop_assert!(!wire.contains("--") && !wire.contains(":/") && !wire.starts_with('-'));
            prop_assert_eq!(encode_value(&value), wire.clone());
            prop_assert_eq!(decode(&wire), Ok(value));
        }

        #[test]
        fn a_value_of_the_chain_has_one_form(value in any::<String>(), other in "[a-z~0-9A-F/:-]{0,40}") {
            prop_assert_eq!(decode_value(&encode_value(&value)), Some(value));
            if let Some(value) = decode_value(&other) {
                prop_assert_eq!(encode_value(&value), other);
            }
        }

        #[test]
        fn nothing_decodes_to_a_character_that_hides(wire in "[a-z~0-9A-F]{0,60}") {
            if let Ok(text) = decode(&wire) {
                prop_assert!(!text.chars().any(is_unsafe));
            }
        }
    }
}
