//! Any approvals of one host, revoked in any order, with edits in between.

use super::*;
use contract::{RouteAsk, RouteTable, Sha256Hex, Slug, Timestamp};
use proptest::prelude::*;

const HOST: &str = "a.example";

fn items<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>(
    names: &[&str],
) -> impl Strategy<Value = Vec<T>> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    proptest::sample::subsequence(names.clone(), 0..names.len())
        .prop_map(|some| some.iter().map(|name| name.parse().unwrap()).collect())
}

fn ask() -> impl Strategy<Value = RouteAsk> {
    (
        items(&["/a/", "/b/", "/a/b/", "/c/"]),
        items(&["GET", "POST", "PUT"]),
    )
        .prop_map(|(path_allowlist, methods)| RouteAsk {
            host: HOST.parse().unwrap(),
            path_allowlist,
            methods,
            auth: None,
        })
}

fn base() -> impl Strategy<Value = Option<Route>> {
    proptest::option::of(ask().prop_map(|ask| filtered(&ask)))
}

fn filtered(ask: &RouteAsk) -> Route {
    let mut route = Route::bare(ask.host.clone());
    route.path_allowlist = (!ask.path_allowlist.is_empty()).then(|| ask.path_allowlist.clone());
    route.methods = (!ask.methods.is_empty()).then(|| ask.methods.clone());
    route
}

/// An audit log in memory, and the route that it led to.
struct Life {
    entries: Vec<AuditEntry>,
    route: Option<Route>,
    lasting: BTreeMap<ProposalId, LastingChange>,
}

impl Life {
    fn of(route: Option<Route>) -> Self {
        Self {
            entries: Vec::new(),
            route,
            lasting: BTreeMap::new(),
        }
    }

    fn note(&mut self, id: Option<&ProposalId>, event: AuditEvent) {
        self.entries.push(AuditEntry {
            schema_version: contract::SCHEMA_VERSION,
            sequence: 0,
            previous_sha256: Sha256Hex::of(b""),
            time: Timestamp::from_millis(0),
            slug: "dev-ab1cd".parse::<Slug>().unwrap(),
            who: contract::audit::Who::Launcher,
            proposal_id: id.cloned(),
            grant_id: None,
            event,
        });
    }

    fn outcome(&mut self, id: Option<&ProposalId>) {
        let now = String::new();
        self.note(
            id,
            AuditEvent::Outcome {
                outcome: Outcome::Applied,
                now,
            },
        );
    }

    fn approve(&mut self, id: &ProposalId, ask: &RouteAsk) {
        let table = RouteTable::new(1, self.route.clone().into_iter().collect()).unwrap();
        let merged = table.merge_proposal(id, ask, None).unwrap().table;
        let change = LastingChange {
            before: self.route.clone(),
            after: merged.lasting(&ask.host).unwrap().clone(),
        };
        self.note(
            Some(id),
            AuditEvent::Proposed {
                tool: "egress-block".to_owned(),
                proposal_sha256: Sha256Hex::of(b""),
                created_at: Timestamp::from_millis(0),
                asked: Asked::Route {
                    host: ask.host.clone(),
                    path_allowlist: ask.path_allowlist.clone(),
                    methods: ask.methods.clone(),
                    token_ref: None,
                },
                justification: String::new(),
                denial_id: None,
            },
        );
        self.note(
            Some(id),
            AuditEvent::Applying {
                changes: Vec::new(),
                lasting: Some(Box::new(change.clone())),
                resumed: false,
            },
        );
        self.outcome(Some(id));
        self.route = Some(change.after.clone());
        self.lasting.insert(id.clone(), change);
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.entries, &HOST.parse().unwrap(), self.route.as_ref())
    }

    fn revoke(&mut self, id: &ProposalId) -> Vec<String> {
        let Some(present) = self.route.clone() else {
            return Vec::new();
        };
        let without = self.standing().without(id, &present);
        let Some(without) = without else {
            return Vec::new();
        };
        let host = present.host.clone();
        let changes = Vec::new();
        self.note(Some(id), AuditEvent::Revoking { host, changes });
        self.outcome(Some(id));
        self.route = without.route;
        without.stays
    }

    fn edit(&mut self, to: &RouteAsk) {
        let Some(route) = &mut self.route else { return };
        let edited = filtered(to);
        (route.path_allowlist, route.methods) = (edited.path_allowlist, edited.methods);
        self.note(None, AuditEvent::Editing { changes: Vec::new() });
        self.outcome(None);
    }
}

fn id(number: usize) -> ProposalId {
    format!("p-{number:08}").parse().unwrap()
}

fn within<T: PartialEq>(some: Option<&Vec<T>>, all: Option<&Vec<T>>) -> bool {
    match (some, all) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(some), Some(all)) => some.iter().all(|item| all.contains(item)),
    }
}

fn admits_no_more(after: Option<&Route>, before: Option<&Route>) -> bool {
    match (after, before) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(after), Some(before)) => {
            within(after.path_allowlist.as_ref(), before.path_allowlist.as_ref())
                && within(after.methods.as_ref(), before.methods.as_ref())
        }
    }
}

proptest! {
    #[test]
    fn a_revocation_never_widens_and_what_live_approvals_asked_for_stays(
        base in base(),
        asks in proptest::collection::vec(ask(), 1..5),
        order in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        count in 1usize..5,
    ) {
        let mut life = Life::of(base.clone());
        for (number, ask) in asks.iter().enumerate() {
            life.approve(&id(number), ask);
        }
        let mut live: Vec<usize> = (0..asks.len()).collect();
        for gone in order.iter().filter(|at| **at < asks.len()).take(count) {
            let before = life.route.clone();
            let stays = life.revoke(&id(*gone));
            if let Some(route) = &life.route {
                let asked = &asks[*gone];
                let admitted = |path: &PathPrefix| {
                    let overlaps = |other: &PathPrefix| other.includes(path) || path.includes(other);
                    route.path_allowlist.as_ref().is_none_or(|paths| paths.iter().any(overlaps))
                };
                let is_admitted = asked.path_allowlist.iter().any(admitted)
                    || asked.path_allowlist.is_empty() && asked.methods.is_empty();
                prop_assert!(!is_admitted || !stays.is_empty(), "{asked:?}: {route:?}");
                prop_assert!(stays.iter().all(|line| !line.ends_with(": ")), "{stays:?}");
            }
            live.retain(|at| at != gone);
            prop_assert!(admits_no_more(life.route.as_ref(), before.as_ref()), "{before:?} to {:?}", life.route);
            for ask in live.iter().map(|at| &asks[*at]) {
                let route = life.route.as_ref();
                prop_assert!(route.is_some(), "{ask:?} is live");
                let route = route.unwrap();
                prop_assert!(within(Some(&ask.path_allowlist), route.path_allowlist.as_ref()), "{ask:?}: {route:?}");
                prop_assert!(within(Some(&ask.methods), route.methods.as_ref()), "{ask:?}: {route:?}");
            }
        }
        if let Some(route) = &life.route {
            let of_live = |id: &ProposalId| live.iter().any(|at| self::id(*at) == *id);
            let granted = life.lasting.iter().filter(|(id, _)| of_live(id));
            let granted: Vec<(&RouteAsk, Option<&Route>)> = granted
                .map(|(id, lasting)| (&asks[id.as_str()[2..].parse::<usize>().unwrap()], lasting.before.as_ref()))
                .collect();
            // What was asked for or, where nothing was, what there was.
            let paths: Vec<Option<&Vec<PathPrefix>>> = granted.iter().map(|(ask, before)| match ask.path_allowlist.is_empty() {
                true => before.and_then(|before| before.path_allowlist.as_ref()),
                false => Some(&ask.path_allowlist),
            }).chain(base.iter().map(|base| base.path_allowlist.as_ref())).collect();
            let methods: Vec<Option<&Vec<Method>>> = granted.iter().map(|(ask, before)| match ask.methods.is_empty() {
                true => before.and_then(|before| before.methods.as_ref()),
                false => Some(&ask.methods),
            }).chain(base.iter().map(|base| base.methods.as_ref())).collect();
            for path in route.path_allowlist.iter().flatten() {
                prop_assert!(paths.iter().any(|some| some.is_none_or(|some| some.contains(path))), "{path}: {granted:?}");
            }
            for method in route.methods.iter().flatten() {
                prop_assert!(methods.iter().any(|some| some.is_none_or(|some| some.contains(method))), "{method}: {granted:?}");
            }
            prop_assert!(route.path_allowlist.is_some() || paths.contains(&None), "{granted:?}");
            prop_assert!(route.methods.is_some() || methods.contains(&None), "{granted:?}");
        }
        if live.is_empty() {
            let filters = |route: &Route| (route.path_allowlist.clone(), route.methods.clone());
            prop_assert_eq!(life.route.as_ref().map(filters), base.as_ref().map(filters));
            prop_assert!(life.route.is_none_or(|route| route.added_by.is_empty()));
        }
    }

    #[test]
    fn whatever_was_edited_in_between_nothing_is_widened_and_no_route_is_broken(
        base in base(),
        steps in proptest::collection::vec((ask(), 0usize..3, 0usize..6), 1..10),
    ) {
        let mut life = Life::of(base);
        for (number, (ask, what, which)) in steps.iter().enumerate() {
            match what {
                0 => life.approve(&id(number), ask),
                1 => life.edit(ask),
                _ => {
                    let known: Vec<ProposalId> = life.lasting.keys().cloned().collect();
                    let Some(gone) = known.get(*which) else { continue };
                    let before = life.route.clone();
                    life.revoke(gone);
                    prop_assert!(admits_no_more(life.route.as_ref(), before.as_ref()));
                    let standing = life.standing();
                    prop_assert!(!standing.claims.iter().any(|claim| claim.owner.as_ref() == Some(gone)));
                }
            }
            prop_assert!(RouteTable::new(1, life.route.clone().into_iter().collect()).is_ok());
        }
    }
}
