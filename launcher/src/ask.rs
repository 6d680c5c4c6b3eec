//! Questions to the operator, on a terminal or not at all.
//!
//! Reads from stdin only when stdin *and* stderr are terminals; without one every question is an error that says what to give
//! instead. A secret is read without echo.

use crate::error::{Error, Result};
use crate::printer::Printer;
use std::io::{BufRead, IsTerminal, Read};
use zeroize::Zeroizing;

/// The longest answer, in bytes: a terminal in canonical mode gives no longer line (Linux: N_TTY_BUF_SIZE).
const LONGEST_ANSWER: u64 = 4096;

/// Whether there is somebody to ask.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// `question [y/N]`. Anything but y or yes is no, the end of input too.
pub fn confirm(printer: &Printer, question: &str) -> Result<bool> {
    if !is_interactive() {
        return Err(
            Error::usage("this asks for a yes, and there is no terminal to ask on")
                .hinted("give `--yes` if you mean it"),
        );
    }
    printer.question(&format!("{question} [y/N] "));
    let answer = read_line_of(printer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// One of several, by its number; nothing chosen is an error.
pub fn choose(printer: &Printer, question: &str, choices: &[String]) -> Result<usize> {
    for (number, choice) in choices.iter().enumerate() {
        printer.message(&format!("{:>3}  {choice}", number + 1));
    }
    printer.question(&format!("{question} [1-{}] ", choices.len()));
    let answer = read_line_of(printer)?;
    let number = answer
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    number.filter(|number| *number < choices.len()).ok_or_else(|| {
        Error::usage("none of them was chosen").hinted("write its number, or name it on the command line")
    })
}

/// Asks for a secret, without echo. The value is never empty.
pub fn secret(printer: &Printer, prompt: &str) -> Result<Zeroizing<String>> {
    if !is_interactive() {
        return Err(Error::usage(format!(
            "`{}` is asked for at launch, and there is no terminal to ask on",
            contract::text::harmless(prompt)
        ))
        .hinted("run it in a terminal, or write `${NAME}` in the manifest instead of `?…`"));
    }
    printer.question(&format!("{}: ", contract::text::harmless(prompt)));
    let quiet = Quiet::begin()?;
    let answer = read_line();
    drop(quiet);
    printer.message("");
    let answer = answer?;
    if answer.is_empty() {
        return Err(Error::failed(format!(
            "`{}` was left empty",
            contract::text::harmless(prompt)
        )));
    }
    Ok(answer)
}

/// The operator's line; where the end of input leaves it open on the screen, it is ended there.
fn read_line_of(printer: &Printer) -> Result<Zeroizing<String>> {
    let line = read()?;
    if !line.ends_with('\n') {
        printer.message("");
    }
    Ok(without_end(line))
}

/// The same without a look at the screen, where nothing is echoed.
fn read_line() -> Result<Zeroizing<String>> {
    Ok(without_end(read()?))
}

fn without_end(mut line: Zeroizing<String>) -> Zeroizing<String> {
    while line.ends_with(['\n', '\r']) {
        line.pop();
    }
    line
}

fn read() -> Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(4096));
    std::io::stdin()
        .lock()
        .take(LONGEST_ANSWER)
        .read_line(&mut line)?;
    Ok(line)
}

/// The terminal without echo, until dropped.
struct Quiet {
    before: nix::sys::termios::Termios,
}

impl Quiet {
    fn begin() -> Result<Self> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(std::io::stdin()).map_err(std::io::Error::from)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &quiet).map_err(std::io::Error::from)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = nix::sys::termios::tcsetattr(
            std::io::stdin(),
            nix::sys::termios::SetArg::TCSAFLUSH,
            &self.before,
        );
    }
}
