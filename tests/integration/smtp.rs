//! Replies by SMTP: a mail server that refuses, hangs or dies at each step of the conversation loses no reply and marks
//! none as sent; a server that says 250 to the whole message has it, to the byte.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::{TestGateway, context};
use crate::database::server::Port;
use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::limits::Timeouts;
use mailsudo::reply::ReplyTransport;

/// What a server does instead of what it should, when it has got that far.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It says this instead of its usual answer.
    Says(&'static str),
    /// It closes the connection.
    HangsUp,
    /// It says nothing more.
    Hangs,
}

/// The steps of a conversation, each named by what the client has just said.
const STEPS: [&str; 6] = ["", "EHLO ", "MAIL FROM:<>", "RCPT TO:<alice@example.com>", "DATA", "."];
const ANSWERS: [&str; 6] = ["220 test", "250 test", "250 ok", "250 ok", "354 go on", "250 queued"];

/// What servers say to EHLO: one that takes a command at a time, and ones that take several (RFC 2920).
const EXTENSIONS: [&str; 4] = [
    ANSWERS[1],
    "250-test\r\n250-SIZE 1000000\r\n250-XPIPELINING\r\n250 PIPELINING-NOT",
    "250-test\r\n250-PIPELINING\r\n250 8BITMIME",
    "250-test\r\n250 pipelining ",
];

/// How many of [`EXTENSIONS`] take a command at a time.
const ONE_AT_A_TIME: usize = 2;

/// One conversation; gives back the message, dots unstuffed, if it was taken.
fn serve(listener: &TcpListener, extensions: usize, step: usize, fault: Option<Fault>) -> Option<String> {
    let (stream, _) = listener.accept().expect("a client");
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut message = None;
    // Answers that a server which takes several commands keeps until it has read all of them.
    let mut kept = Vec::new();
    for (at, (said, answer)) in STEPS.iter().zip(ANSWERS).enumerate() {
        match *said {
            "" => {}
            "." => {
                let mut text = String::new();
                loop {
                    let line = line(&mut reader)?;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                message = Some(text);
            }
            said => {
                let line = line(&mut reader)?;
                assert!(line.starts_with(said), "{line}");
                assert!(extensions >= ONE_AT_A_TIME || reader.buffer().is_empty(), "more than {line} was sent");
            }
        }
        let answer = if at == 1 { EXTENSIONS[extensions] } else { answer };
        let keeps = extensions >= ONE_AT_A_TIME && ["MAIL FROM:<>", "RCPT TO:<alice@example.com>"].contains(said);
        match fault.filter(|_| at == step) {
            None => {
                kept.push(answer);
                if !keeps {
                    say(&stream, &std::mem::take(&mut kept).join("\r\n"));
                }
            }
            // The others are answered as if nothing were wrong: a server need not know that its client has given up.
            Some(Fault::Says(words)) if keeps => kept.push(words),
            Some(Fault::Says(words)) => {
                kept.push(words);
                say(&stream, &kept.join("\r\n"));
                return None;
            }
            Some(Fault::HangsUp) => return None,
            Some(Fault::Hangs) => {
                // Until the client closes the connection.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                return None;
            }
        }
    }
    message
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_suffix("\r\n").map(str::to_owned)
}

fn say(mut stream: &TcpStream, words: &str) {
    let _ = stream.write_all(format!("{words}\r\n").as_bytes());
}

/// A server for one conversation, which says these of [`EXTENSIONS`].
fn server(extensions: usize, step: usize, fault: Option<Fault>) -> (SocketAddr, JoinHandle<Option<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let place = listener.local_addr().expect("a place");
    (place, std::thread::spawn(move || serve(&listener, extensions, step, fault)))
}

/// Delivers `mail` with a reply by SMTP to `place`; which part deferred it, if one did.
fn deliver(test_gateway: &TestGateway, mail: &str, place: SocketAddr, timeout: Duration) -> Option<&'static str> {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("the gateway");
    let mut audit = Audit::new(gateway.settings(), None);
    let timeouts = Timeouts { reply: timeout, ..Timeouts::DEFAULT };
    let context = context(&gateway, &test_gateway.envelope, &test_gateway.clock, timeouts);
    crate::common::deliver(&context, &ReplyTransport::Smtp(place), mail.as_bytes(), &mut audit)
        .err()
        .map(|deferral| deferral.part)
}

const LONG: Duration = Duration::from_secs(30);

#[test]
fn whatever_the_server_does_short_of_its_250_loses_no_reply() {
    let test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let conversations =
        [0, 2].into_iter().flat_map(|extensions| STEPS.iter().enumerate().map(move |step| (extensions, step)));
    for (extensions, (step, said)) in conversations {
        for fault in [Fault::Says("451 not now"), Fault::Says("550 no"), Fault::Says("nonsense"), Fault::HangsUp] {
            let (place, talk) = server(extensions, step, Some(fault));
            assert_eq!(deliver(&test_gateway, &request, place, LONG), Some("smtp"), "{fault:?} after {said:?}");
            assert_eq!(talk.join().expect("a server"), None);
            test_gateway.log();
        }
        let (place, talk) = server(extensions, step, Some(Fault::Hangs));
        // Long enough for what comes before on a busy machine: it is part of the same time.
        let short = Duration::from_secs(2);
        assert_eq!(deliver(&test_gateway, &request, place, short), Some("smtp"), "silence after {said:?}");
        // What was given up is over when the client's process is; here it ends with the conversation.
        drop(talk);
    }
    let stored: Vec<u8> =
        test_gateway.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a reply");
    let (place, talk) = server(0, 0, None);
    assert_eq!(deliver(&test_gateway, &request, place, LONG), None);
    let taken = talk.join().expect("a server").expect("a message");
    assert_eq!(taken.as_bytes(), stored, "the reply that was stored before any was handed over");
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn commands_are_sent_together_only_to_a_server_that_takes_them() {
    for (extensions, words) in EXTENSIONS.iter().enumerate() {
        let test_gateway = TestGateway::new();
        let (place, talk) = server(extensions, 0, None);
        // A server that keeps its answers waits in vain for a client that sends one command at a time.
        let sent = deliver(&test_gateway, &test_gateway.request("count", &[]), place, LONG);
        assert_eq!(sent, None, "{words}");
        assert!(talk.join().expect("a server").is_some());
    }
}

#[test]
fn what_is_taken_is_marked_and_not_sent_again() {
    let test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let (place, talk) = server(0, 0, None);
    assert_eq!(deliver(&test_gateway, &request, place, LONG), None);
    assert!(talk.join().expect("a server").is_some());
    // No server listens there any more, and none is asked.
    assert_eq!(deliver(&test_gateway, &request, place, LONG), None);
    assert!(test_gateway.log().join("\n").contains("reason=duplicate"));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn no_server_is_a_deferral() {
    let test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let nobody = Port::new();
    let place = SocketAddr::from((Ipv4Addr::LOCALHOST, nobody.number));
    assert_eq!(deliver(&test_gateway, &request, place, LONG), Some("smtp"));
    assert!(test_gateway.log().join("\n").contains(&format!("the mail server at {place}")));
}
