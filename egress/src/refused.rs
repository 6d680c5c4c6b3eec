//! Why egress refuses, and what the agent is told about it.
//!
//! One value has two faces: what the agent reads (a reason for programs, a sentence with the next step, where asking helps
//! a tool call that asks for exactly this) and a line for the operator's debug log. Neither holds a credential, a query
//! value or unescaped text of the agent's.

use contract::matcher::Refusal as NoRoute;
use contract::{DenialReason, GrantId, HostName, Method, PathPrefix, Remedy, RouteAsk, reading};

use crate::agent_credentials::ForeignCredential;

/// A refusal by policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// the target is an address, not a name
    IpLiteral,
    /// a port other than the scheme's own
    Port {
        /// The port asked for.
        port: u16,
        /// Whether it was a CONNECT.
        tunnel: bool,
    },
    /// no route admits the request
    NoRoute(NoRoute),
    /// the route that admitted it is another by the time it would be sent
    RouteChanged(HostName),
    /// credentials are not put into plain HTTP
    PlainHttpWithAuth,
    /// the agent sent a credential of its own
    AgentCredential(ForeignCredential),
    /// the request carries a credential that egress injects
    CredentialInRequest,
    /// the response carries one
    CredentialInResponse,
    /// the response is encoded in a way that cannot be looked into
    ResponseEncoding,
    /// a push or LFS upload
    UseGitGate,
    /// an LFS batch call too long to be looked at
    LfsBatchTooLong,
    /// too much is held already of bodies that have to be whole before they leave
    HeldTooMuch,
    /// its one use could not be recorded
    GrantNotRecorded(GrantId),
    /// there is no place for the access event
    LogTooSlow,
}

/// The request that was refused, as far as a remedy may speak of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tried<'a> {
    /// The host, when it is a name.
    pub host: Option<&'a HostName>,
    /// The method, when it is known.
    pub method: Option<&'a str>,
    /// The path without the query, when it is known and the host's routes do not admit it already.
    pub path: Option<&'a [u8]>,
}

// === impl Refused ===

impl Refused {
    /// Of this route there was a grant only, and it is over.
    pub fn grant_ended(route: &contract::Route, grant: &contract::Grant) -> Self {
        Self::NoRoute(NoRoute::GrantEnded(grant.grant_id.clone(), route.host.clone()))
    }

    /// For programs.
    pub fn reason(&self) -> DenialReason {
        match self {
            Self::IpLiteral => DenialReason::IpLiteral,
            Self::Port { .. } => DenialReason::PortNotAllowed,
            Self::NoRoute(NoRoute::Host(_)) => DenialReason::HostNotAllowed,
            Self::NoRoute(NoRoute::Method { .. }) => DenialReason::MethodNotAllowed,
            Self::NoRoute(NoRoute::Path { .. }) => DenialReason::PathNotAllowed,
            Self::NoRoute(NoRoute::Malformed(_)) => DenialReason::PathMalformed,
            Self::NoRoute(NoRoute::GrantEnded(..)) => DenialReason::GrantEnded,
            // What admitted it is not there any more.
            Self::RouteChanged(_) => DenialReason::HostNotAllowed,
            Self::PlainHttpWithAuth => DenialReason::PlainHttpWithAuth,
            Self::AgentCredential(_) => DenialReason::AgentCredentials,
            Self::CredentialInRequest => DenialReason::CredentialInRequest,
            Self::CredentialInResponse => DenialReason::CredentialInResponse,
            Self::ResponseEncoding => DenialReason::ContentEncoding,
            Self::UseGitGate => DenialReason::UseGitGate,
            Self::LfsBatchTooLong | Self::HeldTooMuch | Self::LogTooSlow => DenialReason::LimitReached,
            Self::GrantNotRecorded(_) => DenialReason::InternalError,
        }
    }

    /// What the agent is answered when the request is refused in the middle of its body.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::HeldTooMuch => http::StatusCode::SERVICE_UNAVAILABLE,
            _ => http::StatusCode::FORBIDDEN,
        }
    }

    /// What happened and what to do next, for the agent.
    pub fn message(&self, supervise: bool) -> String {
        let mut message = format!("egress: {}", self.what());
        match self.next_step() {
            Some(step) => {
                message.push(' ');
                message.push_str(&step);
            }
            None if self.can_be_asked() && supervise => message.push_str(
                " Ask for it with the tool egress-block; `remedy` holds the arguments, put in your reason.",
            ),
            None if self.can_be_asked() => message.push_str(
                " The operator can allow it: `bottle routes edit` for this bottle, `egress.routes` in bottles/<bottle>.md for \
                 good.",
            ),
            None => {}
        }
        message
    }

    fn what(&self) -> String {
        match self {
            Self::IpLiteral => "an IP address cannot be reached, whatever the routes say.".to_owned(),
            Self::Port { port, tunnel: true } => format!("port {port} is not allowed; CONNECT goes to 443 only."),
            Self::Port { port, tunnel: false } => format!("port {port} is not allowed; plain HTTP goes to 80 only."),
            Self::NoRoute(why) => format!("{}.", without_agent_text(why)),
            Self::RouteChanged(host) => {
                format!("the route of {host} changed before the request was sent, so it was not sent.")
            }
            Self::PlainHttpWithAuth => {
                "this route has a credential, and credentials never go over plain HTTP.".to_owned()
            }
            Self::AgentCredential(found) if found.placeholder_accepted => format!(
                "the request has a credential of its own in `{}`, and this route puts the operator's there.",
                found.header
            ),
            Self::AgentCredential(found) => format!(
                "the request has a credential of its own in `{}`, which this route does not let through.",
                found.header
            ),
            Self::CredentialInRequest => {
                "the request carries a credential that only egress may send, in its URL, a header or the body.".to_owned()
            }
            Self::CredentialInResponse => "the response repeats the credential that egress put into the request.".to_owned(),
            Self::ResponseEncoding => {
                "the response has a Content-Encoding that egress did not ask for and cannot look into.".to_owned()
            }
            Self::UseGitGate => "git pushes and LFS uploads do not go over HTTP.".to_owned(),
            Self::LfsBatchTooLong => "this LFS batch call is longer than 256 KiB.".to_owned(),
            Self::HeldTooMuch => "too many requests at a time wait for their bodies to be whole.".to_owned(),
            Self::GrantNotRecorded(grant) => {
                format!("the use of the single-use grant {grant} could not be recorded, so it was not given.")
            }
            Self::LogTooSlow => "the access log is not being read; nothing is forwarded that cannot be logged.".to_owned(),
        }
    }

    fn next_step(&self) -> Option<String> {
        let step = match self {
            Self::IpLiteral => "Use the host's name.",
            Self::Port { .. } => "Use the standard port.",
            Self::NoRoute(NoRoute::Malformed(_)) => "Write the path plainly.",
            Self::RouteChanged(_) => "Send it again.",
            Self::PlainHttpWithAuth => "Use https://.",
            Self::AgentCredential(found) if found.placeholder_accepted => {
                return Some(format!(
                    "Send none, or the placeholder `{}`.",
                    contract::PLACEHOLDER_CREDENTIAL
                ));
            }
            Self::AgentCredential(_) => {
                "Send none; if this host needs one, the operator can give the route `auth`, or `agent_credentials: allow`."
            }
            Self::CredentialInRequest => "Leave it out; egress puts it where it belongs.",
            Self::CredentialInResponse => "Ask the server for something else.",
            Self::ResponseEncoding => "Ask the server for an uncompressed answer.",
            Self::UseGitGate => {
                "Push with `git push`: the remotes that the operator lists under `git.remotes` in bottles/<bottle>.md go \
                 through git-gate."
            }
            Self::LfsBatchTooLong => "List fewer objects per call (lfs.transfer.batchSize).",
            Self::HeldTooMuch => "Try again with fewer at a time.",
            Self::GrantNotRecorded(_) | Self::LogTooSlow => "Try again; if it lasts, tell the operator.",
            Self::NoRoute(_) => return None,
        };
        Some(step.to_owned())
    }

    /// Whether a wider route would have admitted the request.
    fn can_be_asked(&self) -> bool {
        matches!(self, Self::NoRoute(why) if !matches!(why, NoRoute::Malformed(_)))
    }

    /// A tool call that asks for a route which admits this kind of request.
    pub fn remedy(&self, tried: Tried<'_>) -> Option<Remedy> {
        let host = tried.host?;
        if !self.can_be_asked() || !contract::Denial::can_be_asked(host) {
            return None;
        }
        let method = tried.method.and_then(exact_method);
        if tried.method.is_some() && method.is_none() {
            return None;
        }
        let prefix = tried.path.and_then(proposed_prefix);
        if prefix.is_none() && matches!(self, Self::NoRoute(NoRoute::Path { .. })) {
            return None;
        }
        let verb = method.as_ref().map_or("CONNECT", Method::as_str);
        let shown = prefix.as_ref().map_or("/", |prefix| prefix.as_str());
        let justification = format!("{verb} https://{host}{shown} was refused");
        // Where nothing is filtered yet, a prefix that admits everything says nothing.
        let filters = |prefix: &PathPrefix| {
            prefix.as_str() != "/" || matches!(self, Self::NoRoute(NoRoute::Path { .. }))
        };
        let ask = RouteAsk {
            host: host.clone(),
            path_allowlist: prefix.filter(filters).into_iter().collect(),
            methods: method.into_iter().collect(),
            auth: None,
        };
        Some(contract::Denial::remedy_for(ask, justification))
    }
}

/// The matcher's own sentence, but for a method that is the agent's free text.
fn without_agent_text(why: &NoRoute) -> String {
    match why {
        NoRoute::Method {
            host,
            method,
            allowed,
        } if exact_method(method).is_none() => NoRoute::Method {
            host: host.clone(),
            method: "of this request".to_owned(),
            allowed: allowed.clone(),
        }
        .to_string(),
        other => other.to_string(),
    }
}

/// The method, if a route could list it as it was sent.
fn exact_method(sent: &str) -> Option<Method> {
    sent.parse()
        .ok()
        .filter(|method: &Method| method.as_str() == sent)
}

/// The narrowest prefix that an operator can read at a glance and that admits this very path: its directory, up to the
/// first segment that is not plainly a name; at the root, the path itself. None when there is no such prefix.
fn proposed_prefix(path: &[u8]) -> Option<PathPrefix> {
    let mut directory = String::from("/");
    let mut segments = path
        .strip_prefix(b"/")?
        .split(|byte| *byte == b'/')
        .take_while(|segment| is_plain_name(segment))
        .peekable();
    while let Some(segment) = segments.next() {
        let name = String::from_utf8_lossy(segment);
        if segments.peek().is_some() || path.len() > directory.len() + name.len() {
            directory.push_str(&name);
            directory.push('/');
        } else if directory == "/" {
            directory.push_str(&name);
        }
    }
    if directory == "/" && path != b"/" {
        return None;
    }
    let prefix: PathPrefix = directory.parse().ok()?;
    let admits = reading::every_reading(path, |one| prefix.covers(one)).unwrap_or(false);
    admits.then_some(prefix)
}

fn is_plain_name(segment: &[u8]) -> bool {
    (1..=64).contains(&segment.len())
        && segment
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-@~+".contains(byte))
        && !segment.starts_with(b".")
        && !secrets::redact::is_secret_like(&String::from_utf8_lossy(segment))
}

#[cfg(test)]
mod tests;
