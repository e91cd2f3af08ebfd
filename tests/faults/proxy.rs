//! A proxy before PostgreSQL's socket that cuts the connection once: before a message of the client reaches the server,
//! or after the server has answered it and before the client sees that.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use tempfile::TempDir;

/// When the connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server does not get the message.
    Before,
    /// The server has done what the message says.
    After,
    /// The server has done it, and the client waits for the answer for ever.
    Hang,
}

/// Which message, and what happens there.
struct Plan {
    cut: Cut,
    text: &'static str,
    /// How many more of these messages pass.
    left: AtomicU32,
    is_done: AtomicBool,
    server: PathBuf,
}

pub(crate) struct Proxy {
    folder: TempDir,
    plan: Arc<Plan>,
}

impl Proxy {
    /// Cuts at the `nth` message (from 1) that holds `text`. `server` is its socket.
    pub(crate) fn new(server: &Path, cut: Cut, text: &'static str, nth: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
        let left = AtomicU32::new(nth);
        let plan = Arc::new(Plan { cut, text, left, is_done: AtomicBool::new(false), server: server.to_owned() });
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
}

impl Plan {
    fn serve(&self, mut client: UnixStream) {
        let Ok(mut server) = UnixStream::connect(&self.server) else { return };
        let (mut back, mut answers) = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        // Once it is set, answers are kept from the client.
        let is_silent = Arc::new(AtomicBool::new(false));
        let (silent, other) = (Arc::clone(&is_silent), client.try_clone().expect("a socket"));
        let hangs = self.cut == Cut::Hang;
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
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
            }
            let _ = back.shutdown(std::net::Shutdown::Both);
        });
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            let message = &buffer[..read];
            let is_it = message.windows(self.text.len()).any(|part| part == self.text.as_bytes());
            if is_it && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                self.is_done.store(true, Ordering::SeqCst);
                if self.cut == Cut::Before {
                    break;
                }
                is_silent.store(true, Ordering::SeqCst);
            }
            if server.write_all(message).is_err() {
                break;
            }
        }
        for stream in [client, server] {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}
