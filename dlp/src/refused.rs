//! Why the seat refuses, and what the agent is told about it.
//!
//! The agent reads a reason for programs, a sentence that names the rule and where it matched, and where asking helps a tool
//! call that asks for exactly this. None of it holds what was found.

use std::fmt;
use std::sync::Arc;

use contract::{DenialReason, HostName, PipelockAsk, Remedy};
use http::StatusCode;

/// The rule under which a value of the agent's environment is found.
pub const ENVIRONMENT_SECRET: &str = "environment-secret";
/// The rule under which a host's name is found to carry data.
pub const HOST_NAME_DATA: &str = "host-name-data";
/// The rule under which a token is found that was written in hexadecimal.
pub const TOKEN_IN_HEXADECIMAL: &str = "token-in-hexadecimal";
/// The rule under which a response is found to instruct the agent.
pub const PROMPT_INJECTION: &str = "prompt-injection";

/// Where in a request or response something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The host's name.
    Host,
    /// The method, where it is none of HTTP's own.
    Method,
    /// Path or query.
    Url,
    /// Pieces of the URL, put together.
    UrlPieces,
    /// The value of this header, or its name.
    Header(String),
    /// Values of several headers, put together.
    Headers,
    /// The body.
    Body,
    /// Values of the body, put together.
    BodyPieces,
    /// A message of a WebSocket.
    Message,
    /// Messages of a WebSocket, put together.
    Messages,
    /// A response's header.
    ResponseHead,
    /// A response's body.
    Response,
}

/// What was found: which rule, where, and what was undone to see it. Never what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: Arc<str>,
    /// What the rule finds, in a few words.
    pub what: Arc<str>,
    /// Where.
    pub place: Place,
    /// Such as `base64, gzip`; empty when it stood there as it is.
    pub decoded: String,
}

/// A refusal by policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// the target is an address, not a name
    IpLiteral,
    /// the name means this machine, or anybody chooses its address
    InsideName,
    /// a port other than the scheme's own
    Port(u16),
    /// the allowlist does not name the host, or the blocklist does
    Host,
    /// the host's name looks like data
    HostName,
    /// the URL is longer than the file allows
    LongUrl(usize),
    /// a rule found something
    Found(Found),
    /// a coding that cannot be undone
    ContentEncoding,
    /// the body is not what its head says
    Malformed(&'static str),
    /// decoding would take too much work
    TooMuchToDecode,
    /// too much is held already of bodies that have to be whole before they leave
    HeldTooMuch,
    /// the bodies that are being decoded take all the memory for that
    DecodesTooMany,
    /// there is no place for the access event
    LogTooSlow,
}

/// How a refusal is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling<'a> {
    /// The host, when it is a name.
    pub host: Option<&'a HostName>,
    /// The bottle has supervise.
    pub supervise: bool,
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host's name"),
            Self::Method => f.write_str("the method"),
            Self::Url => f.write_str("the URL"),
            Self::UrlPieces => f.write_str("the URL, its pieces put together"),
            Self::Header(name) => write!(f, "the header `{name}`"),
            Self::Headers => f.write_str("the headers, their values put together"),
            Self::Body => f.write_str("the body"),
            Self::BodyPieces => f.write_str("the body, its values put together"),
            Self::Message => f.write_str("a WebSocket message"),
            Self::Messages => f.write_str("WebSocket messages, put together"),
            Self::ResponseHead => f.write_str("a header of the response"),
            Self::Response => f.write_str("the response"),
        }
    }
}

impl Place {
    /// Whether it came from the other side.
    fn is_response(&self) -> bool {
        matches!(self, Self::ResponseHead | Self::Response)
    }
}

// === impl Found ===

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            what,
            place,
            decoded,
        } = self;
        write!(f, "{place} matches the rule {rule} ({what}")?;
        if decoded.is_empty() {
            f.write_str(")")
        } else {
            write!(f, "; decoded: {decoded})")
        }
    }
}

// === impl Refused ===

impl Refused {
    /// For programs.
    pub fn reason(&self) -> DenialReason {
        match self {
            Self::IpLiteral => DenialReason::IpLiteral,
            Self::InsideName => DenialReason::AddressNotAllowed,
            Self::Port(_) => DenialReason::PortNotAllowed,
            Self::Host => DenialReason::HostNotAllowed,
            Self::HostName => DenialReason::HostNameSuspicious,
            Self::Found(found) if found.place.is_response() => DenialReason::ResponseSuspicious,
            Self::Found(_) => DenialReason::SecretFound,
            Self::ContentEncoding => DenialReason::ContentEncoding,
            Self::Malformed(_) => DenialReason::BodyMalformed,
            Self::TooMuchToDecode => DenialReason::TooMuchToDecode,
            Self::LongUrl(_) | Self::HeldTooMuch | Self::DecodesTooMany | Self::LogTooSlow => {
                DenialReason::LimitReached
            }
        }
    }

    /// The rule that refused, where it was one.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Found(found) => Some(&found.rule),
            Self::HostName => Some(HOST_NAME_DATA),
            _ => None,
        }
    }

    /// What the agent is answered.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::HeldTooMuch | Self::DecodesTooMany | Self::LogTooSlow => StatusCode::SERVICE_UNAVAILABLE,
            Self::LongUrl(_) => StatusCode::URI_TOO_LONG,
            _ => StatusCode::FORBIDDEN,
        }
    }

    /// What happened and what to do next.
    pub fn message(&self, telling: Telling<'_>) -> String {
        let mut message = format!("pipelock: {}.", self.what());
        if let Some(step) = self.step() {
            message.push(' ');
            message.push_str(step);
        }
        if self.can_be_asked() {
            message.push_str(match (telling.supervise, self.rule().is_some()) {
                (true, true) => {
                    " If it is no secret, or may go there, ask for an exemption with the tool pipelock-block; `remedy` holds the \
                     arguments, put in your reason."
                }
                (true, false) => {
                    " Ask for it with the tool egress-block, which this list follows, or with pipelock-block; `remedy` holds the \
                     arguments, put in your reason."
                }
                (false, true) => " In a bottle with `supervise: true` the operator can exempt a host from a rule.",
                (false, false) => " The operator can allow it: `bottle routes edit`.",
            });
        }
        message
    }

    fn what(&self) -> String {
        match self {
            Self::IpLiteral => "an IP address cannot be reached, whatever the lists say".to_owned(),
            Self::InsideName => {
                "this name means the machine itself, or anybody chooses its address; it cannot be reached, whatever the lists say"
                    .to_owned()
            }
            Self::Port(port) => {
                format!("port {port} is not allowed; CONNECT goes to 443 and plain HTTP to 80 only")
            }
            Self::Host => "the allowlist does not name this host".to_owned(),
            Self::HostName => format!(
                "the host's name looks like data that is carried out in it (rule {HOST_NAME_DATA})"
            ),
            Self::LongUrl(limit) => format!("the URL is longer than {limit} bytes"),
            Self::Found(found) => found.to_string(),
            Self::ContentEncoding => {
                "the Content-Encoding is none that can be looked into (gzip, deflate, br and zstd are, at most three deep)"
                    .to_owned()
            }
            Self::Malformed(why) => format!("the body cannot be looked at: {why}"),
            Self::TooMuchToDecode => {
                "to decode what is sent would take more work than is allowed, so it was not looked at whole".to_owned()
            }
            Self::HeldTooMuch => "too many requests at a time wait for their bodies to be whole".to_owned(),
            Self::DecodesTooMany => "too many compressed bodies are under way at a time".to_owned(),
            Self::LogTooSlow => {
                "the access log is not being read; nothing is forwarded that cannot be logged".to_owned()
            }
        }
    }

    fn step(&self) -> Option<&'static str> {
        match self {
            Self::IpLiteral => Some("Use the host's name."),
            Self::Found(found) if !found.place.is_response() => Some("Leave it out."),
            Self::ContentEncoding => Some("Send it uncompressed."),
            Self::DecodesTooMany => Some("Try again, or send it uncompressed."),
            Self::HeldTooMuch | Self::LogTooSlow => Some("Try again."),
            Self::LongUrl(_) => Some("Send it in the body."),
            _ => None,
        }
    }

    /// Whether a change of the seat's files would have let the request pass.
    fn can_be_asked(&self) -> bool {
        matches!(self, Self::Host | Self::HostName | Self::Found(_))
    }

    /// A tool call that asks for exactly that change.
    pub fn remedy(&self, telling: Telling<'_>) -> Option<Remedy> {
        let host = telling
            .host
            .filter(|_| telling.supervise && self.can_be_asked())?;
        let rule = self.rule().map(str::to_owned);
        let justification = match &rule {
            Some(rule) => format!("a request to {host} was refused by the rule {rule}"),
            None => format!("{host} is not on the seat's allowlist"),
        };
        Some(Remedy::PipelockBlock(PipelockAsk {
            host: host.clone(),
            rule,
            justification,
            denial_id: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(place: Place) -> Refused {
        Refused::Found(Found {
            rule: "github-token".into(),
            what: "GitHub token".into(),
            place,
            decoded: "base64".to_owned(),
        })
    }

    #[test]
    fn a_refusal_names_rule_and_place_and_a_remedy_that_can_be_called() {
        let host: HostName = "api.example.com".parse().unwrap();
        let telling = Telling {
            host: Some(&host),
            supervise: true,
        };
        let refused = found(Place::Header("x-debug".to_owned()));
        let message = refused.message(telling);
        assert!(
            message.starts_with(
                "pipelock: the header `x-debug` matches the rule github-token (GitHub token; decoded: base64). Leave it out. If"
            ),
            "{message}"
        );
        let Some(Remedy::PipelockBlock(ask)) = refused.remedy(telling) else {
            panic!("no remedy")
        };
        assert_eq!((ask.host, ask.rule.as_deref()), (host, Some("github-token")));
    }

    #[test]
    fn without_supervise_the_operator_is_named_and_no_tool() {
        let telling = Telling {
            host: None,
            supervise: false,
        };
        for refused in [Refused::Host, Refused::HostName, found(Place::Body)] {
            assert!(refused.message(telling).contains("operator"), "{refused:?}");
            assert_eq!(refused.remedy(telling), None);
        }
    }

    #[test]
    fn what_a_response_held_is_not_called_a_secret_of_the_request() {
        assert_eq!(found(Place::Response).reason(), DenialReason::ResponseSuspicious);
        assert_eq!(found(Place::Body).reason(), DenialReason::SecretFound);
    }
}
