//! Who calls: the client by its own words, and what it calls its call.

use contract::AskedBy;
use rmcp::RoleServer;
use rmcp::model::Implementation;
use rmcp::service::RequestContext;

use crate::calls::CallKey;
use crate::front::SESSION_HEADER;

/// The client by its own words, in so far as they are short.
pub(crate) fn client(context: &RequestContext<RoleServer>) -> Option<AskedBy> {
    let info = context.client_info()?;
    let short = |text: String| text.chars().take(64).collect::<String>();
    let asked_by = AskedBy {
        name: short(info.name),
        version: short(info.version),
    };
    // What the library fills in for a client that it knows nothing about.
    let unknown = Implementation::default();
    (asked_by.name != unknown.name || asked_by.version != unknown.version).then_some(asked_by)
}

/// By which `notifications/cancelled` finds this call.
pub(crate) fn key(context: &RequestContext<RoleServer>) -> CallKey {
    let session = context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.headers.get(SESSION_HEADER))
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    CallKey {
        session,
        request: context.id.clone(),
    }
}
