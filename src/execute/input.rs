//! A command's standard input. In: a payload or none. Out: a descriptor: a sealed file in memory that holds the
//! payload, or /dev/null; and how that descriptor passes through sudo.
//!
//! sudo closes all descriptors but 0, 1 and 2. Descriptor 0 is the socket on which `mailsudo begin` reports the start
//! (`begin.rs`), so the file is sent over that socket (SCM_RIGHTS, unix(7)) before sudo is started. Only `mailsudo
//! begin-with-payload`, in the rule of a command with `[payload]`, receives it: no other command can be given input.
//!
//! MUST: nothing can change the file after it is sealed (F_SEAL_WRITE, fcntl(2)).

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::protocol::Payload;

/// What is sent with the descriptor: unix(7) needs at least one byte beside it.
const HERE: &[u8] = b"P";

/// The descriptor for `payload`, to be read from its beginning.
pub(super) fn descriptor(payload: Option<&Payload>) -> io::Result<OwnedFd> {
    let Some(payload) = payload else {
        return Ok(File::open("/dev/null")?.into());
    };
    let mut file = File::from(memfd_create("payload", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(payload.content())?;
    file.rewind()?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file.into())
}

/// Sends a descriptor to the other end of `socket`.
pub(super) fn send(socket: impl AsFd, descriptor: &OwnedFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no space for a descriptor"));
    }
    sendmsg(socket, &[IoSlice::new(HERE)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The descriptor that was sent over `socket` before this process was started.
pub(super) fn receive(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC)?;
    let mut received = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            received = received.or(descriptors.next());
        }
    }
    received.ok_or_else(|| io::Error::other("no standard input was sent for the command"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_payload_passes_through_a_socket_and_cannot_be_changed() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        send(&ours, &descriptor(Some(&Payload::of(b"a\0b\n".to_vec()))).expect("a file")).expect("sent");
        let mut file = File::from(receive(&theirs).expect("received"));
        assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err(), "it is sealed");
        let mut content = Vec::new();
        file.read_to_end(&mut content).expect("read");
        assert_eq!(content, b"a\0b\n");
    }

    #[test]
    fn where_none_is_sent_none_is_received() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        assert!(receive(&theirs).is_err(), "it does not wait");
        (&ours).write_all(b"P").expect("written");
        assert!(receive(&theirs).is_err(), "a byte alone is no descriptor");
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
