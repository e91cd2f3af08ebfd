//! Hostile mails: each fills a given size with one construct that a parser may handle badly.

/// A mail of at most that many bytes.
pub(super) type Shape = fn(usize) -> Vec<u8>;

/// What it is made of, the word of the rule that refuses it, and how it is made.
pub(super) type Entry = (&'static str, &'static str, Shape);

/// Shapes that overflowed the stack of other programs, or took a multiple of memory or quadratic time; or are nearest
/// to a limit.
#[rustfmt::skip]
pub(super) const WORST: &[Entry] = &[
    ("nested messages", "not-a-request", |n| fill(&from(""), MESSAGE, n, "x")),
    ("nested messages in base64", "not-a-request", |n| in_base64(&fill(&from(""), MESSAGE, n / 100 * 73, "x"))),
    ("nested messages in base64 in base64", "not-a-request", |n| in_base64(&in_base64(&fill(&from(""), MESSAGE, n / 100 * 53, "x")))),
    ("nested multiparts", "too-large", |n| numbered(&from(""), n, |k| format!("Content-Type: multipart/x; boundary={k}\n\n--{k}\n"))),
    ("empty parts", "too-large", |n| fill(&mixed(), "--x\n", n, "")),
    ("messages of a digest", "too-large", |n| fill(&from("Content-Type: multipart/digest; boundary=x\n"), "--x\n\na:b\n\n", n, "")),
    ("parts whose boundary never comes", "too-large", |n| fill(&mixed(), "--x\nContent-Type: multipart/a;boundary=y\n\n", n, "")),
    ("a boundary that never comes", "not-a-request", |n| fill(&mixed(), "--y\n", n, "")),
    ("a boundary as long as the mail", "not-a-request", |n| fill(&from(&format!("Content-Type: multipart/mixed; boundary=\"{}x\"\n", "-".repeat(n / 2))), "-", n, "")),
    ("a million fields", "not-a-request", |n| fill(&from(""), "a:\n", n, "")),
    ("From fields", "bad-from", |n| fill("", "From:a\n", n, "")),
    ("groups in From", "bad-from", |n| fill("From: ", "a:b;", n, "")),
    ("pieces of a parameter", "not-a-request", |n| fill(&from("Content-Type: text/plain"), ";a*1=b", n, "\n\n")),
    ("pieces of many parameters", "not-a-request", |n| numbered(&from("Content-Type: text/plain"), n, |k| format!(";a{k}*1=b"))),
    ("bytes that are no text", "not-a-request", |n| [from("\n").into_bytes(), vec![0xff; n - 100]].concat()),
    ("deep HTML", "not-a-request", |n| fill(&html(), "<div>", n, "")),
    ("start lines", "ambiguous", |n| fill(&from("\n"), "mailsudo: 1\n", n, "")),
    ("a block of fields", "malformed", |n| fill(&from("\nmailsudo: 1\n"), "a: b\n", n, "")),
];

/// The others.
#[rustfmt::skip]
pub(super) const OTHERS: &[Entry] = &[
    ("nested multiparts of one boundary", "too-large", |n| fill(&from(""), "Content-Type: multipart/x; boundary=x\n\n--x\n", n, "")),
    ("parts without a header", "too-large", |n| fill(&mixed(), "--x\n\n", n, "")),
    ("lines that are nearly delimiters", "not-a-request", |n| fill(&mixed(), "--x and more\n", n, "")),
    ("delimiters within one line", "not-a-request", |n| fill(&mixed(), "--x", n, "")),
    ("lines that are no fields", "not-a-request", |n| fill(&from(""), "a\n", n, "")),
    ("a field of blanks", "not-a-request", |n| fill(&from("X: "), " ", n, "")),
    ("a field of folds", "not-a-request", |n| fill(&from("X: "), "x\n ", n, "")),
    ("a subject of encoded words", "not-a-request", |n| fill(&from("Subject: "), "=?utf-8?q?a?= ", n, "")),
    ("a subject of encoded words that do not end", "not-a-request", |n| fill(&from("Subject: "), "=?utf-8?b?a", n, "")),
    ("addresses in From", "bad-from", |n| fill("From: ", "a@b,", n, "")),
    ("comments in From", "bad-from", |n| fill("From: ", "(", n, "")),
    ("encoded words in From", "bad-from", |n| fill("From: ", "=?x?q?a?= ", n, "")),
    ("Message-IDs", "not-a-request", |n| fill(&from("Message-ID: "), "<a>", n, "")),
    ("types", "not-a-request", |n| fill(&from(""), "Content-Type:a/b\n", n, "")),
    ("parameters", "not-a-request", |n| fill(&from("Content-Type: text/plain"), ";a=b", n, "\n\n")),
    ("comments in a type", "not-a-request", |n| fill(&from("Content-Type: text/plain"), "(", n, "\n\n")),
    ("a charset that does not exist", "not-a-request", |n| fill(&from("Content-Type: text/plain; charset=no\n\n"), "\u{ff}", n, "")),
    ("fields of NULs", "not-a-request", |n| fill(&from(""), "\0", n, "")),
    ("base64 of zeros", "not-a-request", |n| fill(&from("Content-Transfer-Encoding: base64\n\n"), "AAAA", n, "")),
    ("base64 that is only padding", "not-a-request", |n| fill(&from("Content-Transfer-Encoding: base64\n\n"), "=", n, "")),
    ("parts of broken base64", "too-large", |n| fill(&mixed(), "--x\nContent-Transfer-Encoding: base64\n\n!\n", n, "")),
    ("soft breaks", "not-a-request", |n| fill(&from("Content-Transfer-Encoding: quoted-printable\n\n"), "=\n", n, "")),
    ("trailing blanks, quoted printable", "not-a-request", |n| fill(&from("Content-Transfer-Encoding: quoted-printable\n\n"), " \t", n, "")),
    ("half UTF-16", "not-a-request", |n| fill(&from("Content-Type: text/plain; charset=utf-16be\n\n"), "\u{d8}", n, "")),
    ("UTF-7", "not-a-request", |n| fill(&from("Content-Type: text/plain; charset=utf-7\n\n"), "+AA", n, "")),
    ("NULs", "not-a-request", |n| fill(&from("\n"), "\0", n, "")),
    ("deep preformatted HTML", "not-a-request", |n| fill(&html(), "<pre>", n, "")),
    ("tags that do not end", "not-a-request", |n| fill(&html(), "<", n, "")),
    ("one tag of many attributes", "not-a-request", |n| numbered(&(html() + "<a"), n, |k| format!(" a{k}=b"))),
    ("entities", "not-a-request", |n| fill(&html(), "&CounterClockwiseContourIntegral;", n, "")),
    ("entities without a name", "not-a-request", |n| fill(&html(), "&aa;", n, "")),
    ("an entity without end", "not-a-request", |n| fill(&(html() + "&#"), "9", n, ";")),
    ("comments", "not-a-request", |n| fill(&html(), "<!--", n, "")),
    ("scripts that nearly end", "not-a-request", |n| fill(&(html() + "<script>"), "</scrip", n, "")),
    ("start lines in HTML", "ambiguous", |n| fill(&html(), "mailsudo: 1<br>", n, "")),
    ("a block of blank lines", "malformed", |n| fill(&from("\nmailsudo: 1\n"), "\n", n, "")),
    ("a block of one line", "malformed", |n| fill(&from("\nmailsudo: 1\ngateway: "), "x", n, "")),
    ("a version without end", "not-a-request", |n| fill(&from("\nmailsudo: "), "1", n, "")),
    ("an argument in many lines", "bad-mac", |n| fill(&from(&format!("\n{BLOCK}arg: a=b\n")), "more: b\n", n, &mac())),
];

const MESSAGE: &str = "Content-Type: message/rfc822\n\n";
const BLOCK: &str = "mailsudo: 1\ngateway: berlin\nuser: alice\ntime: 2026-11-23T10:15:00Z\ntotp: 123456\ncommand: x\n";

fn mac() -> String {
    format!("mac: {}\n", "0".repeat(64))
}

fn from(more: &str) -> String {
    format!("From: alice@example.com\n{more}")
}

fn mixed() -> String {
    from("Content-Type: multipart/mixed; boundary=x\n\n")
}

fn html() -> String {
    from("Content-Type: text/html; charset=utf-8\n\n")
}

fn fill(head: &str, unit: &str, size: usize, tail: &str) -> Vec<u8> {
    let room = size.saturating_sub(head.len() + tail.len());
    [head, &unit.repeat(room / unit.len()), tail].concat().into_bytes()
}

fn numbered(head: &str, size: usize, unit: impl Fn(usize) -> String) -> Vec<u8> {
    let mut text = head.to_owned();
    for number in 0.. {
        let unit = unit(number);
        if text.len() + unit.len() > size {
            break;
        }
        text.push_str(&unit);
    }
    text.into_bytes()
}

fn in_base64(message: &[u8]) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = from("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n").into_bytes();
    for (count, chunk) in message.chunks_exact(3).enumerate() {
        let word = chunk.iter().fold(0, |word, &byte| word << 8 | usize::from(byte));
        text.extend((0..4).map(|at| alphabet[word >> (18 - 6 * at) & 63]));
        if count % 19 == 18 {
            text.push(b'\n');
        }
    }
    text
}
