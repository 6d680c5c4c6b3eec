//! The demo's foreground session, and what the scripted agent says in it.

use crate::home::Home;
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What the scripted agent said of one try.
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) said: String,
}

/// A foreground `bottle start`, with the agent's standard input and output in our hands.
pub(super) struct Session {
    /// The `bottle start` itself.
    pub(super) child: Child,
    stdin: ChildStdin,
    lines: std::sync::mpsc::Receiver<String>,
    first_byte: Duration,
}

impl Session {
    /// Starts it, and waits for the first byte of the agent's command.
    pub(super) fn start(home: &Home) -> anyhow::Result<Self> {
        let log = fs_err::File::create(home.path().join("start.log"))?;
        let mut command: Command = home.command(&["start", "demo", "--cwd", "workspace", "--yes"]);
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.into_file())
            .spawn()?;
        let stdin = child.stdin.take().context("no standard input")?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        match lines.recv_timeout(Duration::from_secs(300)) {
            Ok(_) => Ok(Self {
                child,
                stdin,
                lines,
                first_byte: began.elapsed(),
            }),
            Err(_) => {
                let said = fs_err::read_to_string(home.path().join("start.log")).unwrap_or_default();
                let _ = child.wait();
                bail!("bottle start did not reach the agent:\n{said}")
            }
        }
    }

    /// The slug that it got.
    pub(super) fn slug(&self, home: &Home) -> anyhow::Result<String> {
        match home.state().as_slice() {
            [slug] => Ok(slug.clone()),
            other => bail!("one bottle should be running, the state directories are {other:?}"),
        }
    }

    /// Tells the scripted agent to go on.
    pub(super) fn go(&mut self) -> anyhow::Result<()> {
        writeln!(self.stdin)?;
        Ok(self.stdin.flush()?)
    }

    /// Everything that the agent says, up to its last word.
    pub(super) fn answers(&mut self) -> anyhow::Result<BTreeMap<String, Answer>> {
        let mut answers = BTreeMap::new();
        let first = Answer {
            status: self.first_byte.as_secs_f64().to_string(),
            said: String::new(),
        };
        answers.insert("first-byte".to_owned(), first);
        loop {
            let line = self
                .lines
                .recv_timeout(Duration::from_secs(60))
                .context("the agent fell silent")?;
            let Some(told) = line.strip_prefix('@') else {
                continue;
            };
            if told == "end" {
                return Ok(answers);
            }
            let mut fields = told.splitn(3, '\t');
            let mut field = || fields.next().unwrap_or_default().to_owned();
            let name = field();
            answers.insert(
                name,
                Answer {
                    status: field(),
                    said: field(),
                },
            );
        }
    }
}
