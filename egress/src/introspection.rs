//! `http://_egress.local/allowlist`: the live table, for an agent that wants to know before it tries.
//!
//! Answered here, without any upstream, and only as plain absolute-form HTTP; nothing else about the host is special.

use contract::place::{INTROSPECTION_HOST, INTROSPECTION_PATH};
use contract::{Grant, LiveRoute, LiveTable, SCHEMA_VERSION};
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use mitm::{Authority, LocalResponse};
use serde::Serialize;

use crate::answer;
use crate::policy::CompiledPolicy;

/// What the rule of an access event says when introspection answered.
pub const RULE: &str = "introspection";

#[derive(Serialize)]
struct Problem {
    message: String,
}

/// Whether a plain request goes to the live table's host.
pub fn is_asked(authority: &Authority) -> bool {
    authority.port == 80
        && authority
            .host
            .dns()
            .is_some_and(|name| name.as_str() == INTROSPECTION_HOST)
}

/// Answers a request for [`INTROSPECTION_HOST`]. `holds` says which grants still do.
pub fn answer(
    policy: &CompiledPolicy,
    method: &Method,
    path: &[u8],
    holds: impl Fn(&Grant) -> bool,
) -> LocalResponse {
    if path != INTROSPECTION_PATH.as_bytes() {
        let message =
            format!("egress: there is only http://{INTROSPECTION_HOST}{INTROSPECTION_PATH} on this host");
        return answer::json(StatusCode::NOT_FOUND, &Problem { message });
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let message = "egress: the live table can only be read, with GET".to_owned();
        let mut refused = answer::json(StatusCode::METHOD_NOT_ALLOWED, &Problem { message });
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    answer::json(StatusCode::OK, &live_table(policy, holds))
}

/// The table as the agent may see it.
pub fn live_table(policy: &CompiledPolicy, holds: impl Fn(&Grant) -> bool) -> LiveTable {
    let live = policy
        .table()
        .routes()
        .iter()
        .filter(|route| route.grant.as_ref().is_none_or(&holds));
    LiveTable {
        schema_version: SCHEMA_VERSION,
        generation: policy.table().generation,
        policy_sha256: policy.effective_sha256().clone(),
        routes: live.map(LiveRoute::from).collect(),
    }
}
