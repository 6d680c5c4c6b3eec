//! Everything that knows Docker, in one type.
//!
//! [`Engine`] is a connection to an engine that was found fit: on this machine, 20.10 or newer. Its errors carry the
//! engine's own words. It decides nothing about bottles: what to start, keep or remove is `lifecycle`'s.

mod dial;
pub mod endpoint;
pub mod exec;
mod facts;
pub mod frames;
pub mod image;
mod inspect;
pub mod logs;
pub mod resources;

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::plan::Identity;
use bollard::Docker;
pub use endpoint::{Address, Endpoint};
pub use facts::{Facts, Users};

/// How long the engine may take to begin an answer, in seconds. Loading an image of 200 MB onto a slow disk takes tens of
/// seconds before the first byte.
const ANSWER_SECONDS: u64 = 120;

/// A connection to an engine, and what it is.
pub struct Engine {
    docker: Docker,
    endpoint: Endpoint,
    facts: Facts,
}

impl Engine {
    /// Finds the engine, and refuses one that is elsewhere or too old.
    pub async fn connect(environment: &Environment) -> Result<Self> {
        Self::at(Endpoint::of(environment)?).await
    }

    /// Connects to this one.
    pub async fn at(endpoint: Endpoint) -> Result<Self> {
        // Dialled once by hand: bollard's own errors do not tell "nobody listens" from "not permitted".
        drop(dial::dial(&endpoint).await?);
        let host = endpoint.docker_host();
        let docker = match endpoint.address() {
            Address::Unix(_) => {
                Docker::connect_with_unix(&host, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION)
            }
            Address::Loopback(_) => {
                Docker::connect_with_http(&host, ANSWER_SECONDS, bollard::API_DEFAULT_VERSION)
            }
        }
        .map_err(|error| told("reach the engine", error))?;
        let (version, info) = tokio::try_join!(docker.version(), docker.info()).map_err(|error| {
            Error::environment(format!("the engine at {endpoint} does not say what it is"))
                .because(anyhow::anyhow!(words(error)))
                .hinted("`docker info` shows whether it works at all")
        })?;
        let facts = Facts::of(version, info);
        facts.refuse_what_is_too_old(&endpoint)?;
        Ok(Self {
            docker,
            endpoint,
            facts,
        })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it is.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Who containers run as on this engine, for the operator who runs this program.
    pub fn identity(&self) -> Identity {
        match self.facts.users {
            Users::Rootless | Users::Remapped => Identity::remapped(),
            Users::AsIs => {
                Identity::of_operator(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
            }
        }
    }

    fn docker(&self) -> &Docker {
        &self.docker
    }
}

/// What could not be done, with the engine's own words as the cause.
fn told(doing: &str, error: bollard::errors::Error) -> Error {
    Error::failed(format!("the engine could not {doing}")).because(anyhow::anyhow!(words(error)))
}

/// The engine's own words where it said any.
fn words(error: bollard::errors::Error) -> String {
    use bollard::errors::Error as Bollard;
    match error {
        Bollard::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Bollard::DockerStreamError { error } => error.trim().to_owned(),
        Bollard::RequestTimeoutError => format!("no answer within {ANSWER_SECONDS} s"),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(&other);
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                if !text.contains(&cause_text) {
                    text = format!("{text}: {cause_text}");
                }
                source = cause.source();
            }
            text
        }
    }
}

/// The status code of the engine's answer, where it gave one.
fn status(error: &bollard::errors::Error) -> Option<u16> {
    match error {
        bollard::errors::Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// `None` for what the engine does not know (404).
fn if_known<T>(result: Result<T, bollard::errors::Error>, doing: &str) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(told(doing, error)),
    }
}
