//! Subjects, and what a header says of the body.

use super::mails::{self, *};
use super::{Is, Signed};

pub(super) fn subjects(signed: &Signed) -> Vec<Row> {
    let text = &signed.text;
    let altered = "its Subject is not the gateway's";
    let row = |name, subject: &str, is, words| row(name, with_subject(subject, text), is, words);
    vec![
        row("no subject", "", Is::Genuine, ""),
        row("folded subject", "Subject: [berlin] ping\n host=a what=t=zz:\n\tfailed (exit 1)\n", Is::Genuine, ""),
        row(
            "encoded subject",
            "Subject: =?utf-8?q?[berlin]_ping_host=3Da_what=3Dt=3Dzz:_failed_(exit_1)?=\n",
            Is::Genuine,
            "",
        ),
        row(
            "subject in two encoded words",
            "Subject: =?utf-8?q?[berlin]_ping_?= =?utf-8?b?aG9zdD1hIHdoYXQ9dD16ejogZmFpbGVkIChleGl0IDEp?=\n",
            Is::Genuine,
            "",
        ),
        row("subject in capitals", "SUBJECT: [berlin] ping host=a what=t=zz: failed (exit 1)\n", Is::Genuine, ""),
        row("forged outcome", "Subject: [berlin] ping host=a what=t=zz: ok\n", Is::WithMore, altered),
        row("forged in an encoded word", "Subject: =?utf-8?b?b2sgYWxsIGlzIHdlbGw=?=\n", Is::WithMore, "ok all is well"),
        row("arguments left out", "Subject: [berlin] ping: failed (exit 1)\n", Is::WithMore, altered),
        row("part of an argument", "Subject: [berlin] ping host=a what=t: failed (exit 1)\n", Is::WithMore, altered),
        row(
            "more of the text",
            "Subject: [berlin] ping host=a what=t=zz host vm: failed (exit 1)\n",
            Is::WithMore,
            altered,
        ),
        row("an ellipsis too early", "Subject: [berlin] ping…: failed (exit 1)\n", Is::WithMore, altered),
        row("no command", "Subject: [berlin] : failed (exit 1)\n", Is::WithMore, altered),
        row(
            "a reply prefix",
            "Subject: Re: [berlin] ping host=a what=t=zz: failed (exit 1)\n",
            Is::WithMore,
            "Re: [berlin]",
        ),
        row(
            "a list prefix",
            "Subject: [list] [berlin] ping host=a what=t=zz: failed (exit 1)\n",
            Is::WithMore,
            "[list]",
        ),
        row(
            "words behind",
            "Subject: [berlin] ping host=a what=t=zz: failed (exit 1). Call me\n",
            Is::WithMore,
            "Call me",
        ),
        row("another gateway", "Subject: [paris] ping host=a what=t=zz: failed (exit 1)\n", Is::WithMore, altered),
        row("empty subject", "Subject: \n", Is::WithMore, altered),
        row(
            "bidi in the subject",
            "Subject: [berlin] ping \u{202e}host=a what=t=zz: failed (exit 1)\n",
            Is::WithMore,
            altered,
        ),
        row("two subjects", &format!("{SUBJECT}{SUBJECT}"), Is::WithMore, altered),
        row("a second subject", &format!("{SUBJECT}Subject: ok\n"), Is::WithMore, altered),
        row("a blank before the colon", &format!("{SUBJECT}Subject : ok\n"), Is::WithMore, altered),
        row("too long a subject", &format!("Subject: {}\n", "x".repeat(20_000)), Is::WithMore, altered),
    ]
}

pub(super) fn headers(signed: &Signed) -> Vec<Row> {
    let text = &signed.text;
    let typed = |kind: &str| mail(&format!("Content-Type: {kind}\n"), text);
    let several = "a field that mail programs may read in several ways";
    let no_field = "a line in a header that is no field";
    vec![
        row("no type", mail("", text), Is::Genuine, ""),
        row("us-ascii", typed("text/plain; charset=us-ascii"), Is::Genuine, ""),
        row("folded after the equals sign", typed("text/plain; charset=\n \"utf-8\""), Is::Genuine, ""),
        row("no field in the header", mail("Run curl evil\n", text), Is::WithMore, "no field: Run curl evil"),
        row("no name of a field", mail("Run curl evil: now\n", text), Is::WithMore, no_field),
        row("blank line in the header", mail(" \nRun: curl evil\n", text), Is::WithMore, no_field),
        row("type twice", mail("Content-Type: text/plain\nContent-Type: text/html\n", text), Is::NotGenuine, ""),
        row(
            "type twice in a part",
            multipart(
                "mixed",
                &[
                    mails::typed("text/plain", text),
                    part("Content-Type: text/plain\nContent-Type: text/html\n", FORGED),
                ],
            ),
            Is::WithMore,
            "a field twice",
        ),
        row(
            "encoding twice",
            mail("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n", text),
            Is::NotGenuine,
            "",
        ),
        row("two types in one field", typed("text/plain, text/html"), Is::NotGenuine, ""),
        row("a comment in the type", typed("text/plain(html)"), Is::WithMore, several),
        row("a type without subtype", typed("text"), Is::WithMore, several),
        row("a type that cannot be read", typed(";text/html"), Is::WithMore, several),
        row("charset twice", typed("text/plain; charset=utf-8; charset=utf-16"), Is::WithMore, several),
        row("an unknown charset", typed("text/plain; charset=ebcdic-x"), Is::WithMore, "an unknown charset"),
        row(
            "a name",
            typed("text/plain; name=\"ok, all is well.txt\""),
            Is::WithMore,
            "a part with a file name: ok, all is well.txt",
        ),
        row("a name in RFC 2231", typed("text/plain; name*=utf-8''ok%20all%20is%20well"), Is::WithMore, several),
        row(
            "a file name",
            mail("Content-Disposition: inline; filename=ok.txt\n", text),
            Is::WithMore,
            "a part with a file name: ok.txt",
        ),
        row(
            "a file name in pieces",
            mail("Content-Disposition: inline; filename*0=ok; filename*1=.txt\n", text),
            Is::WithMore,
            several,
        ),
        row("inline", mail("Content-Disposition: inline\n", text), Is::Genuine, ""),
        row(
            "a description",
            mail("Content-Description: all is well, run curl evil\n", text),
            Is::WithMore,
            "curl evil",
        ),
        row("an unknown encoding", encoded("x-uuencode", text), Is::WithMore, "an unknown transfer encoding"),
        row("an encoding with a comment", encoded("8bit (x)", text), Is::Genuine, ""),
        row(
            "a subject of a part",
            multipart("mixed", &[part("Content-Type: text/plain; protected-headers=v1\nSubject: ok\n", text)]),
            Is::WithMore,
            "Subject: ok",
        ),
        row("attachment only", mail("Content-Disposition: attachment\n", text), Is::NotGenuine, ""),
        row(
            "blank lines before the header",
            format!("\n{}", plain(text)),
            Is::WithMore,
            "text above the gateway's: From:",
        ),
        row(
            "no From field",
            plain(text).replace("From: ", "Sender: "),
            Is::WithMore,
            "text above the gateway's: Sender:",
        ),
    ]
}
