//! `egress.routes`: where the agent may go.

use super::walk::{At, Cursor, Fields, Retired};
use contract::route::RouteError;
use contract::{
    AgentCredentials, AuthScheme, EnvName, HostName, Method, PathPrefix, Route, RouteAuth, TokenSlot,
};

/// A route as the manifest declares it; slots are given when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRoute {
    /// The exact host.
    pub host: At<HostName>,
    /// The route without its credential.
    pub route: Route,
    /// The credential by the operator's name.
    pub auth: Option<DeclaredAuth>,
}

/// A credential as the manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredAuth {
    /// How it is written into the request.
    pub scheme: AuthScheme,
    /// The host variable that holds it.
    pub token_ref: At<EnvName>,
}

const KEYS: &[&str] = &[
    "agent_credentials",
    "auth",
    "host",
    "methods",
    "path_allowlist",
    "private_cidr",
];

const RETIRED: &[Retired] = &[
    Retired {
        key: "role",
        instead: "leave it out; whether the route has `auth` decides how the agent is set up",
    },
    Retired {
        key: "path",
        instead: "write `path_allowlist: [/repos/acme/]`",
    },
    Retired {
        key: "upstream",
        instead: "write `host: api.github.com`, the host alone",
    },
    Retired {
        key: "token_ref",
        instead: "write `auth: { scheme: Bearer, token_ref: GITHUB_TOKEN }`",
    },
];

pub(super) fn walk(cursor: &Cursor<'_>) -> Vec<DeclaredRoute> {
    let mut routes: Vec<DeclaredRoute> = Vec::new();
    for item in cursor.list().unwrap_or_default() {
        let Some(route) = one(&item) else { continue };
        match routes.iter().find(|known| known.host.value == route.host.value) {
            None => routes.push(route),
            Some(first) => item.complain(format!(
                "a second route for {}; the first is on line {}: write one route with both paths",
                route.host.value, first.host.line
            )),
        }
    }
    routes
}

fn one(cursor: &Cursor<'_>) -> Option<DeclaredRoute> {
    let fields = cursor.mapping(KEYS, RETIRED)?;
    let host = fields
        .required("host", "write the exact host, such as api.github.com")
        .and_then(|cursor| cursor.parse());
    let path_allowlist = fields
        .get("path_allowlist")
        .and_then(|cursor| each::<PathPrefix>(&cursor));
    let methods = fields.get("methods").and_then(|cursor| each::<Method>(&cursor));
    let auth = fields.get("auth").map(|cursor| auth(&cursor));
    let private_cidr = fields.get("private_cidr").and_then(|cursor| cidr(&cursor));
    let agent_credentials = agent_credentials(&fields);
    let host: At<HostName> = host?;
    let route = Route {
        path_allowlist,
        methods,
        private_cidr,
        agent_credentials,
        ..Route::bare(host.value.clone())
    };
    // The contract's own rules hold over the whole route: with a credential, where one was written.
    let with_auth = Route {
        auth: matches!(auth, Some(Some(_))).then(any_auth).flatten(),
        ..route.clone()
    };
    if let Err(error) = with_auth.check() {
        let field = match &error {
            RouteError::EmptyFilter(_, field) => fields.get(field),
            RouteError::WholeAddressSpace(..) => fields.get("private_cidr"),
            RouteError::TwoCredentials(_) => fields.get("agent_credentials"),
            RouteError::EndWithoutGrant(_) | RouteError::GrantWithoutEnd(..) => None,
        };
        field.as_ref().unwrap_or(cursor).complain(error);
        return None;
    }
    let auth = match auth {
        Some(None) => return None,
        Some(Some(auth)) => Some(auth),
        None => None,
    };
    Some(DeclaredRoute { host, route, auth })
}

/// Stands for the credential while a route is checked: the rules ask only whether there is one.
fn any_auth() -> Option<RouteAuth> {
    Some(RouteAuth {
        scheme: AuthScheme::Bearer,
        token_ref: "ANY".parse().ok()?,
        token_env: TokenSlot::new(0),
    })
}

/// A list of values, each once; an empty one is left to the contract to refuse.
fn each<T: std::str::FromStr<Err: std::fmt::Display> + PartialEq + std::fmt::Display>(
    cursor: &Cursor<'_>,
) -> Option<Vec<T>> {
    let mut values: Vec<T> = Vec::new();
    let items = cursor.list()?;
    for item in &items {
        let Some(At { value, .. }) = item.parse::<T>() else {
            continue;
        };
        if values.contains(&value) {
            item.complain(format!("`{value}` is there twice"));
        } else {
            values.push(value);
        }
    }
    // Where every item was refused, "an empty list" would be a second complaint about one mistake.
    (!values.is_empty() || items.is_empty()).then_some(values)
}

fn auth(cursor: &Cursor<'_>) -> Option<DeclaredAuth> {
    let fields = cursor.mapping(&["scheme", "token_ref"], &[])?;
    let scheme = fields
        .required("scheme", "write Bearer, token, Basic or header:<Name>")
        .and_then(|cursor| cursor.parse::<AuthScheme>());
    let token_ref = fields
        .required("token_ref", "name the host variable that holds the credential")
        .and_then(|cursor| token_ref(&cursor));
    Some(DeclaredAuth {
        scheme: scheme?.value,
        token_ref: token_ref?,
    })
}

/// The name of a host variable. What was written in its place is not shown where it may be the credential itself.
fn token_ref(cursor: &Cursor<'_>) -> Option<At<EnvName>> {
    let text = cursor.text()?;
    let value = || {
        cursor.complain(
            "this looks like the credential itself; write the name of the host variable that holds it, such as GITHUB_TOKEN, and keep the value out of files",
        );
        None
    };
    if text
        .split(|character: char| !character.is_ascii_alphanumeric())
        .any(is_likely_a_value)
    {
        return value();
    }
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && name.parse::<EnvName>().is_ok()
    {
        cursor.complain(format!(
            "write the name alone: {}",
            contract::text::harmless(name)
        ));
        return None;
    }
    // In groups, as a UUID is; no name has them.
    if text.parse::<EnvName>().is_err() && is_likely_a_value(text) {
        return value();
    }
    cursor.parse()
}

/// Whether it is too long and too mixed for a word of a name: `GITHUB_TOKEN_2` has no such word, `ghp_` with what follows has.
fn is_likely_a_value(text: &str) -> bool {
    text.len() >= 16
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().filter(u8::is_ascii_digit).count() >= 2
}

fn cidr(cursor: &Cursor<'_>) -> Option<ipnet::IpNet> {
    let text = cursor.text()?;
    match text.parse::<ipnet::IpNet>() {
        Ok(net) if net.addr() == net.network() => Some(net),
        Ok(net) => {
            cursor.complain(format!("{net} has host bits; write the network, {}", net.trunc()));
            None
        }
        Err(_) => {
            cursor.complain(format!(
                "`{}` is not a network; write one such as 10.1.2.0/24",
                contract::text::harmless(text)
            ));
            None
        }
    }
}

fn agent_credentials(fields: &Fields<'_>) -> AgentCredentials {
    let Some(cursor) = fields.get("agent_credentials") else {
        return AgentCredentials::default();
    };
    match cursor.text() {
        Some("allow") => AgentCredentials::Allow,
        Some("refuse") | None => AgentCredentials::Refuse,
        Some(_) => {
            cursor.complain("write allow or refuse");
            AgentCredentials::Refuse
        }
    }
}
