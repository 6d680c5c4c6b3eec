//! The files of the pipelock seat, for whichever engine sits there.
//!
//! What egress injects is in them as keyed digests alone, under a key drawn for this launch; so these are the only files that are
//! made with the secrets' values at hand, and none of these values gets into them.

use crate::ca::Authority;
use crate::error::{Doing as _, Result};
use crate::plan::{Plan, Seat, Secrets};
use contract::Sha256Hex;
use pipelock_config::{CredentialKey, Engine, Model, Rendered, files_sha256, render, sec1_key};
use rand::Rng as _;
use zeroize::Zeroizing;

/// The seat's configuration, rendered for its engine.
#[derive(Debug, Clone)]
pub struct SeatFiles {
    rendered: Rendered,
    engine: Engine,
}

// === impl SeatFiles ===

impl SeatFiles {
    /// For this plan. A credential that `secrets` lacks has no digest, and is then judged like anything else.
    pub fn of(plan: &Plan, secrets: &Secrets) -> Self {
        let key = CredentialKey::new(rand::rng().random());
        let model = Model::of_routes(&plan.routes, key, |auth| {
            let value = secrets.get(&auth.token_env.to_string())?;
            Some(Zeroizing::new(value.as_bytes().to_vec()))
        });
        let engine = match plan.seat {
            Seat::Builtin => Engine::Builtin,
            Seat::Image(_) => Engine::Pipelock,
        };
        Self {
            rendered: render(&model, engine),
            engine,
        }
    }

    /// `pipelock.yaml`
    pub fn pipelock_yaml(&self) -> &str {
        &self.rendered.pipelock_yaml
    }

    /// `dlp.yaml`, for our engine.
    pub fn dlp_yaml(&self) -> Option<&str> {
        self.rendered.dlp_yaml.as_deref()
    }

    /// What the engine cannot do of the plan, for the operator.
    pub fn notes(&self) -> &[String] {
        &self.rendered.notes
    }

    /// By which our engine acknowledges them.
    pub fn sha256(&self) -> Sha256Hex {
        files_sha256(
            self.rendered.pipelock_yaml.as_bytes(),
            self.rendered.dlp_yaml.as_deref().map(str::as_bytes),
        )
    }

    /// The authority's key in the form that the engine reads.
    pub(super) fn key(&self, authority: &Authority) -> Result<Zeroizing<String>> {
        match self.engine {
            Engine::Builtin => Ok(authority.key_pem.clone()),
            Engine::Pipelock => sec1_key(&authority.key_pem)
                .doing(|| "the key of the pipelock seat cannot be written as it reads it".to_owned()),
        }
    }
}
