//! Looks at the config every [`LOOK`], and at once when told to, in a thread of its own: reading, fsync and compiling never hold a
//! request up.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How often the config directory is looked at.
pub const LOOK: Duration = Duration::from_millis(50);

/// What keeps a policy up to date with its file.
pub trait Look: Send + 'static {
    /// Looks whether the file has changed, and applies it if so.
    fn look(&mut self);

    /// Reads the file whether or not it looks changed.
    fn reload(&mut self);
}

/// Makes a guard read its config at once. When the last one is dropped, it stops looking.
#[derive(Debug, Clone)]
pub struct LookHandle(SyncSender<()>);

// === impl LookHandle ===

impl LookHandle {
    /// Starts to look.
    pub fn spawn(look: impl Look) -> io::Result<Self> {
        // One look that is waiting stands for any number of signals.
        let (sender, receiver) = sync_channel(1);
        std::thread::Builder::new()
            .name("reload".to_owned())
            .spawn(move || look_until_dropped(look, &receiver))?;
        Ok(Self(sender))
    }

    /// Reads the config at once.
    pub fn reload(&self) {
        let _ = self.0.try_send(());
    }
}

fn look_until_dropped(mut look: impl Look, signals: &Receiver<()>) {
    loop {
        match signals.recv_timeout(LOOK) {
            Ok(()) => look.reload(),
            Err(RecvTimeoutError::Timeout) => look.look(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Told(Sender<&'static str>);

    impl Look for Told {
        fn look(&mut self) {
            let _ = self.0.send("look");
        }

        fn reload(&mut self) {
            let _ = self.0.send("reload");
        }
    }

    #[test]
    fn it_looks_by_itself_reloads_when_told_and_ends_with_its_handle() {
        let (sender, receiver) = channel();
        let handle = LookHandle::spawn(Told(sender)).unwrap();
        assert_eq!(receiver.recv().unwrap(), "look");
        handle.reload();
        assert!(receiver.iter().any(|what| what == "reload"));
        drop(handle);
        assert!(
            receiver.iter().all(|what| what == "look"),
            "and the sender is gone"
        );
    }
}
