//! A proxy before PostgreSQL's socket that cuts the connection once: before a group of messages of the client reaches the
//! server, or after the server has answered it and before the client sees that. A group ends where the server answers
//! that it is ready for more (PostgreSQL manual, "Message Flow"); the next one passes when it has.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;

use tempfile::TempDir;

/// When the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server does not get the group.
    Before,
    /// The server has done what the group says.
    After,
    /// The server has done it, and the client waits for the answer for ever.
    Hang,
}

/// Which group, and what happens there.
struct Plan {
    cut: Cut,
    text: &'static str,
    /// How many more of these groups pass.
    left: AtomicU32,
    is_done: AtomicBool,
    /// How often clients have sent something that is answered, and waited.
    turns: AtomicU32,
    server: PathBuf,
}

pub(crate) struct Proxy {
    folder: TempDir,
    plan: Arc<Plan>,
}

impl Proxy {
    /// Cuts at the `nth` group (from 1) that holds `text`. `server` is its socket.
    pub(crate) fn new(server: &Path, cut: Cut, text: &'static str, nth: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
        let left = AtomicU32::new(nth);
        let (is_done, turns) = (AtomicBool::new(false), AtomicU32::new(0));
        let plan = Arc::new(Plan { cut, text, left, is_done, turns, server: server.to_owned() });
        let its = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = Arc::clone(&its);
                thread::spawn(move || plan.serve(client));
            }
        });
        Self { folder, plan }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it has cut a connection.
    pub(crate) fn has_cut(&self) -> bool {
        self.plan.is_done.load(Ordering::SeqCst)
    }

    /// How many round trips clients have made. What a client sends at once is one, whatever it holds.
    pub(crate) fn turns(&self) -> u32 {
        self.plan.turns.load(Ordering::SeqCst)
    }
}

impl Plan {
    fn serve(&self, mut client: UnixStream) {
        let Ok(mut server) = UnixStream::connect(&self.server) else { return };
        let (mut back, mut answers) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        // Once it is set, answers are kept from the client.
        let is_silent = Arc::new(AtomicBool::new(false));
        let (silent, other) = (Arc::clone(&is_silent), client.try_clone().expect("a socket"));
        let hangs = self.cut == Cut::Hang;
        let (ready, answered) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            let mut messages = Messages { bytes: Vec::new(), is_begun: true };
            while let Ok(read @ 1..) = answers.read(&mut buffer) {
                if !silent.load(Ordering::SeqCst) {
                    if back.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                } else if !hangs {
                    // The server has answered: it is done.
                    let _ = other.shutdown(std::net::Shutdown::Both);
                    return;
                }
                messages.bytes.extend_from_slice(&buffer[..read]);
                while let Some(message) = messages.next() {
                    if message[0] == b'Z' && ready.send(()).is_err() {
                        return;
                    }
                }
            }
            let _ = back.shutdown(std::net::Shutdown::Both);
        });
        let mut buffer = vec![0; 1 << 16];
        let mut messages = Messages { bytes: Vec::new(), is_begun: false };
        let mut group = Vec::new();
        'all: while let Ok(read @ 1..) = client.read(&mut buffer) {
            messages.bytes.extend_from_slice(&buffer[..read]);
            self.turns.fetch_add(u32::from(buffer[0] != b'X'), Ordering::SeqCst);
            while let Some(message) = messages.next() {
                // A startup message begins with its length; that of all others follows their type.
                let is_last = [0, b'S', b'Q', b'X'].contains(&message[0]);
                let is_answered = message[0] != b'X';
                group.extend(message);
                if !is_last {
                    continue;
                }
                let is_it = group.windows(self.text.len()).any(|part| part == self.text.as_bytes());
                if is_it && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    self.is_done.store(true, Ordering::SeqCst);
                    if self.cut == Cut::Before {
                        break 'all;
                    }
                    is_silent.store(true, Ordering::SeqCst);
                }
                if server.write_all(&group).is_err() || (is_answered && answered.recv().is_err()) {
                    break 'all;
                }
                group.clear();
            }
        }
        for stream in [client, server] {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Messages in the bytes of one direction, as they come in.
struct Messages {
    bytes: Vec<u8>,
    /// A client's first message has no type.
    is_begun: bool,
}

impl Messages {
    /// The next message, if all of it is there.
    fn next(&mut self) -> Option<Vec<u8>> {
        let head = usize::from(self.is_begun);
        let length = self.bytes.get(head..head + 4)?.try_into().map(u32::from_be_bytes).expect("four bytes");
        let end = head + usize::try_from(length).expect("a length");
        if self.bytes.len() < end {
            return None;
        }
        self.is_begun = true;
        Some(self.bytes.drain(..end).collect())
    }
}
