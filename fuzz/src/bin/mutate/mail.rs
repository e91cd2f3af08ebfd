//! A genuine request in a mail, as some mail program may write it.

use crate::genuine::Genuine;
use crate::random::Random;

/// Blanks that the reader takes off (reader's rules 3 and 5).
const BLANKS: [&str; 6] = ["", "", " ", "\t", "\u{a0}", " \u{a0}\t "];

/// Lines around a block. None is a start line.
const PROSE: [&str; 10] = [
    "",
    "Hello,",
    "Grüße aus Köln",
    "mailsudo: hello",
    "> mailsudo: 1",
    "mac: 00",
    "-- ",
    "=3D = =\t",
    "<br> & &amp; a < b",
    "arg: service=apache",
];

/// Writes a mail with this request. Every such mail must be accepted, if `change` leaves its text as it is.
pub fn write(genuine: &Genuine, random: &mut Random, change: impl FnOnce(&mut Vec<u8>, &mut Random)) -> Vec<u8> {
    let mut text = text(&genuine.block, random).into_bytes();
    change(&mut text, random);
    let mut body = entity(&String::from_utf8_lossy(&text), random);
    if let Some(payload) = &genuine.payload {
        let attachment = attachment(payload, random);
        body = multipart("mixed", &[&body, &attachment], random);
    } else {
        match random.below(8) {
            0 => {
                let attachment = attachment(b"something else", random);
                body = multipart("mixed", &[&body, &attachment], random);
            }
            1 => {
                let other = "Content-Type: text/plain\nContent-Disposition: attachment\n\nmailsudo: 1\n";
                body = multipart("mixed", &[other.as_bytes(), &body], random);
            }
            2 => body = multipart("related", &[&body], random),
            _ => {}
        }
    }
    let mut mail = Vec::with_capacity(2048);
    header(&mut mail, random);
    mail.extend_from_slice(&body);
    if random.one_in(4) { with_crlf(&mail) } else { mail }
}

/// The same with each line ended by CRLF.
pub fn with_crlf(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + mail.len() / 16);
    let mut last = 0;
    for &byte in mail {
        if byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        last = byte;
    }
    out
}

/// The fields that a message has, all but those of its body.
fn header(mail: &mut Vec<u8>, random: &mut Random) {
    let mut fields = [
        random.pick(&[
            "From: alice@example.com\n",
            "from: Alice <alice@example.com>\n",
            "From:\n \"A, B\" <alice@example.com>\n",
        ]),
        "To: ops@example.com\n",
        random.pick(&["Subject: please\n", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n", "", "SUBJECT:\n"]),
        random.pick(&["Date: Mon, 23 Nov 2026 10:15:02 +0000\n", ""]),
        random.pick(&["Message-ID: <1@mail.example.com>\n", "Message-Id: <x\n", ""]),
        random.pick(&["Received: from a (b [192.0.2.1])\n\tby c; Mon, 23 Nov 2026 10:15:03 +0000\n", "", ""]),
        random.pick(&["Auto-Submitted: no\n", "", ""]),
        "MIME-Version: 1.0\n",
    ];
    for at in 1..fields.len() {
        fields.swap(at, random.below(at + 1));
    }
    fields.iter().for_each(|field| mail.extend_from_slice(field.as_bytes()));
}

/// The block between other lines, each line as the reader's rules 3 to 5 allow it.
fn text(block: &str, random: &mut Random) -> String {
    let mut text = String::with_capacity(1024);
    let prose = |text: &mut String, random: &mut Random| {
        for _ in 0..random.below(4) {
            *text += random.pick(&PROSE);
            text.push('\n');
        }
    };
    prose(&mut text, random);
    let is_exact = random.one_in(3);
    for line in block.lines() {
        let (key, value) = line.split_once(": ").expect("a line of a block");
        if is_exact {
            text += line;
        } else {
            text += random.pick(&BLANKS);
            text.extend(key.chars().map(|c| if random.one_in(8) { c.to_ascii_uppercase() } else { c }));
            text += random.pick(&BLANKS);
            text.push(':');
            text += random.pick(&BLANKS);
            let is_mac = key == "mac";
            text.extend(value.chars().map(|c| if is_mac && random.one_in(8) { c.to_ascii_uppercase() } else { c }));
            text += random.pick(&BLANKS);
            if random.one_in(8) {
                text += random.pick(&["\n", "\n \n", "\n\u{a0}"]);
            }
        }
        text.push('\n');
    }
    prose(&mut text, random);
    text
}

/// A text as the body of a mail or a part, with the fields that say how it is written.
fn entity(text: &str, random: &mut Random) -> Vec<u8> {
    let is_html = random.one_in(4);
    let html;
    let text = if is_html {
        html = as_html(text, random);
        &html
    } else {
        text
    };
    let kind = if is_html { "html" } else { random.pick(&["plain", "plain", "PLAIN", "plain; format=flowed"]) };
    let (charset, bytes) = match random.below(5) {
        0 => ("iso-8859-1", text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()),
        1 => ("utf-16", [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()),
        2 => (random.pick(&["UTF8", "\"utf-8\"", "x-unknown"]), text.as_bytes().to_vec()),
        3 => ("utf-8", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        _ => ("utf-8", text.as_bytes().to_vec()),
    };
    let mut out = Vec::with_capacity(2 * bytes.len() + 200);
    let fold = random.pick(&[" ", "\n ", "\n\t", ""]);
    if charset != "utf-8" || is_html || random.one_in(2) {
        out.extend_from_slice(format!("Content-Type: text/{kind};{fold}charset={charset}\n").as_bytes());
    }
    let encoding = if charset == "utf-16" { 2 } else { random.below(4) };
    match encoding {
        1 => {
            out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\n\n");
            quoted_printable(&bytes, &mut out);
        }
        2 => {
            out.extend_from_slice(
                random
                    .pick(&["Content-Transfer-Encoding: base64\n\n", "content-transfer-encoding: BASE64\n\n"])
                    .as_bytes(),
            );
            base64(&bytes, &mut out);
        }
        _ => {
            out.extend_from_slice(random.pick(&["Content-Transfer-Encoding: 8bit\n\n", "\n"]).as_bytes());
            out.extend_from_slice(&bytes);
        }
    }
    out
}

/// The same lines where a reader of HTML sees them.
fn as_html(text: &str, random: &mut Random) -> String {
    let (open, close) = random.pick(&[
        ("<div>", "</div>\n"),
        ("", "<br>"),
        ("<p class=x>", "</p>"),
        ("<pre>", "</pre>"),
        ("<tr><td>", "</tr>"),
    ]);
    let mut html = String::with_capacity(2 * text.len());
    for line in text.lines() {
        html += open;
        for c in line.chars() {
            match c {
                '<' => html += "&lt;",
                '&' => html += "&amp;",
                '\u{a0}' => html += "&nbsp;",
                c => html.push(c),
            }
        }
        html += close;
    }
    html
}

/// A file that is attached.
fn attachment(content: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::with_capacity(300);
    out.extend_from_slice(
        random.pick(&["Content-Type: application/octet-stream\n", "Content-Type: text/plain\n"]).as_bytes(),
    );
    out.extend_from_slice(
        b"Content-Disposition: attachment; filename=\"x.conf\"\nContent-Transfer-Encoding: base64\n\n",
    );
    base64(content, &mut out);
    out
}

/// A body of several parts.
fn multipart(kind: &str, parts: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let boundary = format!("{}{}", random.pick(&["b", "=_x", "----="]), random.below(1000));
    let mut out = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\n\n").into_bytes();
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\n").as_bytes());
        out.extend_from_slice(part);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("--{boundary}--\n").as_bytes());
    out
}

/// RFC 2045 section 6.8, in lines of 76.
pub fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let at = |place: usize| group.get(place).copied().map_or(0, usize::from);
            let bits = at(0) << 16 | at(1) << 8 | at(2);
            for place in 0..4 {
                out.push(if place <= group.len() { DIGITS[bits >> (18 - 6 * place) & 63] } else { b'=' });
            }
        }
        out.push(b'\n');
    }
}

/// RFC 2045 section 6.7, with soft line breaks before column 76.
pub fn quoted_printable(bytes: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' {
            out.push(byte);
            column = 0;
            continue;
        }
        if column > 72 {
            out.extend_from_slice(b"=\n");
            column = 0;
        }
        let is_last = matches!(bytes.get(at + 1), None | Some(b'\n' | b'\r'));
        let is_plain = matches!(byte, b' '..=b'~' if byte != b'=') || byte == b'\t';
        if is_plain && !(is_last && matches!(byte, b' ' | b'\t')) {
            out.push(byte);
            column += 1;
        } else {
            out.extend_from_slice(&[
                b'=',
                b"0123456789ABCDEF"[usize::from(byte >> 4)],
                b"0123456789ABCDEF"[usize::from(byte & 15)],
            ]);
            column += 3;
        }
    }
}
