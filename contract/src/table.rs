//! The route table: `routes.yaml` whole, parsed and rendered.

use crate::{GrantId, HostName, Route, SCHEMA_VERSION, Sha256Hex, TokenSlot};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// The most a guard reads of any file, in bytes: anything that a container can write is bounded so, and config too.
pub const MAX_FILE: usize = 1024 * 1024;

/// Every route in force, in the order of declaration.
///
/// At most one lasting route per host; any number of grants may lie beside it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTable {
    /// Counts the writes of this launch, from 1.
    pub generation: u64,
    routes: Vec<Route>,
    /// Where each host's routes lie in `routes`, the lasting one first: a guard asks per request.
    by_host: HashMap<HostName, Vec<usize>>,
}

/// Why a text is not a route table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// more than [`MAX_FILE`]
    #[error("routes.yaml has {0} bytes; at most {MAX_FILE} are read")]
    TooLarge(usize),
    /// not UTF-8
    #[error("routes.yaml is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// does not parse: what, and the line where the parser knows it
    #[error("routes.yaml: {0}")]
    Parse(String),
    /// another schema version
    #[error("routes.yaml has schema_version {0}; this program reads {SCHEMA_VERSION}")]
    SchemaVersion(u32),
    /// two lasting routes for one host
    #[error("two routes for the host {0}; write one route with both paths")]
    TwoRoutes(HostName),
    /// one grant twice
    #[error("the grant {0} is there twice")]
    TwoGrants(GrantId),
    /// one slot with two credentials
    #[error("the slot {0} is used for two different credentials")]
    SlotShared(TokenSlot),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    schema_version: u32,
    generation: u64,
    routes: Vec<Route>,
}

impl RouteTable {
    /// A table of these routes.
    pub fn new(generation: u64, routes: Vec<Route>) -> Result<Self, TableError> {
        let mut hosts = BTreeSet::new();
        let mut grants = BTreeSet::new();
        let mut slots = std::collections::BTreeMap::new();
        for route in &routes {
            route
                .check()
                .map_err(|error| TableError::Parse(error.to_string()))?;
            let fresh = match &route.grant {
                None if !hosts.insert(route.host.clone()) => {
                    return Err(TableError::TwoRoutes(route.host.clone()));
                }
                Some(grant) if !grants.insert(grant.grant_id.clone()) => {
                    return Err(TableError::TwoGrants(grant.grant_id.clone()));
                }
                _ => route.auth.as_ref(),
            };
            if let Some(auth) = fresh {
                let known = slots
                    .entry(auth.token_env)
                    .or_insert_with(|| auth.token_ref.clone());
                if *known != auth.token_ref {
                    return Err(TableError::SlotShared(auth.token_env));
                }
            }
        }
        let mut by_host: HashMap<HostName, Vec<usize>> = HashMap::new();
        for (at, route) in routes.iter().enumerate() {
            let of_host = by_host.entry(route.host.clone()).or_default();
            if route.grant.is_none() {
                of_host.insert(0, at);
            } else {
                of_host.push(at);
            }
        }
        Ok(Self {
            generation,
            routes,
            by_host,
        })
    }

    /// Reads `routes.yaml`. Unknown and duplicate fields are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        if bytes.len() > MAX_FILE {
            return Err(TableError::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| TableError::NotUtf8(error.valid_up_to()))?;
        let file: TableFile =
            serde_yaml::from_str(text).map_err(|error| TableError::Parse(error.to_string()))?;
        if file.schema_version != SCHEMA_VERSION {
            return Err(TableError::SchemaVersion(file.schema_version));
        }
        Self::new(file.generation, file.routes)
    }

    /// Writes `routes.yaml`; [`RouteTable::parse`] reads back the same value.
    pub fn render(&self) -> Result<String, TableError> {
        let file = TableFile {
            schema_version: SCHEMA_VERSION,
            generation: self.generation,
            routes: self.routes.clone(),
        };
        serde_yaml::to_string(&file).map_err(|error| TableError::Parse(error.to_string()))
    }

    /// Hash of what is in force, whatever the file's layout: SHA-256 of the table's compact JSON with the
    /// fields in declaration order. The generation counts; a reordering of routes does too.
    pub fn effective_sha256(&self) -> Sha256Hex {
        let json = serde_json::to_vec(&(self.generation, &self.routes)).unwrap_or_default();
        Sha256Hex::of(&json)
    }

    /// The routes in the order of declaration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The lasting route of a host.
    pub fn lasting(&self, host: &HostName) -> Option<&Route> {
        self.routes_of(host).find(|route| route.grant.is_none())
    }

    /// Every route of a host: the lasting one first, then grants in the order of declaration.
    pub fn routes_of(&self, host: &HostName) -> impl Iterator<Item = &Route> {
        let places = self.by_host.get(host).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|at| self.routes.get(*at))
    }

    /// Where one of this table's own routes lies in [`RouteTable::routes`].
    pub fn position(&self, route: &Route) -> Option<usize> {
        let places = self.by_host.get(&route.host)?;
        let is_it = |at: &&usize| {
            self.routes
                .get(**at)
                .is_some_and(|other| std::ptr::eq(other, route))
        };
        places.iter().find(is_it).copied()
    }

    /// The host as this table spells it, when any of its routes names it: a lookup without an allocation.
    pub fn known_host(&self, host: &str) -> Option<&HostName> {
        self.by_host.get_key_value(host).map(|(known, _)| known)
    }

    /// Whether any route, lasting or not, names this host.
    pub fn knows(&self, host: &HostName) -> bool {
        self.by_host.contains_key(host)
    }

    /// Replaces the routes, keeping the generation.
    pub(crate) fn with_routes(&self, routes: Vec<Route>) -> Result<Self, TableError> {
        Self::new(self.generation, routes)
    }
}

#[cfg(test)]
mod tests;
