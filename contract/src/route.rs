//! One route: a host that the agent may reach, how, and with which credential.

use crate::{GrantId, HostName, Method, PathPrefix, ProposalId, RequestLine, RouteAuth, Timestamp};
use serde::{Deserialize, Serialize};

/// Where the agent may go. Rendered in `routes.yaml`, matched by [`crate::RouteTable::decide`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RouteFields", into = "RouteFields")]
pub struct Route {
    /// The exact host.
    pub host: HostName,
    /// Admitted path prefixes, at least one; absent: every path.
    pub path_allowlist: Option<Vec<PathPrefix>>,
    /// Admitted methods, at least one; absent: every method that is forwarded at all.
    pub methods: Option<Vec<Method>>,
    /// The credential that egress puts in.
    pub auth: Option<RouteAuth>,
    /// The one private network in which this host may resolve.
    pub private_cidr: Option<ipnet::IpNet>,
    /// What happens to credentials that the agent itself sends.
    pub agent_credentials: AgentCredentials,
    /// `false`: the seat tunnels this host without looking inside (the model API).
    pub inspect: bool,
    /// Present: a permission that ends.
    pub grant: Option<Grant>,
    /// What approved proposals made of it for good, in their order. It admits nothing by itself: it says for an access event which
    /// proposal a request goes back to.
    pub added_by: Vec<Addition>,
}

/// What one approved proposal added to a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addition {
    /// The proposal.
    pub proposal_id: ProposalId,
    /// Path prefixes that the route had not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_allowlist: Vec<PathPrefix>,
    /// Methods that it had not. Neither: the proposal brought the route itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<Method>,
}

impl Route {
    /// A route that admits everything on one host: the manifest's bare pass.
    pub fn bare(host: HostName) -> Self {
        Self {
            host,
            path_allowlist: None,
            methods: None,
            auth: None,
            private_cidr: None,
            agent_credentials: AgentCredentials::Refuse,
            inspect: true,
            grant: None,
            added_by: Vec::new(),
        }
    }

    /// The proposal to which a request goes back that this route admits: the newest without which it would not.
    pub fn proposal_of(&self, request: RequestLine<'_>) -> Option<&ProposalId> {
        let mut without = self.clone();
        for addition in self.added_by.iter().rev() {
            if addition.path_allowlist.is_empty() && addition.methods.is_empty() {
                return Some(&addition.proposal_id);
            }
            remove(&mut without.path_allowlist, &addition.path_allowlist);
            remove(&mut without.methods, &addition.methods);
            if without.admits(request).is_err() {
                return Some(&addition.proposal_id);
            }
        }
        None
    }
}

fn remove<T: PartialEq>(filter: &mut Option<Vec<T>>, added: &[T]) {
    if let Some(filter) = filter {
        filter.retain(|item| !added.contains(item));
    }
}

/// What a route looks like in a file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteFields {
    host: HostName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_allowlist: Option<Vec<PathPrefix>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    methods: Option<Vec<Method>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth: Option<RouteAuth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    private_cidr: Option<ipnet::IpNet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_credentials: Option<AgentCredentials>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inspect: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant_id: Option<GrantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added_by: Vec<Addition>,
}

/// Why the fields of a route do not make one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// a filter that admits nothing
    #[error(
        "route {0}: `{1}` is an empty list, which would admit nothing; leave the field out to admit everything"
    )]
    EmptyFilter(HostName, &'static str),
    /// an end without a grant
    #[error("route {0}: `expires_at` and `once` belong to a grant; give it a `grant_id`")]
    EndWithoutGrant(HostName),
    /// a grant without an end
    #[error(
        "route {0}: the grant {1} has neither `expires_at` nor `once: true`; without an end it is not a grant"
    )]
    GrantWithoutEnd(HostName, GrantId),
    /// the credential would travel beside a look-alike of the agent's own
    #[error(
        "route {0}: `agent_credentials: allow` and `auth` exclude each other; egress replaces what the agent sends"
    )]
    TwoCredentials(HostName),
    /// a private network that is the whole address space
    #[error(
        "route {0}: private_cidr {1} is not a private network; write the network the host lives in, such as 10.1.2.0/24"
    )]
    WholeAddressSpace(HostName, ipnet::IpNet),
}

impl TryFrom<RouteFields> for Route {
    type Error = RouteError;
    fn try_from(fields: RouteFields) -> Result<Self, RouteError> {
        let grant = match (fields.grant_id, fields.expires_at, fields.once.unwrap_or(false)) {
            (None, None, false) => None,
            (None, _, _) => return Err(RouteError::EndWithoutGrant(fields.host)),
            (Some(id), None, false) => return Err(RouteError::GrantWithoutEnd(fields.host, id)),
            (Some(grant_id), expires_at, once) => Some(Grant {
                grant_id,
                expires_at,
                once,
            }),
        };
        let route = Self {
            host: fields.host,
            path_allowlist: fields.path_allowlist,
            methods: fields.methods,
            auth: fields.auth,
            private_cidr: fields.private_cidr,
            agent_credentials: fields.agent_credentials.unwrap_or_default(),
            inspect: fields.inspect.unwrap_or(true),
            grant,
            added_by: fields.added_by,
        };
        route.check()?;
        Ok(route)
    }
}

impl Route {
    /// What no single field can say about itself.
    pub fn check(&self) -> Result<(), RouteError> {
        let host = || self.host.clone();
        if self.path_allowlist.as_ref().is_some_and(Vec::is_empty) {
            return Err(RouteError::EmptyFilter(host(), "path_allowlist"));
        }
        if self.methods.as_ref().is_some_and(Vec::is_empty) {
            return Err(RouteError::EmptyFilter(host(), "methods"));
        }
        if self.auth.is_some() && self.agent_credentials == AgentCredentials::Allow {
            return Err(RouteError::TwoCredentials(host()));
        }
        match self.private_cidr {
            Some(cidr) if !is_private(&cidr) => Err(RouteError::WholeAddressSpace(host(), cidr)),
            _ => Ok(()),
        }
    }
}

/// RFC 1918, RFC 6598 (shared address space) and RFC 4193 networks: where a company's own hosts live. Loopback and link-local
/// (cloud metadata) are in none of them, and can so never be opened by a route.
fn is_private(cidr: &ipnet::IpNet) -> bool {
    const PRIVATE: [&str; 5] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
    ];
    let within = |net: &str| net.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(cidr));
    PRIVATE.iter().any(|net| within(net)) && !METADATA.iter().any(|net| within(net))
}

/// Networks of nothing but instance metadata inside private space: AWS, Google, Alibaba. (A wider network that holds one of them
/// is accepted; the dialler refuses these addresses whatever is permitted.)
const METADATA: [&str; 3] = ["fd00:ec2::/32", "fd20:ce::/32", "100.100.100.200/32"];

impl From<Route> for RouteFields {
    fn from(route: Route) -> Self {
        let (grant_id, expires_at, once) = match route.grant {
            Some(grant) => (Some(grant.grant_id), grant.expires_at, grant.once.then_some(true)),
            None => (None, None, None),
        };
        Self {
            host: route.host,
            path_allowlist: route.path_allowlist,
            methods: route.methods,
            auth: route.auth,
            private_cidr: route.private_cidr,
            agent_credentials: (route.agent_credentials == AgentCredentials::Allow)
                .then_some(route.agent_credentials),
            inspect: (!route.inspect).then_some(false),
            grant_id,
            expires_at,
            once,
            added_by: route.added_by,
        }
    }
}

/// Whether credentials that the agent itself sends to a route without auth are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentCredentials {
    /// Refused: an agent with someone else's key could carry data to that account.
    #[default]
    Refuse,
    /// Let through as sent.
    Allow,
}

/// A permission that ends: at a time, after one use, or whichever comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Joins the route, its access events and the audit.
    pub grant_id: GrantId,
    /// The guard stops honouring it then.
    pub expires_at: Option<Timestamp>,
    /// It admits one request.
    pub once: bool,
}
