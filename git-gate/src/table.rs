//! What is in force: each upstream by the route that names it, and what the operator has allowed.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use contract::Sha256Hex;
use contract::Timestamp;
use contract::gate::{Allowance, FingerprintKey, GateConfig, GateFingerprint, GateRemote};

use crate::repository::Repository;

/// One upstream, with the repository that mirrors it.
#[derive(Debug)]
pub struct Remote {
    /// What the table says.
    pub settings: GateRemote,
    /// `host/path.git`
    pub route: String,
    /// Its mirror.
    pub repository: Arc<Repository>,
}

/// A configuration ready to decide.
#[derive(Debug)]
pub struct Table {
    /// Its generation.
    pub generation: u64,
    /// Its hash.
    pub effective_sha256: Sha256Hex,
    /// The key of fingerprints.
    pub key: FingerprintKey,
    remotes: HashMap<String, Arc<Remote>>,
    allow: Vec<Allowance>,
}

// === impl Table ===

impl Table {
    /// Of a configuration; repositories lie in `directory`. Those of the table before are kept: who works in one and who looks
    /// for one share its locks.
    pub fn open(config: GateConfig, directory: &Path, before: Option<&Self>) -> io::Result<Self> {
        let effective_sha256 = config.effective_sha256();
        let mut remotes = HashMap::new();
        for settings in config.remotes {
            let route = settings.upstream.route();
            let known = before.and_then(|table| table.remotes.get(&route));
            let repository = match known {
                Some(known) => Arc::clone(&known.repository),
                None => Arc::new(Repository::open(directory, &route)?),
            };
            let remote = Remote {
                settings,
                route: route.clone(),
                repository,
            };
            remotes.insert(route, Arc::new(remote));
        }
        Ok(Self {
            generation: config.generation,
            effective_sha256,
            key: config.fingerprint_key,
            remotes,
            allow: config.allow,
        })
    }

    /// The upstream that a route names.
    pub fn remote(&self, route: &str) -> Option<&Arc<Remote>> {
        self.remotes.get(route)
    }

    /// The operator's yes to a value, while it lasts.
    pub fn allowance(&self, fingerprint: &GateFingerprint) -> Option<&Allowance> {
        let now: Timestamp = SystemTime::now().into();
        self.allow
            .iter()
            .find(|allowance| allowance.fingerprint == *fingerprint && now < allowance.expires_at)
    }
}
