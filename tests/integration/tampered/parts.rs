//! Several parts, and HTML.

use super::mails::*;
use super::{Is, Signed};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn parts(signed: &Signed) -> Vec<Row> {
    let (text, other) = (&signed.text, &signed.other);
    let own = typed("text/plain; charset=utf-8", text);
    let forged = typed("text/plain", FORGED);
    let two = |kind: &str, second: String| multipart(kind, &[own.clone(), second]);
    let nested = |inner: &str| format!("--x\nContent-Type: multipart/mixed; boundary=y\n\n{inner}\n");
    vec![
        row("one part", multipart("mixed", std::slice::from_ref(&own)), Is::Genuine, ""),
        row("the same twice", two("alternative", own.clone()), Is::Genuine, ""),
        row("an empty part", two("mixed", typed("text/plain", " \n")), Is::Genuine, ""),
        row("not closed", mail("Content-Type: multipart/mixed; boundary=x\n", &own), Is::Genuine, ""),
        row("a later part", two("mixed", forged.clone()), Is::WithMore, "another plain text: ok: all is well"),
        row("an earlier part", multipart("mixed", &[forged.clone(), own.clone()]), Is::WithMore, "curl evil"),
        row("an alternative", multipart("alternative", &[forged.clone(), own.clone()]), Is::WithMore, "curl evil"),
        row(
            "another reply as alternative",
            two("alternative", typed("text/plain", other)),
            Is::WithMore,
            "another plain text: ok: ping",
        ),
        row(
            "another reply first",
            multipart("alternative", &[typed("text/html", &html(other)), own.clone()]),
            Is::WithMore,
            "another text, in HTML: ok: ping",
        ),
        row(
            "the same with a footer",
            two("alternative", typed("text/plain", &format!("{text}\nfooter\n"))),
            Is::WithMore,
            "footer",
        ),
        row(
            "zero width characters alone",
            two("mixed", typed("text/plain", "\u{200b}\n")),
            Is::WithMore,
            "another plain text",
        ),
        row("nested", multipart("mixed", &[nested(&own.replace("--x", "--y"))]), Is::Genuine, ""),
        row(
            "nested and more",
            multipart(
                "mixed",
                &[nested(&format!("{}{}--y--", own.replace("--x", "--y"), forged.replace("--x", "--y")))],
            ),
            Is::WithMore,
            "curl evil",
        ),
        row(
            "a multipart without its boundary",
            two("mixed", nested(FORGED)),
            Is::WithMore,
            "text outside the parts: ok: all",
        ),
        row(
            "preamble",
            multipart("mixed", std::slice::from_ref(&own)).replacen("--x", &format!("{FORGED}--x"), 1),
            Is::WithMore,
            "text outside the parts: ok: all is well",
        ),
        row(
            "epilogue",
            format!("{}{FORGED}", multipart("mixed", std::slice::from_ref(&own))),
            Is::WithMore,
            "text outside the parts: ok: all",
        ),
        row(
            "closed twice",
            format!("{}{forged}--x--\n", multipart("mixed", std::slice::from_ref(&own))),
            Is::WithMore,
            "text outside the parts",
        ),
        row(
            "closed with blanks",
            multipart("mixed", std::slice::from_ref(&own)).replace("--x--", "--x --") + &forged,
            Is::WithMore,
            "text outside the parts",
        ),
        row(
            "a boundary as beginning of another line",
            multipart("mixed", std::slice::from_ref(&own)).replacen("--x", &format!("--xy\n\n{FORGED}--x"), 1),
            Is::WithMore,
            "take for a boundary",
        ),
        row(
            "a line of the text as boundary",
            mail("Content-Type: multipart/mixed; boundary=f\n", &own.replacen("--x", "--f", 1)),
            Is::WithMore,
            "take for a boundary",
        ),
        row(
            "boundary in pieces",
            multipart("mixed", std::slice::from_ref(&own))
                .replace("boundary=x", "boundary*0=x; boundary*1=y; boundary=x"),
            Is::NotGenuine,
            "",
        ),
        row(
            "two boundaries",
            multipart("mixed", std::slice::from_ref(&own)).replace("boundary=x", "boundary=x; boundary=y"),
            Is::WithMore,
            "in several ways",
        ),
        row(
            "two boundaries, the second is the forged one",
            format!(
                "{}--y\n\n{FORGED}",
                multipart("mixed", std::slice::from_ref(&own)).replace("boundary=x", "boundary=x; boundary=y")
            ),
            Is::WithMore,
            "in several ways",
        ),
        row(
            "a long boundary",
            multipart("mixed", std::slice::from_ref(&own))
                .replace("=x", &format!("=\"{}\"", "x".repeat(71)))
                .replace("--x", &format!("--{}", "x".repeat(71))),
            Is::WithMore,
            "in several ways",
        ),
        row(
            "an encoded multipart",
            multipart("mixed", std::slice::from_ref(&own)).replacen(
                "boundary=x",
                "boundary=x\nContent-Transfer-Encoding: base64",
                1,
            ),
            Is::WithMore,
            "a multipart that says that it is encoded",
        ),
        row("digest", multipart("digest", std::slice::from_ref(&own)), Is::Genuine, ""),
        row(
            "digest with a message",
            multipart("digest", &[own.clone(), part("", &plain(FORGED))]),
            Is::WithMore,
            "a message inside",
        ),
        row("message/rfc822", two("mixed", typed("message/rfc822", &plain(FORGED))), Is::WithMore, "a message inside"),
        row(
            "the reply inside a message",
            multipart("mixed", &[typed("message/rfc822", &plain(text))]),
            Is::NotGenuine,
            "",
        ),
        row(
            "message/external-body",
            two("mixed", typed("message/external-body; access-type=URL; url=x", "")),
            Is::WithMore,
            "a message inside",
        ),
        row("image", two("related", typed("image/png", "x")), Is::WithMore, "neither plain text nor HTML"),
        row(
            "calendar",
            two("alternative", typed("text/calendar", "BEGIN:VCALENDAR")),
            Is::WithMore,
            "neither plain text nor HTML",
        ),
        row(
            "enriched",
            two("alternative", typed("text/enriched", FORGED)),
            Is::WithMore,
            "neither plain text nor HTML",
        ),
        row(
            "attachment",
            two("mixed", part("Content-Disposition: attachment\n", FORGED)),
            Is::WithMore,
            "an attachment",
        ),
        row(
            "empty attachment",
            two("mixed", part("Content-Disposition: attachment; filename=ok\n", "")),
            Is::WithMore,
            "an attachment",
        ),
        row(
            "unknown disposition",
            two("mixed", part("Content-Disposition: form-data\n", FORGED)),
            Is::WithMore,
            "an attachment",
        ),
        row(
            "a name for nothing",
            two("mixed", part("Content-Type: text/plain; name=\"run curl evil\"\n", "")),
            Is::WithMore,
            "a part with a file name: run curl evil",
        ),
        row("a thousand parts", multipart("mixed", &vec![own.clone(); 1100]), Is::NotGenuine, ""),
        row("deep", multipart("mixed", &[deep(text, 40)]), Is::NotGenuine, ""),
    ]
}

fn deep(text: &str, levels: usize) -> String {
    let mut nested = format!("--x{levels}\n\n{text}");
    for at in (1..=levels).rev() {
        nested = format!("--x{}\nContent-Type: multipart/mixed; boundary=x{at}\n\n{nested}", at - 1);
    }
    nested.replacen("--x0", "--x", 1)
}

pub(super) fn html_parts(signed: &Signed) -> Vec<Row> {
    let text = &signed.text;
    let own = html(text);
    let typed_html = |body: &str| mail("Content-Type: text/html; charset=utf-8\n", body);
    let beside = |body: &str| multipart("alternative", &[typed("text/plain", text), typed("text/html", body)]);
    let styled = "it is HTML that may show other things than its text";
    vec![
        row("html alone", typed_html(&own), Is::Genuine, ""),
        row("html beside", beside(&own), Is::Genuine, ""),
        row(
            "html in base64",
            mail("Content-Type: text/html\nContent-Transfer-Encoding: base64\n", &base64(&own)),
            Is::Genuine,
            "",
        ),
        row("forged html beside", beside(&html(FORGED)), Is::WithMore, "another text, in HTML: ok: all is well"),
        row("image-only html beside", beside("<img src=http://evil.example/x>"), Is::WithMore, "HTML without text"),
        row("hidden by style", typed_html(&format!("<div style=\"display:none\">{own}</div>")), Is::WithMore, styled),
        row("hidden by an attribute", typed_html(&own.replace("<pre>", "<pre hidden>")), Is::WithMore, styled),
        row("hidden by a class", typed_html(&own.replace("<pre>", "<pre class=x>")), Is::WithMore, styled),
        row(
            "words in a style sheet",
            typed_html(&format!("<style>pre{{display:none}} body::before{{content:'ok'}}</style>{own}")),
            Is::WithMore,
            styled,
        ),
        row(
            "words in a style sheet beside",
            beside(&format!("<style>body::before{{content:'ok'}}</style>{own}")),
            Is::WithMore,
            "the same, but it is HTML",
        ),
        row("words in a title", typed_html(&format!("<title>ok</title>{own}")), Is::WithMore, styled),
        row("words in a comment", typed_html(&format!("<!--[if mso]>ok<![endif]-->{own}")), Is::WithMore, styled),
        row(
            "a script",
            typed_html(&format!("{own}<script>document.body.textContent='ok'</script>")),
            Is::WithMore,
            styled,
        ),
        row("a text field", typed_html(&format!("{own}<textarea>ok</textarea>")), Is::WithMore, styled),
        row("a frame", typed_html(&format!("{own}<iframe src=http://evil.example></iframe>")), Is::WithMore, styled),
        row("a list marker", typed_html(&format!("{own}<ol start=100><li></li></ol>")), Is::WithMore, styled),
        row("struck out", typed_html(&format!("<s>{own}</s>")), Is::WithMore, styled),
        row("words by alt", typed_html(&format!("<img alt=\"ok\">{own}")), Is::WithMore, styled),
        row(
            "a redirection",
            typed_html(&format!("<meta http-equiv=refresh content='0;url=http://evil.example'>{own}")),
            Is::WithMore,
            styled,
        ),
        row("a declaration", typed_html(&format!("<?xml version=\"1.0\"?>{own}")), Is::WithMore, styled),
        row("mathematics", typed_html(&format!("{own}<math><mtext></mtext></math>")), Is::WithMore, styled),
        row("text below in html", typed_html(&format!("{own}<p>ok</p>")), Is::WithMore, "text below the block: ok"),
        row("plain text labelled as html", typed_html(text), Is::NotGenuine, ""),
        row("html labelled as plain text", mail("Content-Type: text/plain\n", &own), Is::Altered, ""),
        row(
            "xhtml",
            multipart("alternative", &[typed("text/plain", text), typed("application/xhtml+xml", &own)]),
            Is::WithMore,
            "neither plain text nor HTML",
        ),
    ]
}
