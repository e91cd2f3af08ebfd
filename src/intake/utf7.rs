//! UTF-7 (RFC 2152). In: the bytes of a text. Out: the text; what is not UTF-7 becomes U+FFFD.

/// Decodes `bytes`. A `+` begins a run of UTF-16 in base64 without padding. The first other character ends it: a `-`
/// belongs to it, anything else stands for itself, a line end included. `+-` stands for `+`.
pub(super) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'+' {
            text.push(if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER });
            continue;
        }
        let mut sextets = Vec::new();
        while let Some(sextet) = rest.peek().and_then(|&byte| sextet(byte)) {
            sextets.push(sextet);
            rest.next();
        }
        if rest.next_if_eq(&b'-').is_some() && sextets.is_empty() {
            text.push('+');
        }
        text.extend(char::decode_utf16(units(&sextets)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    text
}

/// The value of a base64 digit.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// The whole UTF-16 units in a run; the bits that are left over are padding.
fn units(sextets: &[u8]) -> impl Iterator<Item = u16> {
    let (mut bits, mut count) = (0_u32, 0_u32);
    sextets.iter().filter_map(move |&sextet| {
        bits = (bits << 6 | u32::from(sextet)) & 0x003f_ffff;
        count += 6;
        (count >= 16).then(|| {
            count -= 16;
            u16::try_from(bits >> count & 0xffff).unwrap_or_default()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        for (encoded, text) in [
            ("A+ImIDkQ.", "A\u{2262}\u{0391}."),
            ("Hi Mom -+Jjo--!", "Hi Mom -\u{263a}-!"),
            ("+ZeVnLIqe-", "\u{65e5}\u{672c}\u{8a9e}"),
            ("Item 3 is +AKM-1.", "Item 3 is \u{a3}1."),
            ("1 +- 1", "1 + 1"),
            ("+ZeVnLA\nmailsudo: 1", "\u{65e5}\u{672c}\nmailsudo: 1"),
            ("+2D3eDQ-", "\u{1f60d}"),
            ("+-+-", "++"),
            ("\u{e9}", "\u{fffd}\u{fffd}"),
            ("+2D0-x", "\u{fffd}x"),
            ("+", ""),
        ] {
            assert_eq!(decode(encoded.as_bytes()), text, "{encoded}");
        }
    }

    /// As iconv(1) writes it: everything but the direct characters in base64.
    fn encode(text: &str) -> String {
        let mut encoded = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() || matches!(c, ' ' | '\n' | ':' | '.') {
                encoded.push(c);
                continue;
            }
            let bytes: Vec<u8> = c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()).collect();
            let bits = bytes.iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
            let digit = |chunk: &[u8]| {
                let text = format!("{:0<6}", String::from_utf8_lossy(chunk));
                let value = usize::from_str_radix(&text, 2).expect("bits");
                char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[value])
            };
            let digits: String = bits.as_bytes().chunks(6).map(digit).collect();
            encoded.push_str(&format!("+{digits}-"));
        }
        encoded
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(text in any::<String>()) {
            prop_assert_eq!(decode(encode(&text).as_bytes()), text);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
