//! Arbitrary values for this crate's property tests: few names, so that they meet often.

use crate::merge::AskedAuth;
use crate::{
    AgentCredentials, AuthScheme, Grant, HostName, Method, PathPrefix, Route, RouteAsk, RouteAuth,
    RouteTable, Timestamp, TokenSlot,
};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn host() -> impl Strategy<Value = HostName> {
    select(vec![
        "a.example",
        "b.example",
        "c.example",
        "xn--bcher-kva.example",
    ])
    .prop_map(|host| host.parse().unwrap())
}

fn paths(least: usize) -> impl Strategy<Value = Vec<PathPrefix>> {
    subsequence(vec!["/a/", "/b/", "/c", "/p/%40scope/"], least..=4)
        .prop_map(|paths| paths.into_iter().map(|path| path.parse().unwrap()).collect())
}

fn methods(least: usize) -> impl Strategy<Value = Vec<Method>> {
    subsequence(vec!["GET", "POST", "PUT", "PROPFIND"], least..=4).prop_map(|methods| {
        methods
            .into_iter()
            .map(|method| method.parse().unwrap())
            .collect()
    })
}

fn scheme() -> impl Strategy<Value = AuthScheme> {
    select(vec!["Bearer", "token", "Basic", "header:x-api-key"]).prop_map(|scheme| scheme.parse().unwrap())
}

prop_compose! {
    fn auth()(scheme in scheme(), number in 0u16..3) -> RouteAuth {
        RouteAuth { scheme, token_ref: format!("TOKEN_{number}").parse().unwrap(), token_env: TokenSlot::new(number) }
    }
}

prop_compose! {
    fn grant()(id in "g-[0-9a-z]{8,12}", millis in option::of(0i64..4_000_000_000_000), once in any::<bool>()) -> Grant {
        Grant {
            grant_id: id.parse().unwrap(),
            expires_at: millis.map(Timestamp::from_millis),
            once: once || millis.is_none(),
        }
    }
}

prop_compose! {
    /// Any route that is valid by itself.
    pub(crate) fn route()(
        host in host(),
        path_allowlist in option::of(paths(1)),
        methods in option::of(methods(1)),
        auth in option::of(auth()),
        cidr in option::of(select(vec!["10.1.2.0/24", "fd12:3456::/32"])),
        allow in any::<bool>(),
        inspect in any::<bool>(),
        grant in option::weighted(0.3, grant()),
    ) -> Route {
        let agent_credentials = if allow && auth.is_none() { AgentCredentials::Allow } else { AgentCredentials::Refuse };
        let private_cidr = cidr.map(|cidr| cidr.parse().unwrap());
        Route { host, path_allowlist, methods, auth, private_cidr, agent_credentials, inspect, grant, added_by: Vec::new() }
    }
}

/// Any valid table.
pub(crate) fn table() -> impl Strategy<Value = RouteTable> {
    (any::<u64>(), proptest::collection::vec(route(), 0..6)).prop_map(|(generation, routes)| {
        let mut kept = RouteTable::new(generation, Vec::new()).unwrap();
        for route in routes {
            let mut more = kept.routes().to_vec();
            more.push(route);
            kept = RouteTable::new(generation, more).unwrap_or(kept);
        }
        kept
    })
}

prop_compose! {
    /// Any ask.
    pub(crate) fn ask()(
        host in host(),
        path_allowlist in paths(0),
        methods in methods(0),
        scheme in option::of(scheme()),
        number in 0u16..5,
    ) -> RouteAsk {
        let auth = scheme.map(|scheme| AskedAuth { scheme, token_ref: format!("TOKEN_{number}").parse().unwrap() });
        RouteAsk { host, path_allowlist, methods, auth }
    }
}
