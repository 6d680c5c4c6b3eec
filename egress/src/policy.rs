//! The policy in force: the route table with everything that a request needs made ready.
//!
//! Compiled whole when a file is read and never changed after; a request holds on to the one that admitted it.

use std::sync::Arc;

use contract::{Route, RouteAuth, RouteTable, Sha256Hex};
use http::{HeaderName, HeaderValue};
use mitm::Upstream;

use crate::credential::{CredentialError, CredentialStore};
use crate::tripwire::Tripwire;
use crate::upstream::Upstreams;

/// A compiled policy.
#[derive(Debug)]
pub struct CompiledPolicy {
    table: RouteTable,
    effective_sha256: Sha256Hex,
    /// Beside the table's routes, in their order.
    routes: Vec<Prepared>,
    tripwire: Arc<Tripwire>,
}

/// What a route needs at every request, made once.
#[derive(Debug)]
pub struct Prepared {
    /// The route again, for a request to hold on to.
    pub route: Arc<Route>,
    /// The credential that it injects.
    pub injection: Option<Injection>,
    /// How its host is dialled and whom to trust there.
    pub upstream: Arc<Upstream>,
    /// A seat looks into this host's tunnels, so that a refusal by the seat comes as if the host had answered.
    pub seat_answers: bool,
}

/// One header, ready to be put into a request.
#[derive(Debug)]
pub struct Injection {
    /// Its name.
    pub name: HeaderName,
    /// Its value, marked sensitive.
    pub value: HeaderValue,
}

/// Why a table cannot come into force.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// a credential is missing or unusable
    #[error("route {host}: {why}")]
    Credential {
        /// The route.
        host: contract::HostName,
        /// What is wrong.
        why: CredentialError,
    },
    /// the header's name is none that HTTP can carry
    #[error("route {0}: the header of its auth scheme cannot be written")]
    Header(contract::HostName),
}

/// A route that admits a request, and what it needs.
#[derive(Debug, Clone, Copy)]
pub struct Admitting<'p> {
    /// The route.
    pub route: &'p Route,
    /// What was made ready for it.
    pub prepared: &'p Prepared,
}

// === impl CompiledPolicy ===

impl CompiledPolicy {
    /// Makes a table ready. Fails when a route names a credential that this guard was not given.
    pub fn compile(
        table: RouteTable,
        credentials: &CredentialStore,
        upstreams: &Upstreams,
    ) -> Result<Self, CompileError> {
        let routes = table
            .routes()
            .iter()
            .map(|route| {
                let injection = route
                    .auth
                    .as_ref()
                    .map(|auth| injection(route, auth, credentials));
                Ok(Prepared {
                    route: Arc::new(route.clone()),
                    injection: injection.transpose()?,
                    upstream: upstreams.of(route),
                    seat_answers: upstreams.has_seat() && route.inspect,
                })
            })
            .collect::<Result<Vec<_>, CompileError>>()?;
        Ok(Self {
            effective_sha256: table.effective_sha256(),
            routes,
            tripwire: Arc::new(Tripwire::for_policy(&table, credentials)),
            table,
        })
    }

    /// The table that it was made of.
    pub fn table(&self) -> &RouteTable {
        &self.table
    }

    /// Hash of what is in force.
    pub fn effective_sha256(&self) -> &Sha256Hex {
        &self.effective_sha256
    }

    /// What knows the credentials wherever they turn up.
    pub fn tripwire(&self) -> &Arc<Tripwire> {
        &self.tripwire
    }

    /// A route of the table with what was made ready for it; none for a route of another table.
    pub fn admitting<'p>(&'p self, route: &'p Route) -> Option<Admitting<'p>> {
        let prepared = self.routes.get(self.table.position(route)?)?;
        Some(Admitting { route, prepared })
    }
}

fn injection(
    route: &Route,
    auth: &RouteAuth,
    credentials: &CredentialStore,
) -> Result<Injection, CompileError> {
    let value = credentials
        .header_value(auth)
        .map_err(|why| CompileError::Credential {
            host: route.host.clone(),
            why,
        })?;
    let name = HeaderName::from_bytes(auth.scheme.header().as_bytes())
        .map_err(|_| CompileError::Header(route.host.clone()))?;
    Ok(Injection { name, value })
}
