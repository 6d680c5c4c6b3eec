//! What each approval for good, and the operator's own hand, have made of a host's lasting route: worked out from the audit log and the
//! table in force.
//!
//! By it a revocation takes back what one approval alone granted. The route after it is the one that there would be had the proposal
//! never been approved, and never admits more than the one in force: what the operator has taken out by hand does not come back.
//!
//! An approval says less than it does: without paths it takes whatever the route has, and every path where it brings the host. So what
//! was approved is replayed in its order, not subtracted. Whatever the replay does not explain is the operator's own edit.

mod part;

use contract::audit::{Asked, AuditEntry, AuditEvent, LastingChange, Outcome};
use contract::{Addition, EnvName, HostName, Method, PathPrefix, ProposalId, Route, RouteAuth};
use part::{Part, narrowed, reconciled};
use std::collections::BTreeMap;

/// What one approval, or the operator, wants admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    /// `None`: the manifest, or an edit.
    owner: Option<ProposalId>,
    paths: Part<PathPrefix>,
    methods: Part<Method>,
    token_ref: Option<EnvName>,
    /// The filters of the route that it was approved with, as far as nothing was taken out of them since: what it has of what it did not
    /// ask for, should it be the first one left.
    found: Filters,
}

/// A route's filters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Filters {
    paths: Option<Vec<PathPrefix>>,
    methods: Option<Vec<Method>>,
}

/// Every claim on a host's lasting route, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    claims: Vec<Claim>,
    /// The credential that came with the approval that brought the host.
    auth: Option<RouteAuth>,
}

/// The route without one approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Without {
    /// `None`: nothing of it stays.
    pub route: Option<Route>,
    /// What that approval granted and others grant, too, with who does; for the operator.
    pub stays: Vec<String>,
}

impl Standing {
    /// Of a host, by its audit log and its lasting route in force.
    pub fn of(entries: &[AuditEntry], host: &HostName, present: Option<&Route>) -> Self {
        let mut standing = Self::default();
        let mut asked: BTreeMap<&ProposalId, &Asked> = BTreeMap::new();
        let mut applying: BTreeMap<&ProposalId, &LastingChange> = BTreeMap::new();
        let mut open = None;
        for entry in entries {
            if let AuditEvent::Editing { .. } | AuditEvent::Revoking { .. } = &entry.event {
                open = Some(entry);
                continue;
            }
            let outcome = match &entry.event {
                AuditEvent::Outcome { outcome, .. } => Some(*outcome != Outcome::Failed),
                _ => None,
            };
            if let (Some(applied), Some(begun)) = (outcome, outcome.and_then(|_| open.take())) {
                if let (true, AuditEvent::Revoking { .. }) = (applied, &begun.event) {
                    standing.forget(begun.proposal_id.as_ref());
                }
                continue;
            }
            let Some(id) = &entry.proposal_id else { continue };
            match &entry.event {
                AuditEvent::Proposed { asked: what, .. }
                | AuditEvent::Decided {
                    approved: Some(what), ..
                } => drop(asked.insert(id, what)),
                // The first one says what there was before.
                AuditEvent::Applying {
                    lasting: Some(lasting),
                    resumed,
                    ..
                } if lasting.after.host == *host && (!resumed || !applying.contains_key(id)) => {
                    applying.insert(id, lasting);
                }
                AuditEvent::Outcome { .. } if outcome == Some(true) => {
                    if let (Some(lasting), Some(asked)) = (applying.remove(id), asked.get(id)) {
                        standing.reconcile(lasting.before.as_ref());
                        if standing.claims.is_empty() {
                            standing.auth = lasting.after.auth.clone();
                        }
                        let claim = Claim::of(id, asked, lasting.before.as_ref());
                        standing.claims.extend(claim);
                    }
                }
                _ => {}
            }
        }
        standing.reconcile(present);
        standing
    }

    /// The present route as it would be had this proposal never been approved. `None` when the proposal has no claim on it (any more).
    pub fn without(&self, proposal: &ProposalId, present: &Route) -> Option<Without> {
        let is_it = |claim: &&Claim| claim.owner.as_ref() == Some(proposal);
        let gone = self.claims.iter().find(is_it)?;
        let mut others = self.clone();
        others.forget(Some(proposal));
        let Some(filters) = others.replay() else {
            return Some(Without::nothing());
        };
        let paths = narrowed(present.path_allowlist.as_ref(), filters.paths);
        let methods = narrowed(present.methods.as_ref(), filters.methods);
        if paths.as_ref().is_some_and(Vec::is_empty) || methods.as_ref().is_some_and(Vec::is_empty) {
            return Some(Without::nothing());
        }
        let mut route = present.clone();
        (route.path_allowlist, route.methods) = (paths, methods);
        let brought_it = self.claims.first() == Some(gone);
        // Of several that asked for it, any one may be the last.
        let asked_for_it = gone.token_ref.is_some() && gone.token_ref.as_ref() == token_ref(present);
        if asked_for_it && present.auth == self.auth && !others.asks_for_auth_of(present) {
            route.auth = None;
        }
        route.added_by = others.additions(&route);
        let stays = others.stays(gone, brought_it, &route);
        Some(Without {
            route: Some(route),
            stays,
        })
    }

    fn forget(&mut self, proposal: Option<&ProposalId>) {
        self.claims
            .retain(|claim| claim.owner.is_none() || claim.owner.as_ref() != proposal);
        if let Some(first) = self.claims.first_mut() {
            first.paths.settle(first.found.paths.as_deref());
            first.methods.settle(first.found.methods.as_deref());
        }
    }

    /// The filters that the claims make; `None` without any claim.
    fn replay(&self) -> Option<Filters> {
        let (first, rest) = self.claims.split_first()?;
        let mut filters = Filters {
            paths: first.paths.brings(),
            methods: first.methods.brings(),
        };
        for claim in rest {
            claim.paths.extends(&mut filters.paths);
            claim.methods.extends(&mut filters.methods);
        }
        Some(filters)
    }

    /// Takes what the claims do not explain for the operator's own doing.
    fn reconcile(&mut self, actual: Option<&Route>) {
        let Some(actual) = actual else {
            *self = Self::default();
            return;
        };
        let (paths, methods) = (actual.path_allowlist.as_deref(), actual.methods.as_deref());
        let (paths, methods) = match self.replay() {
            None => (Part::of_filter(paths), Part::of_filter(methods)),
            Some(expected) => (
                reconciled(
                    self.claims.iter_mut().map(|claim| &mut claim.paths),
                    expected.paths.as_deref(),
                    paths,
                ),
                reconciled(
                    self.claims.iter_mut().map(|claim| &mut claim.methods),
                    expected.methods.as_deref(),
                    methods,
                ),
            ),
        };
        let own = Claim {
            owner: None,
            paths,
            methods,
            token_ref: None,
            found: Filters::of(actual),
        };
        for claim in &mut self.claims {
            claim.found.narrow(actual);
        }
        if own.paths != Part::NotAsked || own.methods != Part::NotAsked {
            self.claims.push(own);
        }
    }

    fn asks_for_auth_of(&self, route: &Route) -> bool {
        let wanted = token_ref(route);
        self.claims.iter().any(|claim| claim.token_ref.as_ref() == wanted)
    }

    /// What each proposal adds to the ones before it, as far as the route still has it.
    fn additions(&self, route: &Route) -> Vec<Addition> {
        let mut additions = Vec::new();
        for (at, claim) in self.claims.iter().enumerate() {
            let Some(owner) = &claim.owner else { continue };
            let before = Self {
                claims: self.claims.iter().take(at).cloned().collect(),
                auth: None,
            };
            let before = before.replay();
            let addition = Addition {
                proposal_id: owner.clone(),
                path_allowlist: claim.paths.adds(
                    before.as_ref().map(|filters| filters.paths.as_deref()),
                    route.path_allowlist.as_deref(),
                ),
                methods: claim.methods.adds(
                    before.as_ref().map(|filters| filters.methods.as_deref()),
                    route.methods.as_deref(),
                ),
            };
            let adds = !addition.path_allowlist.is_empty() || !addition.methods.is_empty();
            if before.is_none() || adds {
                additions.push(addition);
            }
        }
        additions
    }

    /// What the claim that goes granted and the route still has, and by whom.
    fn stays(&self, gone: &Claim, brought_it: bool, route: &Route) -> Vec<String> {
        let by = |has: &dyn Fn(&Claim, bool) -> bool| {
            let claims = self.claims.iter().enumerate();
            let who = claims.filter(|(at, claim)| has(claim, *at == 0));
            let mut who: Vec<String> = who.map(|(_, claim)| claim.named()).collect();
            who.dedup();
            who.join(", ")
        };
        let mut stays = Vec::new();
        for path in gone
            .paths
            .admitted_by(route.path_allowlist.as_deref(), PathPrefix::includes)
        {
            let who = by(&|claim, is_first| claim.paths.has(path, PathPrefix::includes, is_first));
            stays.push(format!("{}{path}: {who}", route.host));
        }
        for method in gone.methods.admitted_by(route.methods.as_deref(), Method::eq) {
            let who = by(&|claim, is_first| claim.methods.has(method, Method::eq, is_first));
            stays.push(format!("{method} {}: {who}", route.host));
        }
        let asked_for_nothing = gone.paths == Part::NotAsked && gone.methods == Part::NotAsked;
        if stays.is_empty() && (brought_it || asked_for_nothing) {
            stays.push(format!("{}: {}", route.host, by(&|_, _| true)));
        }
        stays
    }
}

impl Without {
    fn nothing() -> Self {
        Self {
            route: None,
            stays: Vec::new(),
        }
    }
}

impl Filters {
    fn of(route: &Route) -> Self {
        Self {
            paths: route.path_allowlist.clone(),
            methods: route.methods.clone(),
        }
    }

    fn narrow(&mut self, to: &Route) {
        self.paths = narrowed(self.paths.as_ref(), to.path_allowlist.clone());
        self.methods = narrowed(self.methods.as_ref(), to.methods.clone());
    }
}

impl Claim {
    fn of(id: &ProposalId, asked: &Asked, before: Option<&Route>) -> Option<Self> {
        let Asked::Route {
            path_allowlist,
            methods,
            token_ref,
            ..
        } = asked
        else {
            return None;
        };
        Some(Self {
            owner: Some(id.clone()),
            paths: Part::asked(path_allowlist),
            methods: Part::asked(methods),
            token_ref: token_ref.clone(),
            found: before.map(Filters::of).unwrap_or_default(),
        })
    }

    fn named(&self) -> String {
        match &self.owner {
            Some(id) => id.to_string(),
            None => "your own routes".to_owned(),
        }
    }
}

fn token_ref(route: &Route) -> Option<&EnvName> {
    route.auth.as_ref().map(|auth| &auth.token_ref)
}

#[cfg(test)]
mod tests;
