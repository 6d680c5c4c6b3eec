//! The table of a launch: the manifest's routes with their slots, then the defaults that no manifest route replaces.

use super::host::wanted;
use super::{ClaudeLogin, SecretSource, SecretValue};
use crate::default_routes;
use crate::error::{Error, Result};
use crate::manifest::{BottleManifest, DeclaredAuth, Manifest};
use contract::{AuthScheme, EnvName, Route, RouteAuth, RouteTable, TokenSlot};

/// The table, and what follows from it.
pub(super) struct Resolved {
    pub(super) table: RouteTable,
    pub(super) secrets: Vec<SecretSource>,
    pub(super) warnings: Vec<String>,
}

/// Gives each distinct `token_ref` a slot in the order of declaration, and folds in the defaults.
pub(super) fn resolve(bottle: &Manifest<BottleManifest>, runs_claude: bool) -> Result<Resolved> {
    let mut slots = Slots::default();
    let mut routes = Vec::new();
    for declared in &bottle.value.routes {
        let auth = match &declared.auth {
            None => None,
            Some(auth) => Some(slots.auth(bottle, auth)?),
        };
        routes.push(Route {
            auth,
            inspect: default_routes::is_inspected(&declared.host.value),
            ..declared.route.clone()
        });
    }
    if runs_claude {
        for route in default_routes::claude_code() {
            if !routes.iter().any(|declared| declared.host == route.host) {
                routes.push(route);
            }
        }
    }
    let warnings = routes.iter().filter_map(suspicious).collect();
    let table = RouteTable::new(1, routes).map_err(|error| {
        Error::usage(format!(
            "{}: the routes do not make a table",
            bottle.shown.display()
        ))
        .because(error)
    })?;
    Ok(Resolved {
        table,
        secrets: slots.sources,
        warnings,
    })
}

#[derive(Default)]
struct Slots {
    taken: Vec<(EnvName, TokenSlot)>,
    sources: Vec<SecretSource>,
}

impl Slots {
    fn auth(&mut self, bottle: &Manifest<BottleManifest>, auth: &DeclaredAuth) -> Result<RouteAuth> {
        let name = &auth.token_ref.value;
        let token_env = match self.taken.iter().find(|(known, _)| known == name) {
            Some((_, slot)) => *slot,
            None => {
                let number = u16::try_from(self.taken.len()).map_err(|_| {
                    Error::usage(format!("{}: more than 65536 credentials", bottle.shown.display()))
                })?;
                let slot = TokenSlot::new(number);
                self.taken.push((name.clone(), slot));
                self.sources.push(SecretSource {
                    variable: slot.to_string(),
                    value: SecretValue::Host(name.clone()),
                    wanted: wanted(bottle, &auth.token_ref),
                });
                slot
            }
        };
        Ok(RouteAuth {
            scheme: auth.scheme.clone(),
            token_ref: name.clone(),
            token_env,
        })
    }
}

/// Claude Code holds a placeholder where the route for the model API injects what it understands.
pub(super) fn claude_login(table: &RouteTable) -> ClaudeLogin {
    let auth = model_api(table).and_then(|route| route.auth.as_ref());
    match auth.map(|auth| &auth.scheme) {
        Some(AuthScheme::Bearer) => ClaudeLogin::OauthToken,
        Some(AuthScheme::Header(name)) if name.as_str() == "x-api-key" => ClaudeLogin::ApiKey,
        _ => ClaudeLogin::None,
    }
}

/// Why Claude Code will not be logged in.
pub(super) fn no_login(table: &RouteTable) -> String {
    let host = default_routes::MODEL_API;
    let auth = model_api(table).and_then(|route| route.auth.as_ref());
    let why = match auth {
        None => format!("no route gives {host} a credential"),
        Some(auth) => format!(
            "the route for {host} uses the scheme {}, which Claude Code does not",
            auth.scheme
        ),
    };
    format!(
        "Claude Code will not be able to log in: {why}; give it `auth: {{ scheme: header:x-api-key, token_ref: ANTHROPIC_API_KEY }}` or `auth: {{ scheme: Bearer, token_ref: CLAUDE_CODE_OAUTH_TOKEN }}`"
    )
}

/// A route of the operator's replaces the default for the model API whole, its paths too.
pub(super) fn every_path_of_the_model_api(table: &RouteTable) -> Option<String> {
    let route = model_api(table)?;
    if route.path_allowlist.is_some() {
        return None;
    }
    let paths: Vec<&str> = default_routes::CLAUDE_CODE
        .iter()
        .flat_map(|default| default.paths)
        .map(|path| path.path)
        .collect();
    Some(format!(
        "the route for {} admits every path, the file store /v1/files too; Claude Code needs no more than `path_allowlist: [{}]`",
        route.host,
        paths.join(", ")
    ))
}

fn model_api(table: &RouteTable) -> Option<&Route> {
    table
        .routes()
        .iter()
        .find(|route| route.host.as_str() == default_routes::MODEL_API)
}

/// A route that is allowed and yet worth a second look.
fn suspicious(route: &Route) -> Option<String> {
    let (host, cidr) = (&route.host, route.private_cidr?);
    let broad = if cidr.network().is_ipv4() { 16 } else { 48 };
    (cidr.prefix_len() < broad)
        .then(|| format!("{host} may resolve anywhere in {cidr}; a smaller network is safer"))
}
