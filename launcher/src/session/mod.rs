//! A session: a program run in a bottle's agent container, with the operator's terminal.
//!
//! With a terminal on both ends the program gets one, too: raw, resized with the operator's, and restored on every way out.
//! Without one it gets plain streams. A session takes nothing down when it ends: that is the launcher's that began the bottle.

mod input;
pub mod recipe;
mod terminal;

use crate::engine::Engine;
use crate::engine::exec::{Exec, Input, Output, Running};
use crate::engine::frames::{Frames, Stream};
use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use input::Keyboard;
pub use recipe::Recipe;
use std::io::IsTerminal as _;
use terminal::Raw;
pub use terminal::TerminalKept;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The program ended with this exit code.
    Code(i64),
    /// Its container went away under it.
    ContainerGone,
}

/// Runs `command` in `container` until it ends, with this process's standard streams.
pub async fn run(
    engine: &Engine,
    container: &str,
    command: &[String],
    working_directory: &str,
    environment: &Environment,
) -> Result<Ending> {
    let with_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let size = if with_terminal { terminal::size() } else { None };
    let exec = Exec {
        container,
        command,
        environment: &variables(environment, with_terminal),
        working_directory: Some(working_directory),
        // A terminal whose size nobody knows is one all the same.
        terminal: with_terminal.then(|| size.unwrap_or((24, 80))),
        input: true,
    };
    let running = engine.exec(exec).await?;
    let id = running.id.clone();
    let ended = if with_terminal {
        with_raw_terminal(engine, running).await
    } else {
        plain(running).await
    };
    ended?;
    Ok(match engine.exec_code(&id).await? {
        Some(code) => Ending::Code(code),
        None => Ending::ContainerGone,
    })
}

/// What a session's program is told about the operator's terminal.
fn variables(environment: &Environment, with_terminal: bool) -> Vec<String> {
    let names: &[environment::Variable] = if with_terminal {
        &[environment::TERM, environment::COLORTERM, environment::LANG]
    } else {
        &[environment::LANG]
    };
    names
        .iter()
        .filter_map(|name| {
            environment
                .text(*name)
                .map(|value| format!("{}={value}", name.name))
        })
        .collect()
}

async fn with_raw_terminal(engine: &Engine, running: Running) -> Result<()> {
    let Running {
        id,
        mut output,
        input,
    } = running;
    let _raw = Raw::enter()?;
    // An engine older than 23.0 takes no size when a program starts, and the terminal may have changed since.
    let tell_size = async || {
        if let Some((rows, columns)) = terminal::size() {
            // A program that has ended cannot be told; its end is noticed elsewhere.
            let _ = engine.exec_resize(&id, rows, columns).await;
        }
    };
    let follow_size = async {
        let mut changes = signal(SignalKind::window_change())?;
        tell_size().await;
        while changes.recv().await.is_some() {
            tell_size().await;
        }
        Ok::<(), Error>(())
    };
    tokio::select! {
        shown = show_raw(&mut output) => shown,
        error = type_in(input) => error,
        error = follow_size => error,
    }
}

async fn plain(running: Running) -> Result<()> {
    let Running {
        mut output, input, ..
    } = running;
    tokio::select! {
        shown = show_frames(&mut output) => shown,
        error = type_in(input) => error,
    }
}

/// Hands standard input on. Its end is handed on, too, and then there is nothing to do until the session ends.
async fn type_in(mut input: Input) -> Result<()> {
    let mut keyboard = Keyboard::open()?;
    while let Some(bytes) = keyboard.next().await {
        if input.write_all(&bytes).await.is_err() {
            // The program has ended or reads no more; its output says when the session is over.
            break;
        }
    }
    let _ = input.shutdown().await;
    std::future::pending().await
}

async fn show_raw(output: &mut Output) -> Result<()> {
    let mut screen = tokio::io::stdout();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = match output.read(&mut chunk).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => read,
        };
        screen.write_all(chunk.get(..read).unwrap_or_default()).await?;
        screen.flush().await?;
    }
}

async fn show_frames(output: &mut Output) -> Result<()> {
    let (mut out, mut error) = (tokio::io::stdout(), tokio::io::stderr());
    let mut frames = Frames::default();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = match output.read(&mut chunk).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(read) => read,
        };
        frames.push(chunk.get(..read).unwrap_or_default());
        while let Some((stream, bytes)) = frames
            .next_piece()
            .map_err(|error| Error::failed("the session's output cannot be read").because(error))?
        {
            match stream {
                Stream::Out => out.write_all(&bytes).await?,
                Stream::Error => error.write_all(&bytes).await?,
            }
        }
        out.flush().await?;
        error.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_told_of_the_terminal_and_of_nothing_else() {
        let environment = Environment::of([
            ("TERM", "xterm-256color"),
            ("COLORTERM", "truecolor"),
            ("GITHUB_TOKEN", "secret"),
        ]);
        assert_eq!(
            variables(&environment, true),
            ["TERM=xterm-256color", "COLORTERM=truecolor"]
        );
        assert!(variables(&environment, false).is_empty());
    }
}
