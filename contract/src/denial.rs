//! What an agent is told when a guard refuses: one JSON form for every guard.

use crate::{HostName, JustifiedAsk, RouteAsk};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A guard by its service name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Where the agent may go.
    Egress,
    /// What may leave.
    Pipelock,
    /// What may be pushed.
    GitGate,
    /// Whom the agent asks.
    Supervise,
}

impl Guard {
    /// The service name: `egress`, `pipelock`, `git-gate`, `supervise`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Pipelock => "pipelock",
            Self::GitGate => "git-gate",
            Self::Supervise => "supervise",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The header that names the refusing guard, lower case.
pub const DENIED_BY_HEADER: &str = "x-bottle-denied-by";

/// Why a guard refused. Programs switch on this; people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    /// no route for the host
    HostNotAllowed,
    /// the route does not list the method
    MethodNotAllowed,
    /// a reading of the path falls under no listed prefix
    PathNotAllowed,
    /// the path is refused on every route
    PathMalformed,
    /// only an ended grant would have admitted it
    GrantEnded,
    /// the target is an IP address
    IpLiteral,
    /// CONNECT to a port other than 443, plain HTTP to one other than 80
    PortNotAllowed,
    /// CONNECT authority, SNI and Host do not name one host
    AuthorityMismatch,
    /// plain HTTP on a route with auth
    PlainHttpWithAuth,
    /// the agent sent a credential of its own
    AgentCredentials,
    /// the request carries a credential that egress injects
    CredentialInRequest,
    /// the response echoed a credential that egress injects
    CredentialInResponse,
    /// a push or LFS upload over HTTP
    UseGitGate,
    /// not a request that a forward proxy takes
    MalformedRequest,
    /// what follows CONNECT is not TLS
    NotTls,
    /// a protocol that this guard does not forward
    ProtocolNotSupported,
    /// a body whose Content-Encoding the guard cannot look into
    ContentEncoding,
    /// a cap on connections, heads or bodies was reached
    LimitReached,
    /// the upstream could not be reached or answered wrongly
    UpstreamUnreachable,
    /// the upstream's address is not one that this host may have
    AddressNotAllowed,
    /// the host's name looks like data that is carried out in it
    HostNameSuspicious,
    /// decoding the content would take more work than is allowed, so it was not looked at whole
    TooMuchToDecode,
    /// the body is not what its head says it is, so what it holds is not known
    BodyMalformed,
    /// the response holds a known secret, or text that is written to instruct the agent
    ResponseSuspicious,
    /// a phase took too long
    TimedOut,
    /// the guard itself failed
    InternalError,
    /// no such repository behind the git gate
    RepositoryNotAllowed,
    /// a ref that may not be pushed
    RefNotAllowed,
    /// a branch or tag that may not be moved off its history
    RewriteNotAllowed,
    /// a ref that may not be deleted
    DeleteNotAllowed,
    /// a commit changes a protected path
    PathProtected,
    /// what is sent (a request, a new git object) holds a secret
    SecretFound,
    /// a Git LFS pointer, whose content would pass by the gate
    LfsPointer,
    /// an object that cannot be read
    ObjectMalformed,
    /// the upstream itself refused
    UpstreamRefused,
}

impl DenialReason {
    /// The spelling in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host_not_allowed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PathNotAllowed => "path_not_allowed",
            Self::PathMalformed => "path_malformed",
            Self::GrantEnded => "grant_ended",
            Self::IpLiteral => "ip_literal",
            Self::PortNotAllowed => "port_not_allowed",
            Self::AuthorityMismatch => "authority_mismatch",
            Self::PlainHttpWithAuth => "plain_http_with_auth",
            Self::AgentCredentials => "agent_credentials",
            Self::CredentialInRequest => "credential_in_request",
            Self::CredentialInResponse => "credential_in_response",
            Self::UseGitGate => "use_git_gate",
            Self::MalformedRequest => "malformed_request",
            Self::NotTls => "not_tls",
            Self::ProtocolNotSupported => "protocol_not_supported",
            Self::ContentEncoding => "content_encoding",
            Self::LimitReached => "limit_reached",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::HostNameSuspicious => "host_name_suspicious",
            Self::TooMuchToDecode => "too_much_to_decode",
            Self::BodyMalformed => "body_malformed",
            Self::ResponseSuspicious => "response_suspicious",
            Self::TimedOut => "timed_out",
            Self::InternalError => "internal_error",
            Self::RepositoryNotAllowed => "repository_not_allowed",
            Self::RefNotAllowed => "ref_not_allowed",
            Self::RewriteNotAllowed => "rewrite_not_allowed",
            Self::DeleteNotAllowed => "delete_not_allowed",
            Self::PathProtected => "path_protected",
            Self::SecretFound => "secret_found",
            Self::LfsPointer => "lfs_pointer",
            Self::ObjectMalformed => "object_malformed",
            Self::UpstreamRefused => "upstream_refused",
        }
    }
}

impl fmt::Display for DenialReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The JSON body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// Who refused.
    pub denied_by: Guard,
    /// Why, for programs.
    pub reason: DenialReason,
    /// The host asked for, where one could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Why, for a reader: `egress: …`, and what to do next.
    pub message: String,
    /// A tool call that would ask for exactly this, where asking can help and the bottle has supervise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

/// An MCP tool call, callable as it stands.
pub type Remedy = crate::Ask;

impl Denial {
    /// The remedy for a host, with the one method and path that were tried.
    pub fn remedy_for(ask: RouteAsk, justification: String) -> Remedy {
        Remedy::EgressBlock(JustifiedAsk {
            ask,
            justification,
            denial_id: None,
        })
    }

    /// Whether asking for a route for this host could ever help.
    pub fn can_be_asked(host: &HostName) -> bool {
        host.as_str() != crate::place::INTROSPECTION_HOST
    }
}
