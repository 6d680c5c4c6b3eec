//! Runs one compose command to its end, or ends it.

use super::erase::WithoutErase;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::PipeReader;
use std::os::fd::BorrowedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// The longest output that is kept, in bytes; `up` of a bottle says about 2 kB.
const LONGEST: usize = 1 << 20;

/// What came of it.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) timed_out: bool,
    /// Standard output and standard error as they came.
    pub(super) output: Vec<u8>,
}

/// Standard output and standard error in one.
pub(super) async fn captured(
    command: &mut Command,
    lock: BorrowedFd<'_>,
    deadline: Duration,
) -> Result<Said> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut output = Vec::new();
    let ended = drive(command, lock, deadline, keep(reader, &mut output)).await?;
    Ok(said(ended, output))
}

/// Standard output into the file, without what erases lines of a terminal; standard error captured.
pub(super) async fn into_file(
    command: &mut Command,
    lock: BorrowedFd<'_>,
    file: File,
    deadline: Duration,
) -> Result<Said> {
    let (reader, writer) = std::io::pipe()?;
    let (error_reader, error_writer) = std::io::pipe()?;
    command.stdout(writer).stderr(error_writer);
    let mut output = Vec::new();
    let reading = async {
        tokio::try_join!(copy(reader, file), keep(error_reader, &mut output))?;
        Ok(())
    };
    let ended = drive(command, lock, deadline, reading).await?;
    Ok(said(ended, output))
}

fn said(ended: Option<ExitStatus>, output: Vec<u8>) -> Said {
    Said {
        success: ended.is_some_and(|status| status.success()),
        timed_out: ended.is_none(),
        output,
    }
}

async fn keep(reader: PipeReader, output: &mut Vec<u8>) -> std::io::Result<()> {
    let mut reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut chunk = vec![0; 8192];
    loop {
        let read = reader.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        if output.len() < LONGEST {
            output.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

async fn copy(reader: PipeReader, file: File) -> std::io::Result<()> {
    let mut reader = pipe::Receiver::from_owned_fd(reader.into())?;
    let mut file = tokio::fs::File::from_std(file);
    let mut filter = WithoutErase::default();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = reader.read(&mut chunk).await?;
        if read == 0 {
            file.write_all(&filter.end()).await?;
            return file.flush().await;
        }
        let kept = filter.filter(chunk.get(..read).unwrap_or_default());
        file.write_all(&kept).await?;
    }
}

/// Runs it while `reading` reads its pipes to their ends; `None` when it had to be ended at the deadline.
async fn drive(
    command: &mut Command,
    lock: BorrowedFd<'_>,
    deadline: Duration,
    reading: impl Future<Output = std::io::Result<()>>,
) -> Result<Option<ExitStatus>> {
    let program = command.as_std().get_program().to_owned();
    let mut group = Group::start(command, lock)
        .map_err(|error| Error::environment(format!("{} cannot be run", program.display())).because(error))?;
    // The writing ends that the command still holds would keep the pipes open for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let whole = async {
        reading.await?;
        group.wait().await
    };
    match tokio::time::timeout(deadline, whole).await {
        Ok(status) => Ok(Some(status?)),
        Err(_) => {
            group.end().await;
            Ok(None)
        }
    }
}

/// A process and its descendants, in a process group of their own: Ctrl-C on the terminal is for this program, which then
/// takes the bottle down in order. Ended when dropped.
struct Group {
    child: Child,
    id: Option<nix::unistd::Pid>,
}

impl Group {
    fn start(command: &mut Command, lock: BorrowedFd<'_>) -> std::io::Result<Self> {
        let inherited = inheritable(lock)?;
        let child = command.stdin(Stdio::null()).process_group(0).spawn()?;
        drop(inherited);
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(nix::unistd::Pid::from_raw);
        Ok(Self { child, id })
    }

    async fn wait(&mut self) -> std::io::Result<std::process::ExitStatus> {
        let status = self.child.wait().await;
        self.id = None;
        status
    }

    async fn end(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGKILL);
        let _ = self.wait().await;
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        if let Some(id) = self.id {
            let _ = nix::sys::signal::killpg(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(nix::sys::signal::Signal::SIGKILL);
    }
}

/// A second descriptor of the same lock that a started program inherits. Until it is dropped, any other program that is
/// started inherits it, too, which does no harm: none outlives its command.
fn inheritable(lock: BorrowedFd<'_>) -> std::io::Result<std::os::fd::OwnedFd> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let copy = lock.try_clone_to_owned()?;
    fcntl(&copy, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(copy)
}
