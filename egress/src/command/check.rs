//! `egress check`: reads a config directory as `run` would, and prints what would be in force.
//!
//! Needs no credential: which slots the routes name is part of what is printed, and whether this environment holds them.

use std::fmt::Write as _;
use std::path::PathBuf;

use contract::place::config::{CA_CERTIFICATE, EXTRA_CA};
use contract::{AgentCredentials, Route, RouteTable};

use super::Failure;
use crate::config::{self, ConfigError};
use crate::credential::CredentialStore;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The config directory: routes.yaml, ca.pem, ca-key.pem, extra-ca.pem
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = &arguments.config;
    let file = config::routes(directory)?;
    let table = file.table.map_err(ConfigError::from)?;
    let authority = config::authority(directory)?;
    mitm::CertificateAuthority::from_pem(&authority.certificate, &authority.key).map_err(|why| {
        Failure::Authority {
            file: directory.join(CA_CERTIFICATE),
            why,
        }
    })?;
    let extra = config::extra_authorities(directory)?;
    mitm::trust::public_roots(&extra)
        .map_err(|why| crate::upstream::UntrustedError { what: EXTRA_CA, why })?;
    let credentials = CredentialStore::from_variables(std::env::vars_os());
    super::print(&describe(&table, &file.sha256, &credentials))
}

fn describe(table: &RouteTable, sha256: &contract::Sha256Hex, credentials: &CredentialStore) -> String {
    let mut text = format!(
        "generation {}, {} routes, file {sha256}, policy {}\n",
        table.generation,
        table.routes().len(),
        table.effective_sha256()
    );
    for route in table.routes() {
        let _ = writeln!(text, "{}", one_route(route, credentials));
    }
    text
}

fn one_route(route: &Route, credentials: &CredentialStore) -> String {
    let mut line = route.host.to_string();
    if let Some(prefixes) = &route.path_allowlist {
        let _ = write!(line, "  paths {}", join(prefixes));
    }
    if let Some(methods) = &route.methods {
        let _ = write!(line, "  methods {}", join(methods));
    }
    if let Some(auth) = &route.auth {
        let _ = write!(
            line,
            "  auth {} from {} ({})",
            auth.scheme, auth.token_env, auth.token_ref
        );
        if credentials.header_value(auth).is_err() {
            line.push_str(", not usable in this environment");
        }
    }
    if let Some(network) = &route.private_cidr {
        let _ = write!(line, "  private network {network}");
    }
    if route.agent_credentials == AgentCredentials::Allow {
        line.push_str("  the agent's own credentials pass");
    }
    if !route.inspect {
        line.push_str("  the seat does not look inside");
    }
    if let Some(grant) = &route.grant {
        let _ = write!(line, "  grant {}", grant.grant_id);
        if let Some(end) = &grant.expires_at {
            let _ = write!(line, " until {end}");
        }
        if grant.once {
            line.push_str(" for one request");
        }
    }
    line
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_route_says_is_printed_and_no_value() {
        let table = RouteTable::parse(
            b"schema_version: 1
generation: 7
routes:
- {host: a.example, path_allowlist: [/x/, /y], methods: [GET], auth: {scheme: 'header:X-Key', token_ref: KEY, token_env: EGRESS_TOKEN_0}}
- {host: b.example, private_cidr: 10.1.2.0/24, agent_credentials: allow, inspect: false}
- {host: c.example, grant_id: g-0001, expires_at: 2026-11-21T10:00:00Z, once: true}
",
        )
        .unwrap();
        let store = |value: &str| CredentialStore::from_variables([("EGRESS_TOKEN_0".into(), value.into())]);
        let sha256 = contract::Sha256Hex::of(b"");
        let text = describe(&table, &sha256, &store("hush-hush-hush"));
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "a.example  paths /x/, /y  methods GET  auth header:x-key from EGRESS_TOKEN_0 (KEY)",
                "b.example  private network 10.1.2.0/24  the agent's own credentials pass  the seat does not look inside",
                "c.example  grant g-0001 until 2026-11-21T10:00:00.000Z for one request",
            ]
        );
        assert!(describe(&table, &sha256, &store("")).contains("not usable in this environment"));
    }
}
