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

/// One conversation; gives back the message, dots unstuffed, if it was taken.
fn serve(listener: &TcpListener, step: usize, fault: Option<Fault>) -> Option<String> {
    let (stream, _) = listener.accept().expect("a client");
    let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
    let mut message = None;
    for (at, (said, answer)) in STEPS.iter().zip(ANSWERS).enumerate() {
        match *said {
            "" => {}
            "." => {
                let mut text = String::new();
                loop {
                    let line = lines.next()?.ok()?;
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push('\n');
                }
                message = Some(text);
            }
            said => {
                let line = lines.next()?.ok()?;
                assert!(line.starts_with(said), "{line}");
            }
        }
        match fault.filter(|_| at == step) {
            None => say(&stream, answer),
            Some(Fault::Says(words)) => {
                say(&stream, words);
                return None;
            }
            Some(Fault::HangsUp) => return None,
            Some(Fault::Hangs) => {
                // Until the client closes the connection.
                let _ = lines.next();
                return None;
            }
        }
    }
    message
}

fn say(mut stream: &TcpStream, words: &str) {
    let _ = stream.write_all(format!("{words}\r\n").as_bytes());
}

/// A server for one conversation.
fn server(step: usize, fault: Option<Fault>) -> (SocketAddr, JoinHandle<Option<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let place = listener.local_addr().expect("a place");
    (place, std::thread::spawn(move || serve(&listener, step, fault)))
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
    for (step, said) in STEPS.iter().enumerate() {
        for fault in [Fault::Says("451 not now"), Fault::Says("550 no"), Fault::Says("nonsense"), Fault::HangsUp] {
            let (place, talk) = server(step, Some(fault));
            assert_eq!(deliver(&test_gateway, &request, place, LONG), Some("smtp"), "{fault:?} after {said:?}");
            assert_eq!(talk.join().expect("a server"), None);
            test_gateway.log();
        }
        let (place, talk) = server(step, Some(Fault::Hangs));
        let short = Duration::from_millis(200);
        assert_eq!(deliver(&test_gateway, &request, place, short), Some("smtp"), "silence after {said:?}");
        // What was given up is over when the client's process is; here it ends with the conversation.
        drop(talk);
    }
    let stored: Vec<u8> =
        test_gateway.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a reply");
    let (place, talk) = server(0, None);
    assert_eq!(deliver(&test_gateway, &request, place, LONG), None);
    let taken = talk.join().expect("a server").expect("a message");
    assert_eq!(taken.as_bytes(), stored, "the reply that was stored before any was handed over");
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn what_is_taken_is_marked_and_not_sent_again() {
    let test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    let (place, talk) = server(0, None);
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
