//! `http://_pipelock.local/health`, asked through the proxy: is a seat there, and what does it have in force?
//!
//! No upstream connection; nothing else about that host is special.

use contract::Sha256Hex;
use http::{Method, StatusCode};
use mitm::{Authority, LocalResponse, RequestHead, WayIn};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::policy::CompiledPolicy;

/// The host that the seat answers itself.
pub const HOST: &str = "_pipelock.local";
/// The path of its state.
pub const PATH: &str = "/health";

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always `healthy`: a seat that is not does not answer.
    pub status: String,
    /// The generation in force.
    pub generation: u64,
    /// Hash of the policy in force.
    pub effective_sha256: Sha256Hex,
}

/// Whether a request asks for it.
pub fn is_asked(head: &RequestHead) -> bool {
    let Authority { host, port } = &head.authority;
    head.way_in == WayIn::AbsoluteForm && *port == 80 && host.dns().is_some_and(|name| name.as_str() == HOST)
}

/// The answer.
pub fn answer(policy: &CompiledPolicy, head: &RequestHead) -> LocalResponse {
    if head.method != Method::GET || head.path() != PATH.as_bytes() {
        return answer::json(
            StatusCode::NOT_FOUND,
            &serde_json::json!({"ask": format!("GET {PATH}")}),
        );
    }
    let health = Health {
        status: "healthy".to_owned(),
        generation: policy.generation(),
        effective_sha256: policy.effective_sha256().clone(),
    };
    answer::json(StatusCode::OK, &health)
}
