//! `applied.json`: what this guard has in force, for the launcher to read back.
//!
//! [`AckWriter`] writes it. [`Acknowledgements`] is that of a guard which follows a file: what came of each file is said and
//! acknowledged once, and an acknowledgement that cannot be written is tried again at every look.

use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use contract::place::run::APPLIED;
use contract::{Applied, LaunchNonce, SCHEMA_VERSION, Sha256Hex};

/// Writes the acknowledgements of one launch.
#[derive(Debug)]
pub struct AckWriter {
    directory: PathBuf,
    launch_nonce: LaunchNonce,
}

/// The policy that an acknowledgement speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// Hash of the table in force.
    pub effective_sha256: Sha256Hex,
    /// Its generation.
    pub generation: u64,
}

/// The acknowledgements of a guard that follows a file.
#[derive(Debug)]
pub struct Acknowledgements {
    writer: AckWriter,
    /// Hash of the file read last.
    last_read: Sha256Hex,
    /// What could not be acknowledged yet: the error of the file read last.
    unwritten: Option<Option<String>>,
    /// What was last complained about, so that it is said once.
    complaint: Option<String>,
}

impl AckWriter {
    /// Acknowledgements go into `directory`, marked with this launch's nonce.
    pub fn new(directory: PathBuf, launch_nonce: LaunchNonce) -> Self {
        Self {
            directory,
            launch_nonce,
        }
    }

    /// Says what is in force after `file_sha256` was read; `error` when that file is not what is in force.
    pub fn write(
        &self,
        file_sha256: &Sha256Hex,
        in_force: &InForce,
        error: Option<String>,
    ) -> io::Result<()> {
        let applied = Applied {
            schema_version: SCHEMA_VERSION,
            file_sha256: file_sha256.clone(),
            effective_sha256: in_force.effective_sha256.clone(),
            generation: in_force.generation,
            launch_nonce: self.launch_nonce.clone(),
            at: SystemTime::now().into(),
            error,
        };
        let mut json = serde_json::to_vec_pretty(&applied)?;
        json.push(b'\n');
        crate::durable::replace(&self.directory, APPLIED, &json)
    }
}

impl Acknowledgements {
    /// Acknowledges the first file, which is in force.
    pub fn begin(writer: AckWriter, file_sha256: Sha256Hex, in_force: &InForce) -> io::Result<Self> {
        writer.write(&file_sha256, in_force, None)?;
        Ok(Self {
            writer,
            last_read: file_sha256,
            unwritten: None,
            complaint: None,
        })
    }

    /// Whether this is what was read last.
    pub fn is_known(&self, sha256: &Sha256Hex) -> bool {
        self.last_read == *sha256
    }

    /// Says what came of a file, to be acknowledged by [`Self::settle`]: it is in force, or with an `error` it is not and
    /// `generation` still is.
    pub fn took(&mut self, sha256: Sha256Hex, error: Option<String>, generation: u64) {
        match &error {
            None => tracing::info!("generation {generation} is in force"),
            Some(error) => {
                tracing::error!("{error}; what was before (generation {generation}) stays in force");
            }
        }
        self.last_read = sha256;
        self.unwritten = Some(error);
        self.complaint = None;
    }

    /// Says what is wrong; while it goes on, once. Where no file could be read there is no hash to acknowledge: whoever waits for
    /// one sees that it does not come.
    pub fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!("{complaint}");
            self.complaint = Some(complaint);
        }
    }

    /// Writes what is not written yet.
    pub fn settle(&mut self, in_force: impl FnOnce() -> InForce) {
        let Some(error) = self.unwritten.take() else {
            return;
        };
        if let Err(failed) = self.writer.write(&self.last_read, &in_force(), error.clone()) {
            self.complain(failed.to_string());
            self.unwritten = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_acknowledged_now_is_acknowledged_later() {
        let directory = tempfile::tempdir().unwrap();
        let run = directory.path().join("run");
        let nonce: LaunchNonce = "n-0001".parse().unwrap();
        let hash = |text: &str| Sha256Hex::of(text.as_bytes());
        let in_force = || InForce {
            effective_sha256: hash("effective"),
            generation: 3,
        };
        let read = || -> Option<Applied> {
            let json = fs_err::read(run.join(APPLIED)).ok()?;
            Some(serde_json::from_slice(&json).unwrap())
        };
        let begin = || {
            Acknowledgements::begin(
                AckWriter::new(run.clone(), nonce.clone()),
                hash("first"),
                &in_force(),
            )
        };
        assert!(begin().is_err(), "there is no such directory");
        fs_err::create_dir(&run).unwrap();
        let mut acknowledgements = begin().unwrap();
        assert_eq!(read().unwrap().file_sha256, hash("first"));

        fs_err::remove_dir_all(&run).unwrap();
        acknowledgements.took(hash("second"), Some("bad".to_owned()), 3);
        acknowledgements.settle(in_force);
        assert!(acknowledgements.is_known(&hash("second")) && !acknowledgements.is_known(&hash("first")));
        fs_err::create_dir(&run).unwrap();
        acknowledgements.settle(in_force);
        let applied = read().unwrap();
        assert_eq!(
            (applied.file_sha256, applied.generation, applied.error),
            (hash("second"), 3, Some("bad".to_owned()))
        );

        fs_err::remove_file(run.join(APPLIED)).unwrap();
        acknowledgements.settle(in_force);
        assert_eq!(read(), None, "it is acknowledged once");
    }
}
