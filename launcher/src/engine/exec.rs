//! Programs run inside of a running container.
//!
//! The stream of an exec is taken from the connection as it is: bollard's own decoder takes a terminal's bytes for frames when a
//! chunk begins with NUL, ^A or ^B, and would swallow what follows.

use super::frames::{Frames, Stream};
use super::{Engine, dial, if_known, told};
use crate::error::{Error, Result};
use bollard::models::ExecConfig;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

/// Keys that would detach from an exec'd terminal, which could never be entered again. They cannot be switched off, so this
/// is a sequence that nobody types.
const DETACH_KEYS: &str = "ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@";

/// The longest output that [`Engine::exec_output`] keeps, in bytes, of each stream.
const LONGEST_OUTPUT: usize = 1 << 20;

/// How long the engine may take to notice that a program has ended.
const NOTICED: Duration = Duration::from_secs(2);

/// What to run.
pub struct Exec<'a> {
    /// The container, by name or id.
    pub container: &'a str,
    /// The program and its arguments.
    pub command: &'a [String],
    /// `NAME=value`, besides the container's own.
    pub environment: &'a [String],
    /// Where it starts; else where the container does.
    pub working_directory: Option<&'a str>,
    /// With a terminal of this size: rows, columns.
    pub terminal: Option<(u16, u16)>,
    /// With a standard input.
    pub input: bool,
}

/// A program that runs.
pub struct Running {
    /// The exec's id.
    pub id: String,
    /// Its output: raw with a terminal, frames without.
    pub output: Output,
    /// Its input; shutting it down ends it.
    pub input: Input,
}

/// See [`Running::output`].
pub type Output = ReadHalf<TokioIo<hyper::upgrade::Upgraded>>;
/// See [`Running::input`].
pub type Input = WriteHalf<TokioIo<hyper::upgrade::Upgraded>>;

/// What came of a program that was run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i64,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub error: Vec<u8>,
}

impl Engine {
    /// Starts a program in a running container.
    pub async fn exec(&self, exec: Exec<'_>) -> Result<Running> {
        let doing = format!("run a program in {}", exec.container);
        let config = ExecConfig {
            attach_stdin: Some(exec.input),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(exec.terminal.is_some()),
            console_size: exec
                .terminal
                .map(|(rows, columns)| vec![rows.into(), columns.into()]),
            detach_keys: exec.terminal.map(|_| DETACH_KEYS.to_owned()),
            cmd: Some(exec.command.to_vec()),
            env: Some(exec.environment.to_vec()),
            working_dir: exec.working_directory.map(str::to_owned),
            ..ExecConfig::default()
        };
        let created = self
            .docker()
            .create_exec(exec.container, config)
            .await
            .map_err(|error| told(&doing, error))?;
        let stream = self.start_exec(&created.id, exec.terminal.is_some()).await?;
        let (output, input) = tokio::io::split(stream);
        Ok(Running {
            id: created.id,
            output,
            input,
        })
    }

    async fn start_exec(&self, id: &str, terminal: bool) -> Result<TokioIo<hyper::upgrade::Upgraded>> {
        let lost = |error: hyper::Error| {
            Error::failed("the engine closed the connection while it started a program").because(error)
        };
        let stream = TokioIo::new(dial::dial(self.endpoint()).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(lost)?;
        // Ends with the connection, whoever closes it; its errors are seen at the request and at the stream.
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        let request = hyper::Request::post(format!("/exec/{id}/start"))
            .header(hyper::header::HOST, "docker")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .header(hyper::header::CONNECTION, "Upgrade")
            .header(hyper::header::UPGRADE, "tcp")
            .body(Full::new(Bytes::from(format!(
                r#"{{"Detach":false,"Tty":{terminal}}}"#
            ))))
            .map_err(|error| Error::failed("the engine gave an exec an unusable id").because(error))?;
        let answer = sender.send_request(request).await.map_err(lost)?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            let body = answer.into_body().collect().await.map_err(lost)?.to_bytes();
            return Err(
                Error::failed("the engine could not start a program in the container")
                    .because(anyhow::anyhow!(message(&body))),
            );
        }
        let upgraded = hyper::upgrade::on(answer).await.map_err(lost)?;
        Ok(TokioIo::new(upgraded))
    }

    /// The exit code of a program whose streams have ended; `None` when it goes on without them, and when its container is
    /// gone. The engine notices the end a moment after the streams closed.
    pub async fn exec_code(&self, id: &str) -> Result<Option<i64>> {
        let began = tokio::time::Instant::now();
        loop {
            let inspected = if_known(self.docker().inspect_exec(id).await, "say how a program ended")?;
            match inspected {
                Some(exec) if exec.running == Some(true) && began.elapsed() < NOTICED => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Some(exec) if exec.running == Some(true) => return Ok(None),
                Some(exec) => return Ok(exec.exit_code),
                None => return Ok(None),
            }
        }
    }

    /// Tells a program's terminal its new size.
    pub async fn exec_resize(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let size = bollard::query_parameters::ResizeExecOptionsBuilder::default()
            .h(rows.into())
            .w(columns.into())
            .build();
        self.docker()
            .resize_exec(id, size)
            .await
            .map_err(|error| told("resize a terminal", error))
    }

    /// Runs a program to its end, hands it `input`, and gives what it said: at most 1 MiB of each stream.
    pub async fn exec_output(
        &self,
        container: &str,
        command: &[String],
        input: &[u8],
        deadline: Duration,
    ) -> Result<Ended> {
        let name = command.first().cloned().unwrap_or_default();
        let run = async {
            let exec = Exec {
                container,
                command,
                environment: &[],
                working_directory: None,
                terminal: None,
                input: !input.is_empty(),
            };
            let mut running = self.exec(exec).await?;
            if !input.is_empty() {
                running.input.write_all(input).await?;
                running.input.shutdown().await?;
            }
            let (out, error) = both_streams(&mut running.output).await?;
            let code = self
                .exec_code(&running.id)
                .await?
                .ok_or_else(|| Error::failed(format!("{name} in {container} ended without an exit code")))?;
            Ok(Ended { code, out, error })
        };
        tokio::time::timeout(deadline, run).await.unwrap_or_else(|_| {
            Err(Error::failed(format!(
                "{name} in {container} did not end within {} s",
                deadline.as_secs()
            )))
        })
    }
}

async fn both_streams(output: &mut Output) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut frames, mut out, mut error) = (Frames::default(), Vec::new(), Vec::new());
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let read = output.read(&mut chunk).await?;
        if read == 0 {
            return Ok((out, error));
        }
        frames.push(chunk.get(..read).unwrap_or_default());
        while let Some((stream, bytes)) = frames
            .next_piece()
            .map_err(|error| Error::failed("a program's output cannot be read").because(error))?
        {
            let kept = match stream {
                Stream::Out => &mut out,
                Stream::Error => &mut error,
            };
            if kept.len() + bytes.len() > LONGEST_OUTPUT {
                return Err(Error::failed("a program in the container says more than 1 MiB"));
            }
            kept.extend(bytes);
        }
    }
}

/// The engine's own words in an error's body: `{"message": …}`, else the body.
fn message(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Told {
        message: String,
    }
    match serde_json::from_slice::<Told>(body) {
        Ok(told) => told.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}
