//! The text itself, changed on the way, and its encodings.

use super::mails::*;
use super::{Is, Signed};

/// The same text, changed only as mail systems change it; and other text around it.
pub(super) fn whole(signed: &Signed) -> Vec<Row> {
    let text = &signed.text;
    let crlf = |mail: String| mail.replace('\n', "\r\n");
    let flowed: String = text
        .lines()
        .map(|line| if line.starts_with("From ") { format!(" {line}\n") } else { format!("{line}\n") })
        .collect();
    let mbox = format!("From ops Mon Nov 23 10:15:04 2026\n{}", encoded("quoted-printable", &quoted_printable(text)));
    vec![
        row("plain", plain(text), Is::Genuine, ""),
        row("pasted", text.clone(), Is::Genuine, ""),
        row("pasted with a line above", format!("Look:\n{text}"), Is::WithMore, "text above the gateway's: Look:"),
        row("pasted with a line below", format!("{text}\nLook\n"), Is::WithMore, "text below the block: Look"),
        row("crlf", crlf(plain(text)), Is::Genuine, ""),
        row("from a mailbox", mbox.clone(), Is::Genuine, ""),
        row("from a mailbox, crlf", crlf(mbox), Is::Genuine, ""),
        row(
            "mailbox with a second mail",
            format!("{}\nFrom x Mon\nSubject: x\n\nforged\n", plain(text)),
            Is::WithMore,
            "forged",
        ),
        row("flowed", mail("Content-Type: text/plain; charset=utf-8; format=flowed\n", &flowed), Is::Genuine, ""),
        row("base64", encoded("base64", &base64(text)), Is::Genuine, ""),
        row("base64, crlf", crlf(encoded("BASE64", &base64(text))), Is::Genuine, ""),
        row("quoted-printable", encoded("quoted-printable", &quoted_printable(text)), Is::Genuine, ""),
        row("indented", plain(&text.replace('\n', "\n  ")), Is::Genuine, ""),
        row(
            "utf-16",
            mail(
                "Content-Type: text/plain; charset=utf-16be\nContent-Transfer-Encoding: base64\n",
                &base64(&utf16(text)),
            ),
            Is::Genuine,
            "",
        ),
        row("list footer", plain(&format!("{text}\n_______\nlist@example.com\n")), Is::WithMore, "list@example.com"),
        row(
            "banner above",
            plain(&format!("CAUTION: external mail\nBe careful.\n\n{text}")),
            Is::WithMore,
            "text above the gateway's: CAUTION: external mail\nBe careful.",
        ),
        row("banner above and footer below", plain(&format!("CAUTION\n{text}\nfooter\n")), Is::WithMore, "footer"),
        row("forged first line above", plain(&format!("{FORGED}{text}")), Is::WithMore, "curl evil"),
        row("forged within", plain(&text.replace("nothing is", "all is")), Is::Altered, ""),
        row("a line taken out", plain(&text.replace("host is not up\n", "")), Is::Altered, ""),
        row("zero width space", plain(&text.replace("nothing", "no\u{200b}thing")), Is::Altered, ""),
        row("bidi control", plain(&text.replace("nothing", "\u{202e}nothing")), Is::Altered, ""),
        row("look-alike letter", plain(&text.replace("well", "w\u{0435}ll")), Is::Altered, ""),
        row("nul", plain(&text.replace("nothing", "nothing\0")), Is::Altered, ""),
        row("nul in the header", plain(text).replace("To: ", "X: \0\nTo: "), Is::WithMore, "NUL"),
        row("cr only", plain(text).replace('\n', "\r"), Is::NotGenuine, ""),
        row("cr only, in the body", plain(&text.replace('\n', "\r")), Is::NotGenuine, ""),
        row(
            "cr in a field",
            plain(text).replace("To: ", "X: a\rSubject: forged\nTo: "),
            Is::WithMore,
            "carriage return",
        ),
        row("text after a cr", plain(&format!("{text}\r")), Is::Genuine, ""),
        row("quoted", plain(&format!("> {}", text.replace('\n', "\n> "))), Is::NotGenuine, ""),
        row("mbox quotes", plain(&text.replace("\nFrom ", "\n>From ")), Is::Altered, ""),
        row("result altered", plain(&text.replace("exit-1", "exit-0")), Is::NotGenuine, ""),
        row("blocks exchanged", plain(&exchanged(signed)), Is::Altered, ""),
        row("two replies", plain(&format!("{text}{}", signed.other)), Is::WithMore, "text above the gateway's: failed"),
        row("the block alone", plain(&text[text.find("mailsudo-reply").unwrap_or(0)..]), Is::Altered, ""),
        row("huge and blank", plain(&format!("{}{text}", "\n".repeat(100_000))), Is::Genuine, ""),
        row("huge and forged", plain(&format!("{}{text}", "forged\n".repeat(100_000))), Is::Altered, ""),
        row("another gateway's", plain(&text.replace("gateway: berlin", "gateway: paris")), Is::NotGenuine, ""),
        row("empty", String::new(), Is::NotGenuine, ""),
    ]
}

fn exchanged(signed: &Signed) -> String {
    let at = |text: &str| text.find("mailsudo-reply").unwrap_or(0);
    format!("{}{}", &signed.text[..at(&signed.text)], &signed.other[at(&signed.other)..])
}

pub(super) fn bodies(signed: &Signed) -> Vec<Row> {
    let text = &signed.text;
    let not_encoded = "a text that is not encoded as its header says";
    let padded = base64(&format!("{text}{}", " ".repeat(1 + (4 - text.len() % 3) % 3)));
    let mut rows = vec![
        row(
            "base64 with a footer",
            encoded("base64", &format!("{}\n-- \nfooter\n", base64(text))),
            Is::WithMore,
            "text below the block: --",
        ),
        row(
            "base64 with a banner",
            encoded("base64", &format!("A banner!\n\n{}", base64(text))),
            Is::WithMore,
            "text above the gateway's: A banner!",
        ),
        row("base64 after its end", encoded("base64", &format!("{}{}", padded, base64(FORGED))), Is::WithMore, ""),
        row(
            "base64 with other characters",
            encoded("base64", &base64(text).replacen('\n', "\n!!!\n", 1)),
            Is::Altered,
            "",
        ),
        row(
            "base64 with a delimiter",
            encoded("base64", &format!("{}--\n{}", base64(text), base64(FORGED))),
            Is::WithMore,
            "",
        ),
        row("base64 label over plain text", encoded("base64", text), Is::WithMore, not_encoded),
        row("quoted-printable label over plain text", encoded("quoted-printable", text), Is::WithMore, not_encoded),
        row(
            "quoted-printable with a footer",
            encoded("quoted-printable", &format!("{}=66ooter\n", quoted_printable(text))),
            Is::WithMore,
            "text below the block: footer",
        ),
        row(
            "a hidden soft line end",
            encoded("quoted-printable", &quoted_printable(text).replacen("nothing", "nothing=\n", 1)),
            Is::Genuine,
            "",
        ),
        row("a byte order mark", plain(&format!("\u{feff}{text}")), Is::Genuine, ""),
        row(
            "utf-7 of the same",
            mail("Content-Type: text/plain; charset=utf-7\n", &text.replace('=', "+AD0-")),
            Is::Genuine,
            "",
        ),
        row(
            "utf-7 label over plain text",
            mail("Content-Type: text/plain; charset=utf-7\n", &text.replacen("well", "w+-ell", 1)),
            Is::Altered,
            "",
        ),
    ];
    let invalid = latin(&plain(&text.replace("nothing", "no\u{ff}thing")));
    rows.push(("bytes that are no text", invalid, Is::Altered, ""));
    rows.push((
        "a no-break space in latin-1",
        latin(&mail("Content-Type: text/plain; charset=iso-8859-1\n", &text.replace(" is ", "\u{a0}is "))),
        Is::Genuine,
        "",
    ));
    rows
}
