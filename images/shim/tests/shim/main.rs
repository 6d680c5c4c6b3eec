//! The real program, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod bytes;
mod ends;
mod process;
mod scarcity;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for the busiest machine; nothing here waits for it when things are right.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running shim; ended when it goes out of scope.
struct Shim {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it listens on, in the order of its forwards.
    listening: Vec<String>,
}

impl Shim {
    fn start(arguments: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shim"));
        command.args(arguments);
        Self::spawn(command, arguments)
    }

    /// Starts it by way of a shell line, which `exec`s the shim as `"$@"`.
    fn start_by(line: &str, arguments: &[String]) -> Self {
        let mut command = Command::new("bash");
        command
            .args(["-c", line, "bash", env!("CARGO_BIN_EXE_shim")])
            .args(arguments);
        Self::spawn(command, arguments)
    }

    fn spawn(mut command: Command, arguments: &[String]) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let forwards = arguments
            .iter()
            .filter(|argument| *argument == "--forward")
            .count();
        let listening = (0..forwards)
            .map(|_| {
                let mut line = String::new();
                stderr.read_line(&mut line).unwrap();
                let side = line
                    .strip_prefix("shim: ")
                    .and_then(|rest| rest.split_once(" -> "));
                side.unwrap_or_else(|| panic!("the shim said: {line}"))
                    .0
                    .to_owned()
            })
            .collect();
        Self {
            child,
            stderr,
            listening,
        }
    }

    /// One forward from a port that the kernel picks.
    fn to(guard: &str) -> Self {
        Self::start(&["--forward".to_owned(), format!("127.0.0.1:0={guard}")])
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.listening[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits for its end, and gives what it said besides where it listens.
    fn end(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A guard's socket in a folder of its own.
struct Door {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Door {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("door.sock");
        Self {
            _folder: folder,
            path,
        }
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn endpoint(&self) -> String {
        format!("unix:{}", self.path.display())
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(&self.path).unwrap()
    }
}

/// Waits until something that nobody announces is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
