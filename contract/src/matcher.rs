//! Decides whether a request falls under a route: host, then method, then path.
//!
//! The guard and `bottle explain` both call [`RouteTable::decide`]; there is no second opinion.

use crate::reading::{self, PathProblem};
use crate::{GrantId, HostName, Method, Route, RouteTable};

/// The part of a request that routes speak of. `method` and `path` are the bytes as they will be forwarded; `path` is
/// without the query.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The host that CONNECT, SNI and Host agree on.
    pub host: &'a HostName,
    /// The method as sent; methods are case-sensitive.
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a [u8],
}

/// Why no route admits a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// no route for the host
    #[error("no route allows the host {0}")]
    Host(HostName),
    /// the method is on no route of the host
    #[error(
        "the route for {host} does not allow the method {method}; it allows {}",
        list(allowed)
    )]
    Method {
        /// The host asked for.
        host: HostName,
        /// The method as sent, made harmless to a terminal.
        method: String,
        /// What the host's routes allow.
        allowed: Vec<Method>,
    },
    /// a reading of the path falls under no admitted prefix
    #[error("the route for {host} does not allow this path; it allows {}", prefixes.join(", "))]
    Path {
        /// The host asked for.
        host: HostName,
        /// What the host's routes allow.
        prefixes: Vec<String>,
    },
    /// the path is refused on every route
    #[error("the path {0}")]
    Malformed(#[from] PathProblem),
    /// only grants would have admitted it, and they have ended
    #[error("the grant {0} for {1} has ended")]
    GrantEnded(GrantId, HostName),
}

fn list(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

impl RouteTable {
    /// The route that admits this request. `live` says of a grant whether it still holds (the guard knows its clocks and
    /// uses; a caller without that knowledge says `|_| true`). A lasting route is preferred to a grant, so that a
    /// single-use grant is not spent where none is needed.
    pub fn decide(
        &self,
        request: RequestLine<'_>,
        mut live: impl FnMut(&crate::Grant) -> bool,
    ) -> Result<&Route, Refusal> {
        let mut refusal = None;
        for route in self.routes_of(request.host) {
            match route.admits(request) {
                Ok(()) => match &route.grant {
                    Some(grant) if !live(grant) => {
                        refusal = Some(Refusal::GrantEnded(grant.grant_id.clone(), route.host.clone()));
                    }
                    _ => return Ok(route),
                },
                Err(next) => refusal = Some(joined(refusal, next)),
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal::Host(request.host.clone())))
    }
}

/// What to tell when several routes of one host refuse: the refusal that came furthest, with all that would be allowed.
fn joined(before: Option<Refusal>, next: Refusal) -> Refusal {
    match (before, next) {
        (None, next) => next,
        (Some(Refusal::Path { host, mut prefixes }), Refusal::Path { prefixes: more, .. }) => {
            prefixes.extend(more);
            Refusal::Path { host, prefixes }
        }
        (
            Some(Refusal::Method {
                host,
                method,
                mut allowed,
            }),
            Refusal::Method { allowed: more, .. },
        ) => {
            allowed.extend(
                more.into_iter()
                    .filter(|method| !allowed.contains(method))
                    .collect::<Vec<_>>(),
            );
            Refusal::Method {
                host,
                method,
                allowed,
            }
        }
        (Some(Refusal::Method { .. }), next @ (Refusal::Path { .. } | Refusal::Malformed(_))) => next,
        (Some(before), _) => before,
    }
}

impl Route {
    /// Whether this route alone admits the request; the host is the caller's to compare.
    pub fn admits(&self, request: RequestLine<'_>) -> Result<(), Refusal> {
        if let Some(allowed) = &self.methods
            && !allowed.iter().any(|method| method.as_str() == request.method)
        {
            let method = crate::text::harmless(request.method);
            return Err(Refusal::Method {
                host: self.host.clone(),
                method,
                allowed: allowed.clone(),
            });
        }
        let Some(prefixes) = &self.path_allowlist else {
            reading::well_formed(request.path)?;
            return Ok(());
        };
        let covered = |one: &[u8]| prefixes.iter().any(|prefix| prefix.covers(one));
        if reading::every_reading(request.path, covered)? {
            return Ok(());
        }
        let prefixes = prefixes.iter().map(ToString::to_string).collect();
        Err(Refusal::Path {
            host: self.host.clone(),
            prefixes,
        })
    }
}

#[cfg(test)]
mod tests;
