//! What the core refuses by itself, in the words that agents and access events know.
//!
//! One table for every guard on this core: a reason that is new here is named once. It refuses to say more than the contract has a
//! word for; what is the guard's own fault is an internal error.

use contract::DenialReason;

use crate::refusal::Reason;

/// A refusal by the core, in the words of the contract.
pub fn denial_reason(reason: Reason) -> DenialReason {
    match reason {
        Reason::MalformedHead
        | Reason::BadAuthority
        | Reason::BadHostHeader
        | Reason::NotAProxyRequest
        | Reason::SchemeNotSupported
        | Reason::BadTarget
        | Reason::AmbiguousFraming
        | Reason::BadWebsocket
        | Reason::BadHttp2
        | Reason::RequestBodyBroke => DenialReason::MalformedRequest,
        Reason::HeadTooLarge | Reason::TooManyConnections | Reason::TooManyUpstreams => {
            DenialReason::LimitReached
        }
        Reason::HeadTimeout
        | Reason::RequestBodyTimeout
        | Reason::UpstreamConnectTimeout
        | Reason::UpstreamTimeout => DenialReason::TimedOut,
        Reason::AuthorityMismatch => DenialReason::AuthorityMismatch,
        Reason::MethodNotSupported => DenialReason::MethodNotAllowed,
        Reason::ExpectationFailed | Reason::WebsocketUnsupported => DenialReason::ProtocolNotSupported,
        Reason::NotTls | Reason::TlsHandshake | Reason::SniMissing => DenialReason::NotTls,
        Reason::UpstreamUnresolved
        | Reason::UpstreamUnreachable
        | Reason::UpstreamTls
        | Reason::UpstreamBroke => DenialReason::UpstreamUnreachable,
        Reason::AddressForbidden => DenialReason::AddressNotAllowed,
        _ => DenialReason::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_the_core_has_a_reason_in_the_contract() {
        for reason in Reason::ALL {
            let internal = denial_reason(*reason) == DenialReason::InternalError;
            let ours = matches!(reason, Reason::CertificateUnavailable | Reason::ShuttingDown);
            assert_eq!(internal, ours, "{reason:?}");
        }
    }
}
