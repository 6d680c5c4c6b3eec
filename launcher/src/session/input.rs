//! Standard input, read by a thread that ends when nobody listens any more.
//!
//! tokio's own standard input leaves a thread in `read` that keeps the program from ending until a key is pressed; and
//! standard input may be a file or a terminal that is shared with other programs, so it is not made non-blocking either.

use crate::error::Result;
use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd as _;
use tokio::sync::mpsc;

/// The bytes of standard input as they come. Dropping it ends the thread.
pub(super) struct Keyboard {
    bytes: mpsc::Receiver<Bytes>,
    /// Its end is what the thread waits for besides input.
    _wake: PipeWriter,
}

impl Keyboard {
    pub(super) fn open() -> Result<Self> {
        let (woken, wake) = std::io::pipe()?;
        let (sender, bytes) = mpsc::channel(4);
        std::thread::Builder::new()
            .name("standard-input".to_owned())
            .spawn(move || read_all(&woken, &sender))?;
        Ok(Self { bytes, _wake: wake })
    }

    /// `None` at the end of input.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.bytes.recv().await
    }
}

fn read_all(woken: &PipeReader, sender: &mpsc::Sender<Bytes>) {
    let stdin = std::io::stdin();
    let mut chunk = vec![0; 4096];
    loop {
        let mut waited_for = [
            PollFd::new(stdin.as_fd(), PollFlags::POLLIN),
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waited_for, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [input, wake] = waited_for;
        if wake.any() == Some(true) {
            return;
        }
        if input.any() != Some(true) {
            continue;
        }
        let Some(read) = read_some(&stdin, &mut chunk) else {
            return;
        };
        if sender.blocking_send(Bytes::copy_from_slice(read)).is_err() {
            return;
        }
    }
}

/// `None` at the end, and where it cannot be read (a terminal that is gone). Not through `std::io::Stdin`: its buffer would
/// hold bytes that `poll` does not know of.
fn read_some<'a>(stdin: &std::io::Stdin, chunk: &'a mut [u8]) -> Option<&'a [u8]> {
    loop {
        match nix::unistd::read(stdin, chunk) {
            Err(nix::errno::Errno::EINTR) => continue,
            Ok(0) | Err(_) => return None,
            Ok(read) => return chunk.get(..read),
        }
    }
}
