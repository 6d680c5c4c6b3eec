//! How an approved ask changes the table.
//!
//! An ask widens what it names and nothing else: an unfiltered route stays unfiltered, a filtered one never
//! becomes unfiltered because the ask left a filter out, and a known host keeps its credential.

use crate::{
    Addition, AuthScheme, EnvName, Grant, HostName, Method, PathPrefix, ProposalId, Route, RouteAuth,
    RouteTable, TableError, TokenSlot,
};
use serde::{Deserialize, Serialize};

/// One route as an agent or operator asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteAsk {
    /// The exact host.
    pub host: HostName,
    /// Path prefixes; empty: no filter asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_allowlist: Vec<PathPrefix>,
    /// Methods; empty: no filter asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
    /// The credential to put in, by the operator's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AskedAuth>,
}

/// A credential as an ask names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedAuth {
    /// How it is written into the request.
    pub scheme: AuthScheme,
    /// The operator's own name for it.
    pub token_ref: EnvName,
}

/// The table after an ask, and what the ask did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The table to write.
    pub table: RouteTable,
    /// What changed.
    pub change: Change,
    /// The ask proposed auth for a known host; it was ignored, and the operator is told.
    pub ignored_auth: bool,
    /// A slot that the running guard has no value for.
    pub new_slot: Option<TokenSlot>,
}

/// What an ask did to the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A host that no route knew.
    Appended,
    /// A known host admits more.
    Widened,
    /// The table admitted all of it already.
    Unchanged,
}

/// Why an ask cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// no token slot is free
    #[error("all 65536 token slots are taken; restart the bottle")]
    NoSlotLeft,
    /// the result is not a table
    #[error(transparent)]
    Table(#[from] TableError),
}

impl RouteTable {
    /// Merges an ask for good. The generation is left to the writer.
    pub fn merge(&self, ask: &RouteAsk) -> Result<Merged, MergeError> {
        let Some(known) = self.lasting(&ask.host) else {
            return self.append(ask, None);
        };
        let mut widened = known.clone();
        extend(&mut widened.path_allowlist, &ask.path_allowlist);
        extend(&mut widened.methods, &ask.methods);
        let change = if widened == *known {
            Change::Unchanged
        } else {
            Change::Widened
        };
        let replace = |route: &Route| {
            if std::ptr::eq(route, known) {
                widened.clone()
            } else {
                route.clone()
            }
        };
        let table = self.with_routes(self.routes().iter().map(replace).collect())?;
        Ok(Merged {
            table,
            change,
            ignored_auth: ask.auth.is_some(),
            new_slot: None,
        })
    }

    /// Merges an ask as a grant: a route of its own that ends. For a known host it carries that host's
    /// credential and private network, and a filter that the lasting route has is kept where the ask has none.
    pub fn merge_grant(&self, ask: &RouteAsk, grant: Grant) -> Result<Merged, MergeError> {
        let Some(known) = self.lasting(&ask.host) else {
            return self.append(ask, Some(grant));
        };
        let mut route = known.clone();
        route.added_by = Vec::new();
        narrow(&mut route.path_allowlist, &ask.path_allowlist);
        narrow(&mut route.methods, &ask.methods);
        route.grant = Some(grant);
        let mut routes = self.routes().to_vec();
        routes.push(route);
        let table = self.with_routes(routes)?;
        Ok(Merged {
            table,
            change: Change::Widened,
            ignored_auth: ask.auth.is_some(),
            new_slot: None,
        })
    }

    /// Merges what a proposal asks for, for good or as a grant, and writes down that it did: by that its requests' access events name it.
    pub fn merge_proposal(
        &self,
        proposal: &ProposalId,
        ask: &RouteAsk,
        grant: Option<Grant>,
    ) -> Result<Merged, MergeError> {
        let grant_id = grant.as_ref().map(|grant| grant.grant_id.clone());
        let mut merged = match grant {
            Some(grant) => self.merge_grant(ask, grant)?,
            None => self.merge(ask)?,
        };
        if merged.change == Change::Unchanged {
            return Ok(merged);
        }
        let before = self.lasting(&ask.host).filter(|_| grant_id.is_none());
        let mut routes = merged.table.routes().to_vec();
        let is_it = |route: &&mut Route| {
            let id = route.grant.as_ref().map(|grant| &grant.grant_id);
            route.host == ask.host && id == grant_id.as_ref()
        };
        if let Some(route) = routes.iter_mut().find(is_it) {
            let addition = Addition {
                proposal_id: proposal.clone(),
                path_allowlist: added(before, route, |route| route.path_allowlist.as_deref()),
                methods: added(before, route, |route| route.methods.as_deref()),
            };
            route.added_by.push(addition);
        }
        merged.table = merged.table.with_routes(routes)?;
        Ok(merged)
    }

    fn append(&self, ask: &RouteAsk, grant: Option<Grant>) -> Result<Merged, MergeError> {
        let mut route = Route::bare(ask.host.clone());
        route.path_allowlist = (!ask.path_allowlist.is_empty()).then(|| without_repeats(&ask.path_allowlist));
        route.methods = (!ask.methods.is_empty()).then(|| without_repeats(&ask.methods));
        let mut new_slot = None;
        if let Some(auth) = &ask.auth {
            let token_env = match self.slot_of(&auth.token_ref) {
                Some(slot) => slot,
                None => *new_slot.insert(self.next_slot().ok_or(MergeError::NoSlotLeft)?),
            };
            route.auth = Some(RouteAuth {
                scheme: auth.scheme.clone(),
                token_ref: auth.token_ref.clone(),
                token_env,
            });
        }
        route.grant = grant;
        let mut routes = self.routes().to_vec();
        routes.push(route);
        let table = self.with_routes(routes)?;
        Ok(Merged {
            table,
            change: Change::Appended,
            ignored_auth: false,
            new_slot,
        })
    }

    /// The slot that already holds this credential.
    pub fn slot_of(&self, token_ref: &EnvName) -> Option<TokenSlot> {
        self.auths()
            .find(|auth| auth.token_ref == *token_ref)
            .map(|auth| auth.token_env)
    }

    /// The slot after the highest one in use: slots are never renumbered or reused while a bottle lives.
    pub fn next_slot(&self) -> Option<TokenSlot> {
        match self.auths().map(|auth| auth.token_env.number()).max() {
            None => Some(TokenSlot::new(0)),
            Some(highest) => highest.checked_add(1).map(TokenSlot::new),
        }
    }

    fn auths(&self) -> impl Iterator<Item = &RouteAuth> {
        self.routes().iter().filter_map(|route| route.auth.as_ref())
    }
}

/// What a filter has that the same route's had not before; nothing for a route that was not there.
fn added<T: Clone + PartialEq>(
    before: Option<&Route>,
    after: &Route,
    filter: impl Fn(&Route) -> Option<&[T]>,
) -> Vec<T> {
    let Some(before) = before else { return Vec::new() };
    let known = filter(before).unwrap_or_default();
    let now = filter(after).unwrap_or_default().iter();
    now.filter(|item| !known.contains(item)).cloned().collect()
}

/// Adds what is new after what is there; no filter stays no filter.
fn extend<T: Clone + PartialEq>(filter: &mut Option<Vec<T>>, asked: &[T]) {
    if let Some(present) = filter {
        for item in asked {
            if !present.contains(item) {
                present.push(item.clone());
            }
        }
    }
}

/// For a grant beside a lasting route: what was asked, or the lasting route's own filter.
fn narrow<T: Clone + PartialEq>(filter: &mut Option<Vec<T>>, asked: &[T]) {
    if !asked.is_empty() {
        *filter = Some(without_repeats(asked));
    }
}

fn without_repeats<T: Clone + PartialEq>(items: &[T]) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.contains(item) {
            kept.push(item.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests;
