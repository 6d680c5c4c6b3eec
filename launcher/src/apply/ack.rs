//! Waiting until a guard says that it has a file in force.

use crate::written_inside;
use contract::{Applied, LaunchNonce, Sha256Hex};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the acknowledgement is looked at: one `open` of a small file.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Why it is not known to be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotInForce {
    /// The guard has read it and refuses it.
    Refused(String),
    /// It said nothing about it in time.
    Silent(Duration),
    /// It does not let a probe through.
    NotAdmitted(String),
    /// What it says cannot be read.
    Unreadable(String),
}

impl std::fmt::Display for NotInForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) => write!(f, "refuses it: {why}"),
            Self::Silent(waited) => write!(f, "has not taken it up within {:.1} s", waited.as_secs_f64()),
            Self::NotAdmitted(why) => write!(f, "does not let a probe through: {why}"),
            Self::Unreadable(why) => write!(f, "says something that cannot be read: {why}"),
        }
    }
}

/// Waits for the acknowledgement of these bytes by this launch's guard.
pub async fn wait(
    applied: &Path,
    nonce: &LaunchNonce,
    file: &Sha256Hex,
    patience: Duration,
) -> Result<Applied, NotInForce> {
    let begun = Instant::now();
    loop {
        let read =
            written_inside::read(applied).map_err(|error| NotInForce::Unreadable(error.to_string()))?;
        if let Some(bytes) = read {
            let said: Applied = serde_json::from_slice(&bytes)
                .map_err(|error| NotInForce::Unreadable(contract::text::harmless(&error.to_string())))?;
            if said.launch_nonce == *nonce && said.file_sha256 == *file {
                return match &said.error {
                    None => Ok(said),
                    Some(why) => Err(NotInForce::Refused(contract::text::harmless(why))),
                };
            }
        }
        if begun.elapsed() >= patience {
            return Err(NotInForce::Silent(patience));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
