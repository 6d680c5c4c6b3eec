//! The operator's terminal: its size, and raw mode.

use crate::error::Result;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Rows and columns of the terminal on standard output; `None` when there is none or it does not know.
pub(super) fn size() -> Option<(u16, u16)> {
    let (columns, rows) = terminal_size::terminal_size_of(std::io::stdout())?;
    (rows.0 > 0 && columns.0 > 0).then_some((rows.0, columns.0))
}

/// The terminal on standard input as it is now; it is so again when this is dropped. For questions that are broken off while
/// the terminal does not echo.
pub struct TerminalKept {
    before: Option<Termios>,
}

impl TerminalKept {
    /// Without a terminal there is nothing to keep.
    pub fn now() -> Self {
        Self {
            before: tcgetattr(std::io::stdin()).ok(),
        }
    }
}

impl Drop for TerminalKept {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// The terminal on standard input in raw mode, until dropped: every key is the agent's.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    pub(super) fn enter() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).map_err(std::io::Error::from)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &raw).map_err(std::io::Error::from)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // What is still being written is written first; keys typed ahead are kept for the shell.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}
