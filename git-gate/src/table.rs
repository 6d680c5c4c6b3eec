//! What is in force: each upstream by the route that names it, and what the operator has allowed.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
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
    /// Of these remotes and of those that were here before, while somebody works in them.
    repositories: HashMap<String, Weak<Repository>>,
    allow: Vec<Allowance>,
}

// === impl Table ===

impl Table {
    /// Of a configuration; repositories lie in `directory`. Those of the tables before are kept: who works in one and who looks
    /// for one share its locks, also when its remote was gone for a while.
    pub fn open(config: GateConfig, directory: &Path, before: Option<&Self>) -> io::Result<Self> {
        let effective_sha256 = config.effective_sha256();
        let mut remotes = HashMap::new();
        let mut repositories = before.map_or_else(HashMap::new, |table| table.repositories.clone());
        repositories.retain(|_, repository| repository.strong_count() > 0);
        for settings in config.remotes {
            let route = settings.upstream.route();
            let repository = match repositories.get(&route).and_then(Weak::upgrade) {
                Some(known) => known,
                None => Arc::new(Repository::open(directory, &route)?),
            };
            repositories.insert(route.clone(), Arc::downgrade(&repository));
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
            repositories,
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

#[cfg(test)]
mod tests {
    use super::*;
    use contract::gate::{GatePolicy, Identity};

    fn config(generation: u64, remotes: &[&str]) -> GateConfig {
        let remote = |upstream: &&str| GateRemote {
            upstream: upstream.parse().unwrap(),
            identity: Identity::File("/id".into()),
            known_hosts: "h.example ssh-ed25519 AAAA".to_owned(),
            policy: GatePolicy::default(),
        };
        GateConfig {
            generation,
            fingerprint_key: FingerprintKey::new([7; 32]),
            remotes: remotes.iter().map(remote).collect(),
            allow: Vec::new(),
        }
    }

    #[test]
    fn a_remote_that_was_gone_while_a_push_to_it_goes_on_comes_back_with_that_push() {
        let root = tempfile::tempdir().unwrap();
        let open = |config, before: Option<&Table>| Table::open(config, root.path(), before).unwrap();
        let (app, other) = ("ssh://git@h.example/app.git", "ssh://git@h.example/other.git");
        let first = open(config(1, &[app, other]), None);
        let repository = Arc::clone(&first.remote("h.example/app.git").unwrap().repository);
        let receiving = repository.receiving();
        let quarantine = repository.directory().join("objects/tmp_objdir-incoming-x");
        fs_err::create_dir(&quarantine).unwrap();
        repository.mark_unsettled().unwrap();

        let without = open(config(2, &[other]), Some(&first));
        drop(first);
        let later = open(config(3, &[other]), Some(&without));
        let again = open(config(4, &[app]), Some(&later));
        let back = &again.remote("h.example/app.git").unwrap().repository;
        assert!(Arc::ptr_eq(back, &repository));
        drop(back.receiving());
        assert!(quarantine.exists(), "it is a live push's");
        drop(receiving);
        assert!(!quarantine.exists());
    }
}
