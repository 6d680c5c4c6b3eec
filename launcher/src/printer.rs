//! All output of the program: data on stdout, everything else on stderr.
//!
//! Colour appears only on a terminal (and not under `NO_COLOR`); progress is a live line on a terminal and plain lines
//! elsewhere. Every line is stripped of what could act on a terminal, whoever wrote it: a control, bidirectional or
//! zero-width character comes out escaped. Nothing else in the crate may write to stdout or stderr, except a session,
//! which hands the agent's terminal through.

use crate::error::Error;
use contract::text::is_deceptive;
use parking_lot::Mutex;
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

/// Where one kind of output goes.
struct Stream {
    out: Box<dyn Write + Send>,
    colour: bool,
    terminal: bool,
    /// Why a line did not get out: the first time that it happened.
    lost: Option<std::io::Error>,
}

/// The one way out. Cloning shares the streams.
#[derive(Clone)]
pub struct Printer {
    data: Arc<Mutex<Stream>>,
    messages: Arc<Mutex<Stream>>,
    json: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Yellow,
    Cyan,
    Bold,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Self::Red => "\x1b[1;31m",
            Self::Yellow => "\x1b[1;33m",
            Self::Cyan => "\x1b[36m",
            Self::Bold => "\x1b[1m",
        }
    }
}

impl Stream {
    fn line(&mut self, text: &str) {
        let written = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.write_all(b"\n"))
            .and_then(|()| self.out.flush());
        if let Err(error) = written {
            self.lost.get_or_insert(error);
        }
    }

    fn painted(&self, colour: Colour, text: &str) -> String {
        if self.colour {
            format!("{}{text}\x1b[0m", colour.code())
        } else {
            text.to_owned()
        }
    }
}

impl Printer {
    /// To the process's own stdout and stderr. `colour` is false under `NO_COLOR` or `TERM=dumb`.
    pub fn to_process(json: bool, colour: bool) -> Self {
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        let (out_terminal, err_terminal) = (stdout.is_terminal(), stderr.is_terminal());
        let stream = |out: Box<dyn Write + Send>, terminal: bool| {
            Arc::new(Mutex::new(Stream {
                out,
                colour: colour && terminal,
                terminal,
                lost: None,
            }))
        };
        Self {
            data: stream(Box::new(stdout), out_terminal),
            messages: stream(Box::new(stderr), err_terminal),
            json,
        }
    }

    /// Into memory, without a terminal: for tests.
    pub fn captured(json: bool) -> (Self, Captured) {
        let captured = Captured::default();
        let stream = |to: &Arc<Mutex<Vec<u8>>>| {
            Arc::new(Mutex::new(Stream {
                out: Box::new(Into(Arc::clone(to))),
                colour: false,
                terminal: false,
                lost: None,
            }))
        };
        let printer = Self {
            data: stream(&captured.data),
            messages: stream(&captured.messages),
            json,
        };
        (printer, captured)
    }

    /// Whether `--json` was given: then data is one JSON document ([`Printer::json`]).
    pub fn wants_json(&self) -> bool {
        self.json
    }

    /// One or more lines of data, on stdout.
    pub fn data(&self, text: &str) {
        let text = without_deception(text);
        self.data.lock().line(&text);
    }

    /// Data as one indented JSON document, on stdout.
    pub fn json(&self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Error::failed("the answer cannot be written as JSON").because(error))?;
        self.data(&json_without_deception(&text));
        Ok(())
    }

    /// The same on one line: for data that goes on and on.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::failed("the answer cannot be written as JSON").because(error))?;
        self.data(&json_without_deception(&text));
        Ok(())
    }

    /// Whether anybody still reads the data: whoever closed the pipe (`bottle logs --follow SLUG | head`) waits for the end.
    pub fn has_reader(&self) -> bool {
        let data = self.data.lock();
        !matches!(&data.lost, Some(error) if error.kind() == ErrorKind::BrokenPipe)
    }

    /// Whether all data got out. A peer that closed the pipe is no reason to fail: `bottle list | head` is fine. A full disk is.
    pub fn all_written(&self) -> Result<(), Error> {
        match self.data.lock().lost.take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritten(error)),
            _ => Ok(()),
        }
    }

    /// Data as columns, on stdout: as wide as their longest cell, two spaces between. Without rows nothing is
    /// written, not even the header.
    pub fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        if rows.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .map(|cell| without_deception(cell).replace('\n', " "))
                    .collect()
            })
            .collect();
        let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> = cells
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        let mut data = self.data.lock();
        let head = line(&mut header.iter().copied());
        let head = data.painted(Colour::Bold, &head);
        data.line(&head);
        for row in &rows {
            let text = line(&mut row.iter().map(String::as_str));
            data.line(&text);
        }
    }

    /// Something to know, on stderr.
    pub fn message(&self, text: &str) {
        let text = without_deception(text);
        self.messages.lock().line(&text);
    }

    /// Data that holds an agent's words: on a terminal its lines are broken here, so that none of them begins where an agent chose.
    pub fn data_quoting(&self, text: &str) {
        let terminal = self.data.lock().terminal;
        self.data(&for_terminal(&without_deception(text), terminal));
    }

    /// The same for a message.
    pub fn message_quoting(&self, text: &str) {
        let terminal = self.messages.lock().terminal;
        self.message(&for_terminal(&without_deception(text), terminal));
    }

    /// Has a terminal on stderr call for its operator: the bell, and a notification for those that know OSC 9 or OSC 777. Elsewhere
    /// nothing happens.
    pub fn ring(&self, title: &str, text: &str) {
        let mut messages = self.messages.lock();
        if messages.terminal {
            // What ends or splits such a sequence must not be in it.
            let plain = |text: &str| without_deception(text).replace(['\n', '\t', ';'], " ");
            let (title, text) = (plain(title), plain(text));
            let call = format!("\x1b]9;{title}: {text}\x07\x1b]777;notify;{title};{text}\x07\x07");
            let _ = messages
                .out
                .write_all(call.as_bytes())
                .and_then(|()| messages.out.flush());
        }
    }

    /// Something to mind, on stderr, after `warning: `.
    pub fn warning(&self, text: &str) {
        self.labelled(Colour::Yellow, "warning", text);
    }

    /// Something to do next, on stderr, after `hint: `.
    pub fn hint(&self, text: &str) {
        self.labelled(Colour::Cyan, "hint", text);
    }

    /// A failure, on stderr: each finding after `error: `, then causes, then hints.
    pub fn error(&self, error: &Error) {
        for message in error.messages() {
            self.labelled(Colour::Red, "error", message);
        }
        for cause in error.causes() {
            self.labelled(Colour::Red, "cause", &cause);
        }
        for hint in error.hints() {
            self.hint(hint);
        }
    }

    fn labelled(&self, colour: Colour, label: &str, text: &str) {
        let text = without_deception(text);
        let mut messages = self.messages.lock();
        let label = messages.painted(colour, &format!("{label}:"));
        messages.line(&format!("{label} {text}"));
    }

    /// Begins something that may take longer than a second: a live line on a terminal, a plain line elsewhere.
    pub fn progress(&self, doing: &str) -> Progress {
        let doing = without_deception(doing).replace('\n', " ");
        let mut messages = self.messages.lock();
        if messages.terminal {
            let _ = write!(messages.out, "{doing}…").and_then(|()| messages.out.flush());
        } else {
            messages.line(&format!("{doing}…"));
        }
        Progress {
            printer: self.clone(),
            doing,
            begun: std::time::Instant::now(),
            ended: false,
        }
    }

    /// Writes a question to stderr without ending the line; the answer is read by [`crate::ask`].
    pub(crate) fn question(&self, text: &str) {
        let text = without_deception(text);
        let mut messages = self.messages.lock();
        let _ = messages
            .out
            .write_all(text.as_bytes())
            .and_then(|()| messages.out.flush());
    }
}

/// Data that was lost.
pub(crate) fn unwritten(error: std::io::Error) -> Error {
    let kind = Error::from(std::io::Error::from(error.kind())).kind();
    Error::new(
        kind,
        "standard output cannot be written, and what was to be shown is lost",
    )
    .because(error)
    .hinted("the command itself is done; make room where its output goes")
}

/// Something under way. Dropped without an end, it counts as failed and leaves the line it began.
pub struct Progress {
    printer: Printer,
    doing: String,
    begun: std::time::Instant,
    ended: bool,
}

impl Progress {
    /// What is being done now, as part of the same work.
    pub fn step(&self, step: &str) {
        let step = without_deception(step).replace('\n', " ");
        let mut messages = self.printer.messages.lock();
        if messages.terminal {
            let _ =
                write!(messages.out, "\r\x1b[2K{}… {step}", self.doing).and_then(|()| messages.out.flush());
        } else {
            messages.line(&format!("{}… {step}", self.doing));
        }
    }

    /// It is done.
    pub fn done(self) {
        let took = self.begun.elapsed();
        self.end(&format!("done{}", shown(took)));
    }

    /// It ended otherwise: `outcome` says how.
    pub fn ended(self, outcome: &str) {
        let outcome = without_deception(outcome);
        self.end(&outcome);
    }

    fn end(mut self, outcome: &str) {
        self.ended = true;
        let mut messages = self.printer.messages.lock();
        let start = if messages.terminal { "\r\x1b[2K" } else { "" };
        let line = format!("{start}{}: {outcome}", self.doing);
        messages.line(&line);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.ended && self.printer.messages.lock().terminal {
            self.printer.messages.lock().line("");
        }
    }
}

/// Seconds, where there are any.
fn shown(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        String::new()
    } else {
        format!(" ({:.1} s)", took.as_secs_f64())
    }
}

/// Escapes what acts on a terminal, and keeps line ends and tabs.
fn without_deception(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) && !matches!(character, '\n' | '\t') {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The text as a terminal shows it, whose width is that of stderr or stdout, or the usual one.
fn for_terminal(text: &str, terminal: bool) -> String {
    if !terminal {
        return text.to_owned();
    }
    let size = terminal_size::terminal_size_of(std::io::stderr())
        .or_else(|| terminal_size::terminal_size_of(std::io::stdout()));
    let columns = size.map_or(80, |(columns, _)| usize::from(columns.0));
    crate::proposals::show::folded(text, columns)
}

/// The same for a JSON document, in which such a character can only be in a string, and is written as JSON writes it.
fn json_without_deception(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) && !matches!(character, '\n' | '\t') {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// What a [`Printer::captured`] wrote.
#[derive(Clone, Default)]
pub struct Captured {
    data: Arc<Mutex<Vec<u8>>>,
    messages: Arc<Mutex<Vec<u8>>>,
}

impl Captured {
    /// What went to stdout.
    pub fn data(&self) -> String {
        String::from_utf8_lossy(&self.data.lock()).into_owned()
    }

    /// What went to stderr.
    pub fn messages(&self) -> String {
        String::from_utf8_lossy(&self.messages.lock()).into_owned()
    }
}

struct Into(Arc<Mutex<Vec<u8>>>);

impl Write for Into {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_to_stdout_and_messages_to_stderr() {
        let (printer, captured) = Printer::captured(false);
        printer.data("a row");
        printer.warning("mind this");
        printer.error(&Error::usage("no such agent").hinted("run `bottle check`"));
        let work = printer.progress("building the image");
        work.step("layer 2");
        work.done();
        assert_eq!(captured.data(), "a row\n");
        insta::assert_snapshot!(captured.messages(), @r"
        warning: mind this
        error: no such agent
        hint: run `bottle check`
        building the image…
        building the image… layer 2
        building the image: done
        ");
    }

    #[test]
    fn nothing_that_is_printed_can_act_on_a_terminal() {
        let (printer, captured) = Printer::captured(false);
        printer.data("a\x1b]0;owned\x07b\u{202e}c");
        printer.message("d\re");
        assert_eq!(captured.data(), "a\\u{1b}]0;owned\\u{7}b\\u{202e}c\n");
        assert_eq!(captured.messages(), "d\\u{d}e\n");
    }

    #[test]
    fn json_stays_json_whatever_an_agent_wrote() {
        let (printer, captured) = Printer::captured(true);
        let words = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}b\u{200b}\u{e0041}\n\t\u{2028}é";
        printer.json(&[words]).unwrap();
        assert!(
            !captured
                .data()
                .contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{e0041}'])
        );
        let read: Vec<String> = serde_json::from_str(&captured.data()).unwrap();
        assert_eq!(read, [words]);
    }

    #[test]
    fn a_table_is_as_wide_as_its_cells() {
        let (printer, captured) = Printer::captured(false);
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        printer.table(
            &["SLUG", "STATE"],
            &[row("implementer-ab1cd", "up"), row("x-ab1cd", "crashed")],
        );
        insta::assert_snapshot!(captured.data(), @r"
        SLUG               STATE
        implementer-ab1cd  up
        x-ab1cd            crashed
        ");
    }
}
