//! Whether a request that was admitted is so still: asked again right before it is sent, and at every reload until it is over.
//!
//! Between admission and the first byte upstream lie a grant's fsync, a body that is held, a connection that is waited
//! for; a revocation that was acknowledged meanwhile must hold. Nothing is spent here a second time, and nothing is rewritten:
//! where another route, or the same with another credential or way out, would admit the request now, it is refused,
//! for its headers were made for the old one.

use std::sync::Arc;

use arc_swap::ArcSwap;
use contract::{Grant, RequestLine, Route};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use mitm::{RequestHead, Upstream};

use crate::grants::Grants;
use crate::overrides;
use crate::policy::{Admitting, CompiledPolicy};
use crate::refused::Refused;
use ::guard::clock::Now;

/// One admitted request, and by what.
#[derive(Debug)]
pub struct Standing {
    policy: Arc<ArcSwap<CompiledPolicy>>,
    grants: Arc<Grants>,
    decided_by: Arc<CompiledPolicy>,
    route: Arc<Route>,
    upstream: Arc<Upstream>,
    method: Method,
    target: PathAndQuery,
    /// Those of its headers that name another method or path.
    overrides: HeaderMap,
}

// === impl Standing ===

impl Standing {
    /// For a request that a route of the policy `decided_by` admitted, its grant spent if it has one use. `policy` is where
    /// the policy in force is found; `headers` are those that will be sent.
    pub fn new(
        policy: Arc<ArcSwap<CompiledPolicy>>,
        grants: Arc<Grants>,
        decided_by: Arc<CompiledPolicy>,
        admitting: Admitting<'_>,
        head: &RequestHead,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            policy,
            grants,
            decided_by,
            route: admitting.prepared.route.clone(),
            upstream: admitting.prepared.upstream.clone(),
            method: head.method.clone(),
            target: head.target.clone(),
            overrides: overrides::of(headers),
        }
    }

    /// Asks again.
    pub fn check(&mut self) -> Result<(), Refused> {
        let now = self.policy.load();
        if !Arc::ptr_eq(&now, &self.decided_by) {
            self.route = self.judge_again(&now)?;
            self.decided_by = Arc::clone(&now);
        }
        match &self.route.grant {
            Some(grant) if !self.holds(grant) => Err(Refused::grant_ended(&self.route, grant)),
            _ => Ok(()),
        }
    }

    /// A single use is one request, also when nobody knows whether it arrived.
    pub fn may_be_repeated(&self) -> bool {
        !self.route.grant.as_ref().is_some_and(|grant| grant.once)
    }

    fn judge_again(&self, now: &CompiledPolicy) -> Result<Arc<Route>, Refused> {
        let line = RequestLine {
            host: &self.route.host,
            method: self.method.as_str(),
            path: self.target.path().as_bytes(),
        };
        let route = now
            .table()
            .decide(line, |grant| self.holds(grant))
            .map_err(Refused::NoRoute)?;
        let query = self.target.query().map(str::as_bytes);
        overrides::judge(route, line, query, &self.overrides).map_err(Refused::NoRoute)?;
        let new = now
            .admitting(route)
            .filter(|new| Arc::ptr_eq(&new.prepared.upstream, &self.upstream));
        // Another single use was not spent for this request.
        let other_use =
            route.grant.as_ref().is_some_and(|grant| grant.once) && route.grant != self.route.grant;
        let same = !other_use
            && route.auth == self.route.auth
            && route.agent_credentials == self.route.agent_credentials;
        match new {
            Some(new) if same => Ok(new.prepared.route.clone()),
            _ => Err(Refused::RouteChanged(self.route.host.clone())),
        }
    }

    /// The grant that this request spent holds for it.
    fn holds(&self, grant: &Grant) -> bool {
        if grant.once && self.route.grant.as_ref() == Some(grant) {
            self.grants.holds_for_its_use(grant, Now::read())
        } else {
            self.grants.holds(grant, Now::read())
        }
    }
}
