//! What each approval for good, and the operator's own hand, have made of a host's lasting route: worked out from the audit log and the
//! table in force.
//!
//! By it a revocation takes back what one approval alone granted. The route after it is the one that there would be had the proposal
//! never been approved, and never admits more than the one in force: what the operator has taken out by hand does not come back.
//!
//! An approval says less than it does: without paths it takes whatever the route has, and every path where it brings the host. So what
//! was approved is replayed in its order, not subtracted. Whatever the replay does not explain is the operator's own edit.

use contract::audit::{Asked, AuditEntry, AuditEvent, LastingChange, Outcome};
use contract::{Addition, EnvName, HostName, Method, PathPrefix, ProposalId, Route};
use std::collections::BTreeMap;

/// What one claim says about paths, or about methods.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<T> {
    /// Nothing: all of them where it brings the host, else those that the route has.
    NotAsked,
    /// All of them, by the operator's hand.
    All,
    /// These.
    Only(Vec<T>),
}

/// What one approval, or the operator, wants admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    /// `None`: the manifest, or an edit.
    owner: Option<ProposalId>,
    paths: Part<PathPrefix>,
    methods: Part<Method>,
    token_ref: Option<EnvName>,
}

/// A route's filters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filters {
    paths: Option<Vec<PathPrefix>>,
    methods: Option<Vec<Method>>,
}

/// Every claim on a host's lasting route, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    claims: Vec<Claim>,
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
                        standing.claims.extend(Claim::of(id, asked));
                    }
                }
                _ => {}
            }
        }
        standing.reconcile(present);
        standing
    }

    /// The present route as it would be had this proposal never been approved; `brought` is what that approval made of it. `None` when the
    /// proposal has no claim on it (any more).
    pub fn without(
        &self,
        proposal: &ProposalId,
        present: &Route,
        brought: &LastingChange,
    ) -> Option<Without> {
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
        if brought_it && present.auth == brought.after.auth && !others.asks_for_auth_of(present) {
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
            self.claims.clear();
            return;
        };
        let own = match self.replay() {
            None => Claim {
                owner: None,
                paths: Part::of_filter(actual.path_allowlist.as_deref()),
                methods: Part::of_filter(actual.methods.as_deref()),
                token_ref: None,
            },
            Some(expected) => Claim {
                owner: None,
                paths: reconciled(
                    self.claims.iter_mut().map(|claim| &mut claim.paths),
                    expected.paths.as_deref(),
                    actual.path_allowlist.as_deref(),
                ),
                methods: reconciled(
                    self.claims.iter_mut().map(|claim| &mut claim.methods),
                    expected.methods.as_deref(),
                    actual.methods.as_deref(),
                ),
                token_ref: None,
            },
        };
        if own.paths != Part::NotAsked || own.methods != Part::NotAsked {
            self.claims.push(own);
        }
    }

    fn asks_for_auth_of(&self, route: &Route) -> bool {
        let wanted = route.auth.as_ref().map(|auth| &auth.token_ref);
        self.claims.iter().any(|claim| claim.token_ref.as_ref() == wanted)
    }

    /// What each proposal adds to the ones before it, as far as the route still has it.
    fn additions(&self, route: &Route) -> Vec<Addition> {
        let mut additions = Vec::new();
        for (at, claim) in self.claims.iter().enumerate() {
            let Some(owner) = &claim.owner else { continue };
            let before = Self {
                claims: self.claims.iter().take(at).cloned().collect(),
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
        for path in gone.paths.of_it(route.path_allowlist.as_deref()) {
            let who = by(&|claim, is_first| claim.paths.has(path, is_first));
            stays.push(format!("{}{path}: {who}", route.host));
        }
        for method in gone.methods.of_it(route.methods.as_deref()) {
            let who = by(&|claim, is_first| claim.methods.has(method, is_first));
            stays.push(format!("{method} {}: {who}", route.host));
        }
        if stays.is_empty() && brought_it {
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

impl Claim {
    fn of(id: &ProposalId, asked: &Asked) -> Option<Self> {
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
        })
    }

    fn named(&self) -> String {
        match &self.owner {
            Some(id) => id.to_string(),
            None => "your own routes".to_owned(),
        }
    }
}

impl<T: Clone + PartialEq> Part<T> {
    fn asked(items: &[T]) -> Self {
        match items {
            [] => Self::NotAsked,
            items => Self::Only(items.to_vec()),
        }
    }

    fn of_filter(filter: Option<&[T]>) -> Self {
        filter.map_or(Self::All, |items| Self::Only(items.to_vec()))
    }

    /// The filter of a route that it brings.
    fn brings(&self) -> Option<Vec<T>> {
        match self {
            Self::NotAsked | Self::All => None,
            Self::Only(items) => Some(items.clone()),
        }
    }

    /// What it makes of a filter that is there.
    fn extends(&self, filter: &mut Option<Vec<T>>) {
        match (self, filter) {
            (Self::All, filter) => *filter = None,
            (Self::Only(items), Some(present)) => {
                for item in items {
                    if !present.contains(item) {
                        present.push(item.clone());
                    }
                }
            }
            (Self::NotAsked | Self::Only(_), _) => {}
        }
    }

    /// Whether it wants the item; the first claim, which brings the route, wants everything where it asks for nothing.
    fn has(&self, item: &T, is_first: bool) -> bool {
        match self {
            Self::Only(items) => items.contains(item),
            Self::All => true,
            Self::NotAsked => is_first,
        }
    }

    /// The items of a filter that it names.
    fn of_it<'f>(&self, filter: Option<&'f [T]>) -> impl Iterator<Item = &'f T> {
        let named = |item: &&T| matches!(self, Self::Only(items) if items.contains(item));
        filter.unwrap_or_default().iter().filter(named)
    }

    /// What it adds to a filter, where there is a route already, as far as that is in force.
    fn adds(&self, before: Option<Option<&[T]>>, in_force: Option<&[T]>) -> Vec<T> {
        let (Self::Only(items), Some(Some(before))) = (self, before) else {
            return Vec::new();
        };
        let is_new =
            |item: &&T| !before.contains(item) && in_force.is_some_and(|in_force| in_force.contains(item));
        items.iter().filter(is_new).cloned().collect()
    }

    /// Takes out what a filter has not.
    fn narrow(&mut self, to: &[T]) {
        if let Self::Only(items) = self {
            items.retain(|item| to.contains(item));
        }
    }
}

/// Makes the claims yield the filter that there is, as far as something was taken out; what was added is given back, as the operator's.
fn reconciled<'c, T: Clone + PartialEq + 'c>(
    claims: impl Iterator<Item = &'c mut Part<T>>,
    expected: Option<&[T]>,
    actual: Option<&[T]>,
) -> Part<T> {
    let Some(actual) = actual else {
        return match expected {
            None => Part::NotAsked,
            Some(_) => Part::All,
        };
    };
    for (at, claim) in claims.enumerate() {
        match claim {
            // Whoever had all of it has what is left.
            Part::All => *claim = Part::Only(actual.to_vec()),
            Part::NotAsked if at == 0 => *claim = Part::Only(actual.to_vec()),
            claim => claim.narrow(actual),
        }
    }
    let expected = expected.unwrap_or(actual);
    let added = actual.iter().filter(|item| !expected.contains(item));
    let added: Vec<T> = added.cloned().collect();
    Part::asked(&added)
}

/// What is in both; `None` is everything.
fn narrowed<T: Clone + PartialEq>(present: Option<&Vec<T>>, without: Option<Vec<T>>) -> Option<Vec<T>> {
    match (present, without) {
        (None, without) => without,
        (Some(present), None) => Some(present.clone()),
        (Some(present), Some(without)) => {
            let both = present.iter().filter(|item| without.contains(item));
            Some(both.cloned().collect())
        }
    }
}

#[cfg(test)]
mod tests;
