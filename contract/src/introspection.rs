//! The live table: what egress answers at `http://_egress.local/allowlist`. Never holds a value of a credential.

use crate::{AuthScheme, GrantId, HostName, Method, PathPrefix, Route, Sha256Hex, Timestamp, TokenSlot};
use serde::{Deserialize, Serialize};

/// The routes in force, in the order of declaration, without grants that have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveTable {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The generation in force.
    pub generation: u64,
    /// Hash of the policy in force, as in [`crate::Applied::effective_sha256`].
    pub policy_sha256: Sha256Hex,
    /// The routes.
    pub routes: Vec<LiveRoute>,
}

/// One route, as far as the agent may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveRoute {
    /// The exact host.
    pub host: HostName,
    /// Admitted path prefixes; absent: every path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_allowlist: Option<Vec<PathPrefix>>,
    /// Admitted methods; absent: every method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    /// How egress writes its credential; absent: it injects none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_scheme: Option<AuthScheme>,
    /// The guard's variable that holds the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<TokenSlot>,
    /// The grant, for a permission that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// It admits one request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

impl From<&Route> for LiveRoute {
    fn from(route: &Route) -> Self {
        let grant = route.grant.as_ref();
        Self {
            host: route.host.clone(),
            path_allowlist: route.path_allowlist.clone(),
            methods: route.methods.clone(),
            auth_scheme: route.auth.as_ref().map(|auth| auth.scheme.clone()),
            token_env: route.auth.as_ref().map(|auth| auth.token_env),
            grant_id: grant.map(|grant| grant.grant_id.clone()),
            expires_at: grant.and_then(|grant| grant.expires_at),
            once: grant.is_some_and(|grant| grant.once),
        }
    }
}
