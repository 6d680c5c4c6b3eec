//! The one code path by which every request is decided, whatever the way in: host, method, path, agent credentials, tripwire,
//! injection.
//!
//! Pure: it opens nothing, waits for nothing and writes nothing but the headers it is handed. Spending a single-use
//! grant is left to the caller, after everything else has said yes.

use ::guard::shown::Hides as _;
use contract::matcher::Refusal as NoRoute;
use contract::{Grant, HostName, RequestLine};
use http::{HeaderMap, Method};
use mitm::{Authority, Host};

use crate::git_push::{self, GitUse};
use crate::policy::{Admitting, CompiledPolicy};
use crate::refused::Refused;
use crate::{agent_credentials, overrides};

/// A request's head, as far as policy speaks of it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Where it goes.
    pub authority: &'a Authority,
    /// It came through CONNECT and TLS.
    pub tunnel: bool,
    /// The method as sent.
    pub method: &'a Method,
    /// Path and query as sent.
    pub target: &'a [u8],
    /// The target up to its query.
    pub path: &'a [u8],
    /// The query.
    pub query: Option<&'a [u8]>,
}

/// A request may go on; its headers carry what the route injects.
#[derive(Debug)]
pub struct Allowed<'p> {
    /// The route that admits it.
    pub admitting: Admitting<'p>,
    /// It is an LFS batch call: its body must ask for downloads only.
    pub lfs_batch: bool,
}

/// A request may not go on.
#[derive(Debug)]
pub struct NotAllowed {
    /// Why.
    pub refused: Refused,
    /// The host's routes admit the path; asking for it again would say nothing.
    pub path_admitted: bool,
}

impl From<Refused> for NotAllowed {
    fn from(refused: Refused) -> Self {
        Self {
            refused,
            path_admitted: false,
        }
    }
}

/// Decides by host and port alone, as is done at a CONNECT. Gives the host as the table spells it.
pub fn judge_authority<'p>(
    policy: &'p CompiledPolicy,
    authority: &Authority,
    tunnel: bool,
) -> Result<&'p HostName, Refused> {
    let Host::Dns(name) = &authority.host else {
        return Err(Refused::IpLiteral);
    };
    if authority.port != (if tunnel { 443 } else { 80 }) {
        let port = authority.port;
        return Err(Refused::Port { port, tunnel });
    }
    match policy.table().known_host(name.as_str()) {
        Some(host) => Ok(host),
        None if policy.tripwire().hides(name.as_str().as_bytes()) => Err(Refused::CredentialInRequest),
        None => match name.as_str().parse() {
            Ok(host) => Err(Refused::NoRoute(NoRoute::Host(host))),
            Err(_) => Err(Refused::IpLiteral),
        },
    }
}

/// Decides a request. `holds` says of a grant whether it still does.
pub fn judge<'p>(
    policy: &'p CompiledPolicy,
    asked: Asked<'_>,
    headers: &mut HeaderMap,
    holds: impl Fn(&Grant) -> bool,
) -> Result<Allowed<'p>, NotAllowed> {
    let host = judge_authority(policy, asked.authority, asked.tunnel)?;
    let line = RequestLine {
        host,
        method: asked.method.as_str(),
        path: asked.path,
    };
    // A path that no one can read is told so by the matcher, or here where the route filters no path.
    let git = git_push::classify(asked.method, asked.path, asked.query, headers);
    let route = match policy.table().decide(line, &holds) {
        Ok(route) => route,
        Err(why) => return Err(no_route(policy, line, why, git.unwrap_or(GitUse::Other))),
    };
    let git = git.map_err(|problem| Refused::NoRoute(problem.into()))?;
    if matches!(git, GitUse::Push | GitUse::LfsWrite) {
        return Err(Refused::UseGitGate.into());
    }
    overrides::judge(route, line, asked.query, headers).map_err(Refused::NoRoute)?;
    overrides::strip_forwarding(headers);
    if route.auth.is_some() && !asked.tunnel {
        return Err(Refused::PlainHttpWithAuth.into());
    }
    let Some(admitting) = policy.admitting(route) else {
        return Err(Refused::NoRoute(NoRoute::Host(host.clone())).into());
    };
    let injection = admitting.prepared.injection.as_ref();
    agent_credentials::judge(route, injection.map(|injection| &injection.name), headers)
        .map_err(Refused::AgentCredential)?;
    if carries_credential(policy, &asked, headers) {
        return Err(Refused::CredentialInRequest.into());
    }
    if let Some(injection) = injection {
        headers.insert(injection.name.clone(), injection.value.clone());
    }
    Ok(Allowed {
        admitting,
        lfs_batch: git == GitUse::LfsBatch,
    })
}

/// No route admits it. What is a push is told so even when the path is not admitted either: a wider route would not help.
fn no_route(policy: &CompiledPolicy, line: RequestLine<'_>, why: NoRoute, git: GitUse) -> NotAllowed {
    let would_not_help = matches!(git, GitUse::Push | GitUse::LfsWrite);
    if would_not_help && matches!(why, NoRoute::Method { .. } | NoRoute::Path { .. }) {
        return Refused::UseGitGate.into();
    }
    let path_admitted = policy.table().routes_of(line.host).any(|route| {
        let any_method = contract::Route {
            methods: None,
            ..route.clone()
        };
        any_method.admits(line).is_ok()
    });
    NotAllowed {
        refused: Refused::NoRoute(why),
        path_admitted,
    }
}

/// Whether a credential that egress injects stands anywhere in the head. The headers are the agent's own still.
fn carries_credential(policy: &CompiledPolicy, asked: &Asked<'_>, headers: &HeaderMap) -> bool {
    let line = [asked.target, asked.method.as_str().as_bytes()];
    policy.tripwire().finds_in_any(line) || policy.tripwire().finds_in_fields(headers)
}
