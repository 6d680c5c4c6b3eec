//! When the gate is a container's first process: it runs itself once more and looks after what is left to it.
//!
//! A connection that ssh keeps, and what git had started when it was killed, fall to process 1 when they end. Who waits for
//! them there must not be the one who runs git: it would take the ends of its own children from itself.

use std::process::{Command, ExitCode};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Failure;

/// Whether this process is the first of its container.
pub(super) fn is_first() -> bool {
    std::process::id() == 1
}

/// Runs this program with the same arguments, hands signals on, waits for everything that ends, and ends with it.
pub(super) fn run() -> Result<ExitCode, Failure> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD]
        .into_iter()
        .collect();
    signals
        .thread_block()
        .map_err(|error| Failure::system("signals")(error.into()))?;
    // It has the same environment, and so the same keys.
    guard::hardening::seal_memory().map_err(Failure::system("core dumps cannot be switched off"))?;
    let program = std::env::current_exe().map_err(Failure::system("the path of this program"))?;
    let child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .spawn()
        .map_err(Failure::system("the gate cannot be started"))?;
    let Ok(child) = i32::try_from(child.id()).map(Pid::from_raw) else {
        return Ok(ExitCode::FAILURE);
    };
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            // It has ended already, and the next round sees it.
            Ok(signal) => drop(kill(child, signal)),
            Err(error) => return Err(Failure::system("signals")(error.into())),
        }
    }
}

/// Waits for all that has ended; the gate's own exit code, if it was among them.
fn reap(child: Pid) -> Option<ExitCode> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return code,
            Ok(status) => {
                if status.pid() == Some(child) {
                    code = Some(code_of(status));
                }
            }
            Err(_) => return code,
        }
    }
}

fn code_of(status: WaitStatus) -> ExitCode {
    match status {
        WaitStatus::Exited(_, code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        _ => ExitCode::FAILURE,
    }
}
