//! Which messages are looked at, and which of their texts count: intake, through the whole pipeline.

use crate::common::TestGateway;
use mailsudo::system::clock::Clock;

/// Delivers alice's signed block in this message, in the place of the word `BLOCK`.
fn arrive(template: &str) -> String {
    let mut test_gateway = TestGateway::new();
    let block = test_gateway.block(test_gateway.clock.now(), "count", &[]);
    let message = template.replace("BLOCK", &block);
    verdict(&mut test_gateway, message.as_bytes())
}

/// `ran`, or the word of the rule that refused it.
fn verdict(test_gateway: &mut TestGateway, message: &[u8]) -> String {
    let ended = test_gateway.deliver_bytes(message);
    assert_eq!(ended.deferred, None, "{ended:?}");
    if test_gateway.runs().len() == 1 {
        return "ran".to_owned();
    }
    let log = ended.log.join("\n");
    let reason = log.split("reason=").nth(1).and_then(|rest| rest.split_whitespace().next());
    reason.unwrap_or_else(|| panic!("{log}")).to_owned()
}

const FROM: &str = "From: alice@example.com\n";

#[test]
fn automatic_mail_is_refused() {
    for (field, wanted) in [
        ("X-Nothing: x", "ran"),
        ("Auto-Submitted: no", "ran"),
        ("Auto-Submitted: auto-replied", "automatic"),
        ("auto-submitted: auto-generated; x=y", "automatic"),
        ("List-Id: <a.b>", "automatic"),
        ("LIST-UNSUBSCRIBE: <mailto:x>", "automatic"),
        ("Precedence: bulk", "automatic"),
        ("Precedence: first-class", "ran"),
        ("Return-Path: <>", "automatic"),
        ("Return-Path: <alice@example.com>", "ran"),
        ("Mailsudo-Gateway: paris", "loop"),
        ("X-Spam-Flag: YES", "rejected"),
        ("X-Spam-Flag: NO", "ran"),
        ("X-Spam-Status: Yes, score=9.1", "rejected"),
        ("X-Spam-Status: No, score=0.1", "ran"),
    ] {
        assert_eq!(arrive(&format!("{FROM}{field}\n\nBLOCK")), wanted, "{field}");
    }
}

#[test]
fn a_gateway_does_not_answer_its_own_reply() {
    let mut test_gateway = TestGateway::new();
    let reply = test_gateway.deliver(&test_gateway.request("count", &[])).reply().to_owned();
    assert!(test_gateway.deliver(&reply).refused("automatic"));
    let stripped = reply.replace("Auto-Submitted: auto-replied\n", "");
    assert!(test_gateway.deliver(&stripped).refused("loop"), "even where a mail system takes that field away");
}

#[test]
fn exactly_one_from_with_one_address() {
    for (fields, wanted) in [
        ("", "bad-from"),
        ("From: alice@example.com\nFrom: alice@example.com\n", "bad-from"),
        ("From: alice@example.com, bob@example.com\n", "bad-from"),
        ("From: friends: alice@example.com;\n", "bad-from"),
        ("From: \n", "bad-from"),
        ("From: \"Alice\" <alice@example.com>\n", "ran"),
        ("From: eve@example.com\n", "foreign-from"),
    ] {
        assert_eq!(arrive(&format!("{fields}Subject: x\n\nBLOCK")), wanted, "{fields}");
    }
}

#[test]
fn the_envelope_is_screened_as_the_sysadmin_asks() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let refused = |sender: Option<&[u8]>, recipient: Option<&str>, settings: &str| {
        let mut test_gateway = TestGateway::new();
        test_gateway.set(settings);
        test_gateway.envelope.sender = sender.map(|bytes| OsString::from_vec(bytes.to_vec()));
        test_gateway.envelope.recipient = recipient.map(OsString::from);
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        match ended.deferred {
            Some(part) => part.to_owned(),
            None if test_gateway.runs().len() == 1 => "ran".to_owned(),
            None => ended
                .log
                .join("\n")
                .split("reason=")
                .nth(1)
                .expect("a reason")
                .split(' ')
                .next()
                .expect("a word")
                .to_owned(),
        }
    };
    let served = "[intake]\nrecipients = [\"ops@example.com\"]";
    for (sender, recipient, settings, wanted) in [
        (Some(&b""[..]), None, "", "automatic"),
        (Some(b"<>"), None, "", "automatic"),
        (Some(b"MAILER-DAEMON"), None, "", "automatic"),
        (Some(b"-f\xff\"x\n y"), None, "", "ran"),
        (None, Some("OPS@example.com"), served, "ran"),
        (None, Some("other@example.com"), served, "wrong-recipient"),
        (None, None, served, "configuration"),
        (None, None, "[intake]\nsubject = \"^\\\\[ops\\\\]\"", "wrong-subject"),
        (None, None, "[intake]\nsubject = \"please\"", "ran"),
        (None, None, "[intake]\nsubject = \"(\"", "configuration"),
    ] {
        assert_eq!(refused(sender, recipient, settings), wanted, "{sender:?} {recipient:?} {settings}");
    }
}

#[test]
fn log_lines_stay_lines_whatever_the_envelope_holds() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let mut test_gateway = TestGateway::new();
    test_gateway.envelope.sender = Some(OsString::from_vec(b"x\" event=admitted\n\xff".to_vec()));
    test_gateway.envelope.sasl_username = Some("alice".into());
    let ended = test_gateway.deliver("From: a@b\n\nnothing");
    assert_eq!(ended.log.len(), 2, "{ended:?}");
    assert!(ended.log[0].ends_with(r#"event=received sender="x\" event=admitted\n\\xff" sasl=alice"#), "{ended:?}");
}

#[test]
fn a_message_over_the_limit_is_not_parsed() {
    let mut test_gateway = TestGateway::new();
    let limit = 256 * 1024;
    let request = test_gateway.request("count", &[]);
    let filled = |size: usize| format!("{request}\n{}", "x\n".repeat(size))[..size].to_owned();
    let ended = test_gateway.deliver(&filled(limit + 1));
    assert!(ended.refused("too-large"), "{ended:?}");
    assert_eq!(verdict(&mut test_gateway, filled(limit).as_bytes()), "ran");
}

#[test]
fn bytes_that_are_no_mail_are_refused() {
    let mut test_gateway = TestGateway::new();
    for bytes in [&b""[..], b"\n", b"\0\0\0", b"\xff\xfe"] {
        let ended = test_gateway.deliver_bytes(bytes);
        assert!(ended.refused("not-mail"), "{bytes:?}: {ended:?}");
        assert_eq!((ended.deferred, ended.replies.len()), (None, 0), "{ended:?}");
    }
}

#[test]
fn the_inline_plain_texts_count() {
    for (what, message, wanted) in [
        ("quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\nHello =E2=82=AC\nQPBLOCK", "ran"),
        ("a first part", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nBLOCK\n--x--\n", "ran"),
        ("a last part", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nfooter\n--x\n\nBLOCK\n--x--\n", "ran"),
        (
            "an attachment",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhello\n--x\nContent-Disposition: attachment\n\nBLOCK\n--x--\n",
            "not-a-request",
        ),
        (
            "an unknown disposition",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Disposition: whatever\n\nBLOCK\n--x--\n",
            "not-a-request",
        ),
        ("another text type", "Content-Type: text/csv\n\nBLOCK", "not-a-request"),
        (
            "a forwarded message",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\nFrom: a@b\n\nBLOCK\n--x--\n",
            "not-a-request",
        ),
        (
            "both parts alike",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nBLOCK\n--x\n\nBLOCK\n--x--\n",
            "ambiguous",
        ),
        (
            "plain before HTML",
            "Content-Type: multipart/alternative; boundary=x\n\n--x\n\nBLOCK\n--x\nContent-Type: text/html\n\n<p>mailsudo: 1<br>x\n--x--\n",
            "ran",
        ),
        (
            "HTML where plain has none",
            "Content-Type: multipart/alternative; boundary=x\n\n--x\n\nsee the HTML\n--x\nContent-Type: text/html\n\nHTMLBLOCK\n--x--\n",
            "ran",
        ),
        (
            "HTML alone",
            "Content-Type: text/html\n\n<html><style>p {}</style><body><div>Hi</div>HTMLBLOCK</body>",
            "ran",
        ),
        ("HTML source lines", "Content-Type: text/html\n\n<p>BLOCK</p>", "not-a-request"),
        ("preformatted HTML", "Content-Type: text/html\n\n<pre>BLOCK</pre>", "ran"),
        (
            "ISO-8859-1 around it",
            "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n=E9\nQPBLOCK",
            "ran",
        ),
        ("a type without its semicolon", "Content-Type: text/plain charset=utf-8\n\nBLOCK", "ran"),
        (
            "a charset without its semicolon",
            "Content-Type: text/plain charset=\"utf-16be\"\nContent-Transfer-Encoding: quoted-printable\n\nUTF16",
            "ran",
        ),
        ("no-break spaces", "Content-Type: text/plain; charset=utf-8\n\nNBSPBLOCK", "ran"),
    ] {
        let mut test_gateway = TestGateway::new();
        let block = test_gateway.block(test_gateway.clock.now(), "count", &[]);
        let escapes = |unit: u16| [format!("={:02X}", unit >> 8), format!("={:02X}", unit & 255)];
        let utf16 = block.encode_utf16().flat_map(escapes).collect::<String>();
        let message = format!("{FROM}MIME-Version: 1.0\n{message}")
            .replace("HTMLBLOCK", &format!("<div>{}</div>", block.trim_end().replace('\n', "<br>\n")))
            .replace("QPBLOCK", &block.replace('=', "=3D"))
            .replace("UTF16", &utf16)
            .replace("NBSPBLOCK", &block.replace(": ", ":\u{a0} "))
            .replace("BLOCK", &block);
        assert_eq!(verdict(&mut test_gateway, message.as_bytes()), wanted, "{what}");
        let crlf = message.replace('\n', "\r\n");
        assert_eq!(verdict(&mut { TestGateway::new() }, crlf.as_bytes()), wanted, "{what}, CRLF");
    }
}

#[test]
fn a_field_that_is_too_long_is_not_read() {
    let long = |size: usize| "x".repeat(size);
    for (fields, wanted) in [
        (format!("{FROM}Content-Type: text/plain; x={}\n", long(7_900)), "ran"),
        (format!("{FROM}Content-Type: text/plain; x={}\n", long(8_000)), "not-a-request"),
        (format!("{FROM}Content-Disposition: inline; x={}\n", long(8_000)), "not-a-request"),
        (format!("From: {} <alice@example.com>\n", long(7_900)), "ran"),
        (format!("From: {} <alice@example.com>\n", long(8_000)), "bad-from"),
        (format!("{FROM}Message-ID: <{}>\n", long(8_000)), "ran"),
        (format!("{FROM}X-Other: {}\n", long(200 * 1024)), "ran"),
    ] {
        assert_eq!(arrive(&format!("{fields}\nBLOCK")), wanted, "{}", &fields[..60]);
    }
}

#[test]
fn parts_are_counted_and_so_is_their_depth() {
    let wide = |parts: usize| {
        let others = "--x\nContent-Type: image/gif\n\nx\n".repeat(parts - 2);
        format!("{FROM}Content-Type: multipart/mixed; boundary=x\n\n{others}--x\n\nBLOCK\n--x--\n")
    };
    let deep = |levels: usize| {
        let open = |n| format!("Content-Type: multipart/mixed; boundary=b{n}.\n\n--b{n}.\n");
        format!("{FROM}{}\nBLOCK", (0..levels).map(open).collect::<String>())
    };
    assert_eq!((arrive(&wide(1000)), arrive(&wide(1001))), ("ran".to_owned(), "too-large".to_owned()));
    assert_eq!((arrive(&deep(32)), arrive(&deep(33))), ("ran".to_owned(), "too-large".to_owned()));
}

/// A label that says quoted-printable, over text that is not: `=be` is a byte, or it is not. The mac decides.
#[test]
fn a_text_that_may_be_read_in_two_ways_is_read_as_it_was_signed() {
    let mut test_gateway = TestGateway::new();
    let toml = std::fs::read_to_string(test_gateway.path("commands.d/restart.toml")).expect("a command");
    test_gateway.write("commands.d/restart.toml", 0o644, &toml.replace("\"mysql\"", "\"beta\", \"a=be\""));
    let label = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable";
    for (service, level) in [("beta", "2"), ("a=be", "3"), ("nginx", "4")] {
        test_gateway.clock.forward(60);
        let time = test_gateway.clock.now();
        let arguments = [("service", service), ("level", level)];
        let block = crate::common::block("bob", crate::common::OTHER_KEY, time, "restart", &arguments, None);
        let plain = crate::common::mail("bob@example.com", &block);
        let labelled = plain.replace("Content-Type: text/plain; charset=utf-8", label);
        assert_ne!(plain, labelled);
        let ended = test_gateway.deliver(&labelled);
        assert!(ended.reply().contains("ok: restart"), "{service}: {ended:?}");
        let (head, body) = labelled.split_once("\n\n").expect("a body");
        let encoded = format!("{head}\n\n{}", body.replace('=', "=3D"));
        let again = test_gateway.deliver(&encoded);
        assert!(again.refused("duplicate"), "{service}: the same request, encoded as it says: {again:?}");
    }
    assert_eq!(test_gateway.runs().len(), 3);
}
