//! `capability-block`: the Dockerfile is stored; the image is built from it when the bottle is resumed.

use super::Target;
use super::change::{Change, FileStep};
use crate::error::Result;
use contract::CapabilityAsk;

/// What the agent and the operator are told.
pub const STATEMENT: &str = "the Dockerfile is stored; the rebuild comes at the next resume, which is not yet available in this version";

/// What approving it would change.
pub fn block(target: &Target, ask: &CapabilityAsk) -> Result<Change> {
    let path = target.state.approved_dockerfile();
    let before = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            present(target).unwrap_or_default().into()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Change {
        stored: Some(FileStep {
            name: "Dockerfile",
            path,
            before,
            after: ask.dockerfile.clone().into_bytes(),
        }),
        statement: STATEMENT.to_owned(),
        ..Change::default()
    })
}

/// The Dockerfile that the agent sees, where there is one.
pub fn present(target: &Target) -> Option<String> {
    fs_err::read_to_string(target.state.current_dockerfile()).ok()
}
