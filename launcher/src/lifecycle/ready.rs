//! Waiting until a guard has in force what was written for it: its `applied.json` carries this launch's nonce and the hash of the
//! file. A guard that ends instead ends the waiting at once.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::written_inside;
use contract::{Applied, LaunchNonce, Sha256Hex};
use std::path::Path;
use std::time::Duration;

/// How long a guard may take from its container's start to its first acknowledgement. Measured: 20 ms; a machine under load
/// takes seconds to start a container.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often the acknowledgement is looked for: one `open` of a file that is not there.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How many lines of a guard's log an error repeats.
const TOLD_LINES: u32 = 10;

/// What is waited for.
pub struct Awaited<'a> {
    /// The guard's name.
    pub guard: &'a str,
    /// Its container.
    pub container: &'a str,
    /// Its `applied.json`.
    pub applied: &'a Path,
    /// This launch.
    pub nonce: &'a LaunchNonce,
    /// Hash of the file that it must have read.
    pub file: &'a Sha256Hex,
}

/// What an acknowledgement says to somebody who waits for this launch and file.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    /// In force.
    Ready,
    /// Nothing yet, or an earlier launch's.
    NotYet,
    /// The guard has read it and refuses it.
    Refused(String),
}

fn says(applied: &Applied, nonce: &LaunchNonce, file: &Sha256Hex) -> Says {
    if applied.launch_nonce != *nonce || applied.file_sha256 != *file {
        return Says::NotYet;
    }
    match &applied.error {
        None => Says::Ready,
        Some(error) => Says::Refused(error.clone()),
    }
}

impl Awaited<'_> {
    /// Waits.
    pub async fn wait(&self, engine: &Engine) -> Result<()> {
        let waiting = async {
            tokio::select! {
                acknowledged = self.acknowledged() => acknowledged,
                ended = self.ended(engine) => ended,
            }
        };
        match tokio::time::timeout(DEADLINE, waiting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self
                .with_log(
                    engine,
                    format!(
                        "{} did not become ready within {} s",
                        self.guard,
                        DEADLINE.as_secs()
                    ),
                )
                .await),
        }
    }

    async fn acknowledged(&self) -> Result<()> {
        loop {
            if let Some(bytes) = written_inside::read(self.applied)?
                // The guard renames it into place, so what is there is whole; what is not an acknowledgement never will be.
                && let applied = serde_json::from_slice::<Applied>(&bytes).map_err(|error| {
                    Error::failed(format!("{} wrote an acknowledgement that cannot be read", self.guard))
                        .because(error)
                })?
            {
                match says(&applied, self.nonce, self.file) {
                    Says::Ready => return Ok(()),
                    Says::NotYet => {}
                    Says::Refused(why) => {
                        return Err(Error::failed(format!("{} refuses its configuration", self.guard))
                            .because(anyhow::anyhow!(contract::text::harmless(&why))));
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn ended(&self, engine: &Engine) -> Result<()> {
        let how = engine.ended(self.container).await?;
        Err(self
            .with_log(
                engine,
                format!("{} ended (exit code {how}) before it was ready", self.guard),
            )
            .await)
    }

    async fn with_log(&self, engine: &Engine, message: String) -> Error {
        let lines = engine.log_tail(self.container, TOLD_LINES).await;
        let error = Error::failed(message);
        if lines.is_empty() {
            return error;
        }
        let lines: Vec<String> = lines.iter().map(|line| contract::text::harmless(line)).collect();
        error.because(anyhow::anyhow!("its log says\n{}", lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_launchs_acknowledgement_of_this_file_counts() {
        let (nonce, other): (LaunchNonce, LaunchNonce) =
            ("n-1a2b3c4d".parse().unwrap(), "n-00000000".parse().unwrap());
        let (file, older) = (Sha256Hex::of(b"routes"), Sha256Hex::of(b"older"));
        let applied = |nonce: &LaunchNonce, file: &Sha256Hex, error: Option<&str>| Applied {
            schema_version: contract::SCHEMA_VERSION,
            file_sha256: file.clone(),
            effective_sha256: file.clone(),
            generation: 1,
            launch_nonce: nonce.clone(),
            at: contract::Timestamp::from_millis(0),
            error: error.map(str::to_owned),
        };
        assert_eq!(says(&applied(&nonce, &file, None), &nonce, &file), Says::Ready);
        assert_eq!(says(&applied(&other, &file, None), &nonce, &file), Says::NotYet);
        assert_eq!(says(&applied(&nonce, &older, None), &nonce, &file), Says::NotYet);
        assert_eq!(
            says(&applied(&nonce, &file, Some("no")), &nonce, &file),
            Says::Refused("no".to_owned())
        );
    }
}
