//! Changes of a mail: single bytes, ranges, lines, fields and encodings.

use std::ops::Range;

use crate::mail::{base64, quoted_printable, with_crlf};
use crate::random::Random;

/// The largest mail that a change may leave, in bytes.
const MOST: usize = 6 * 1024;

/// Bytes that mean something to a parser.
const BYTES: &[u8] = b" \t\r\n:;=-~\"<>&?+/\\,()@\0\x0b\x0c\x1b\x7f\x80\xa0\xc2\xe2\xef\xff";

const CHARSETS: [&str; 10] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "utf-16",
    "utf-16le",
    "utf-7",
    "windows-1252",
    "iso-2022-jp",
    "ks_c_5601-1987",
    "",
];

const ENCODINGS: [&str; 5] = ["7bit", "quoted-printable", "base64", "x-unknown", "base64 (a comment)"];

const TYPES: [&str; 7] = [
    "text/plain",
    "text/html",
    "text",
    "multipart/mixed; boundary=b",
    "message/rfc822",
    "multipart/digest; boundary=x",
    "text/plain; format=flowed; delsp=yes",
];

/// Changes a mail once. `other` is another mail, of which it may take a part; `words` are worth inserting.
pub fn change(mail: &mut Vec<u8>, other: &[u8], words: &[Vec<u8>], random: &mut Random) {
    let body = body_of(mail);
    let end = mail.len();
    match random.below(24) {
        0 => set(mail, random, |byte, random| byte ^ 1 << random.below(8)),
        1 => set(mail, random, |_, random| random.below(256) as u8),
        2 => set(mail, random, |_, random| random.pick(BYTES)),
        // A digit or a letter in the place of another: a name, a number or a mac that is still well formed.
        3 => set(mail, random, |byte, random| match byte {
            b'0'..=b'9' => b'0' + random.below(10) as u8,
            b'a'..=b'z' | b'A'..=b'Z' if random.one_in(2) => byte ^ 0x20,
            _ => b'a' + random.below(6) as u8,
        }),
        4 => insert_at(mail, random.below(end + 1), &[random.pick(BYTES)]),
        5 => {
            let range = random.range(end);
            mail.drain(range);
        }
        6 => {
            let copy = mail[random.range(end)].to_vec();
            insert_at(mail, random.below(end + 1), &copy);
        }
        7 => insert_at(mail, random.below(end + 1), &other[random.range(other.len())]),
        8 => {
            mail.truncate(random.below(end + 1));
            mail.extend_from_slice(&other[random.below(other.len() + 1)..]);
        }
        9 => insert_at(mail, random.below(end + 1), word(words, random)),
        10 => {
            let word = word(words, random);
            let start = random.below(end + 1);
            let stop = end.min(start + word.len());
            mail.splice(start..stop, word.iter().copied());
        }
        11 => exchange(mail, 0..body, random),
        12 => double(mail, 0..body, random),
        13 => remove(mail, 0..body, random),
        14 => take(mail, 0..body, &other[..body_of(other)], random),
        15 => exchange(mail, body..end, random),
        16 => double(mail, body..end, random),
        17 => remove(mail, body..end, random),
        18 => take(mail, body..end, &other[body_of(other)..], random),
        19 => {
            *mail = if random.one_in(2) {
                with_crlf(mail)
            } else {
                mail.iter().copied().filter(|&byte| byte != b'\r').collect()
            }
        }
        20 => encode(mail, body, random),
        21 => field(mail, "Content-Transfer-Encoding", random.pick(&ENCODINGS), random),
        22 => {
            field(mail, "Content-Type", &format!("{}; charset={}", random.pick(&TYPES), random.pick(&CHARSETS)), random)
        }
        _ => other_charset(mail, random),
    }
    mail.truncate(MOST);
}

/// Where the body begins; the end where there is none.
fn body_of(mail: &[u8]) -> usize {
    let mut last = 0;
    for (at, &byte) in mail.iter().enumerate() {
        if byte == b'\n' {
            if matches!(mail.get(last..at), Some(b"" | b"\r")) {
                return at + 1;
            }
            last = at + 1;
        }
    }
    mail.len()
}

fn set(mail: &mut [u8], random: &mut Random, to: impl FnOnce(u8, &mut Random) -> u8) {
    let at = random.below(mail.len());
    if let Some(byte) = mail.get_mut(at) {
        *byte = to(*byte, random);
    }
}

fn insert_at(mail: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    mail.splice(at..at, bytes.iter().copied());
}

fn word<'w>(words: &'w [Vec<u8>], random: &mut Random) -> &'w [u8] {
    &words[random.below(words.len())]
}

/// A line of this part of a mail, with its line end.
fn line(mail: &[u8], part: &Range<usize>, random: &mut Random) -> Range<usize> {
    let part = part.start.min(mail.len())..part.end.min(mail.len());
    let at = part.start + random.below(part.len());
    let start =
        mail[part.start..at].iter().rposition(|&byte| byte == b'\n').map_or(part.start, |found| part.start + found + 1);
    let end = mail[at..part.end].iter().position(|&byte| byte == b'\n').map_or(part.end, |found| at + found + 1);
    start..end
}

fn exchange(mail: &mut Vec<u8>, part: Range<usize>, random: &mut Random) {
    let (one, two) = (line(mail, &part, random), line(mail, &part, random));
    let (first, second) = if one.start <= two.start { (one, two) } else { (two, one) };
    if first.end <= second.start {
        let exchanged = [&mail[second.clone()], &mail[first.end..second.start], &mail[first.clone()]].concat();
        mail.splice(first.start..second.end, exchanged);
    }
}

fn double(mail: &mut Vec<u8>, part: Range<usize>, random: &mut Random) {
    let copy = mail[line(mail, &part, random)].to_vec();
    let at = line(mail, &part, random).start;
    insert_at(mail, at, &copy);
}

fn remove(mail: &mut Vec<u8>, part: Range<usize>, random: &mut Random) {
    let range = line(mail, &part, random);
    mail.drain(range);
}

/// A line of the same part of another mail, inserted or in the place of one.
fn take(mail: &mut Vec<u8>, part: Range<usize>, other: &[u8], random: &mut Random) {
    let taken = &other[line(other, &(0..other.len()), random)];
    let mut place = line(mail, &part, random);
    if random.one_in(2) {
        place.end = place.start;
    }
    mail.splice(place, taken.iter().copied());
}

/// The body in another transfer encoding, which the header names or not.
fn encode(mail: &mut Vec<u8>, body: usize, random: &mut Random) {
    let mut encoded = Vec::with_capacity(2 * mail.len());
    let name = if random.one_in(2) {
        base64(&mail[body..], &mut encoded);
        "base64"
    } else {
        quoted_printable(&mail[body..], &mut encoded);
        "quoted-printable"
    };
    mail.truncate(body);
    mail.extend_from_slice(&encoded);
    if !random.one_in(4) {
        field(mail, "Content-Transfer-Encoding", name, random);
    }
}

/// Puts a field at the start of the header, in the place of the first of its name or beside it.
fn field(mail: &mut Vec<u8>, name: &str, value: &str, random: &mut Random) {
    if !random.one_in(3) {
        let header = body_of(mail);
        let mut start = 0;
        while let Some(length) = mail[start..header].iter().position(|&byte| byte == b'\n').map(|at| at + 1) {
            if mail[start..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes())) {
                mail.drain(start..start + length);
                break;
            }
            start += length;
        }
    }
    insert_at(mail, 0, format!("{name}: {value}\n").as_bytes());
}

/// Another name after a `charset=`.
fn other_charset(mail: &mut Vec<u8>, random: &mut Random) {
    const KEY: &[u8] = b"charset=";
    let from = random.below(mail.len());
    let Some(at) = mail[from..].windows(KEY.len()).position(|window| window == KEY) else {
        return;
    };
    let start = from + at + KEY.len();
    let end = mail[start..].iter().position(|byte| b"\r\n;".contains(byte)).map_or(mail.len(), |length| start + length);
    mail.splice(start..end, random.pick(&CHARSETS).bytes());
}
