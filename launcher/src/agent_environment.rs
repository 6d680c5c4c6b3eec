//! The environment of the agent container: which variable makes which program use egress and trust the bottle's CA.
//!
//! Data with a reason per entry. A manifest may not set any of these ([`crate::manifest::RESERVED`] has the rest): an agent whose
//! proxy or trust is set otherwise reaches nothing at all, and the operator would look for the fault in the guards.

use contract::place::container::EGRESS_PORT;

/// Where the certificate of the bottle's CA lies, PEM.
pub const CA_BUNDLE: &str = "/etc/claude-bottle/ca/ca.pem";
/// The same certificate as a PKCS#12 trust store, for Java.
pub const TRUST_STORE: &str = "/etc/claude-bottle/ca/truststore.p12";
/// The trust store's password. Not a secret: a PKCS#12 file must have one, and this one is Java's own default.
pub const TRUST_STORE_PASSWORD: &str = "changeit";
/// Names that never go through the proxy: the guards and loopback. Not `_egress.local`, which egress answers itself.
pub const NO_PROXY: &str = "egress,git-gate,supervise,localhost,127.0.0.1,::1";

/// One variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentVariable {
    /// Its name.
    pub name: &'static str,
    /// What it is set to.
    pub value: Value,
    /// Who reads it.
    pub reason: &'static str,
}

/// What a variable is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// The URL of egress.
    Proxy,
    /// [`NO_PROXY`].
    NoProxy,
    /// [`CA_BUNDLE`].
    CaBundle,
    /// Java's options: proxy and trust store.
    JavaOptions,
    /// As it stands.
    Literal(&'static str),
}

impl Value {
    /// The text of the variable.
    pub fn text(self) -> String {
        match self {
            Self::Proxy => format!("http://127.0.0.1:{EGRESS_PORT}"),
            Self::NoProxy => NO_PROXY.to_owned(),
            Self::CaBundle => CA_BUNDLE.to_owned(),
            Self::JavaOptions => java_options(),
            Self::Literal(text) => text.to_owned(),
        }
    }
}

const fn variable(name: &'static str, value: Value, reason: &'static str) -> AgentVariable {
    AgentVariable { name, value, reason }
}

/// Every variable, in the order in which compose lists it.
pub const AGENT_VARIABLES: &[AgentVariable] = &[
    variable(
        "HTTP_PROXY",
        Value::Proxy,
        "Go and most HTTP libraries, over plain HTTP",
    ),
    variable("HTTPS_PROXY", Value::Proxy, "nearly everything, over HTTPS"),
    variable(
        "http_proxy",
        Value::Proxy,
        "curl, which reads only the lower-case form for plain HTTP (CVE-2016-5385); wget, Perl",
    ),
    variable(
        "https_proxy",
        Value::Proxy,
        "wget, Perl and gRPC, which read only the lower-case form",
    ),
    variable(
        "ALL_PROXY",
        Value::Proxy,
        "curl, httpx and reqwest with any other scheme: it ends at egress, not at a failed name lookup",
    ),
    variable("all_proxy", Value::Proxy, "what reads only the lower-case form"),
    variable(
        "NO_PROXY",
        Value::NoProxy,
        "everything: the guards are on loopback",
    ),
    variable("no_proxy", Value::NoProxy, "what reads only the lower-case form"),
    variable(
        "NODE_USE_ENV_PROXY",
        Value::Literal("1"),
        "Node's own fetch and http, which ignore proxy variables without it (Node 22.21 and 24)",
    ),
    variable(
        "NODE_EXTRA_CA_CERTS",
        Value::CaBundle,
        "Node, Bun and Electron, which have compiled-in roots and add these",
    ),
    variable(
        "SSL_CERT_FILE",
        Value::CaBundle,
        "OpenSSL, Go, Ruby, Python's ssl (aiohttp, httpx, urllib), rustls-native-certs, uv, wget with OpenSSL",
    ),
    variable(
        "REQUESTS_CA_BUNDLE",
        Value::CaBundle,
        "Python requests, which brings its own roots (certifi); conda, poetry and Azure CLI use it",
    ),
    variable(
        "PIP_CERT",
        Value::CaBundle,
        "pip, also where its vendored requests is told to use the system store",
    ),
    variable(
        "HTTPLIB2_CA_CERTS",
        Value::CaBundle,
        "Python httplib2 (Google API clients)",
    ),
    variable(
        "CURL_CA_BUNDLE",
        Value::CaBundle,
        "curl, whatever TLS library it was built with; requests as a second choice",
    ),
    variable("GIT_SSL_CAINFO", Value::CaBundle, "git over HTTPS"),
    variable("CARGO_HTTP_CAINFO", Value::CaBundle, "cargo"),
    variable("DENO_CERT", Value::CaBundle, "Deno"),
    variable("AWS_CA_BUNDLE", Value::CaBundle, "AWS CLI and SDKs"),
    variable(
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        Value::CaBundle,
        "Google Cloud CLI",
    ),
    variable(
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        Value::CaBundle,
        "gRPC's C core and what is built on it",
    ),
    variable(
        "NPM_CONFIG_CAFILE",
        Value::CaBundle,
        "npm and pnpm; the proxy they take from HTTPS_PROXY",
    ),
    variable("YARN_HTTPS_CA_FILE_PATH", Value::CaBundle, "Yarn 2 and later"),
    variable(
        "YARN_HTTP_PROXY",
        Value::Proxy,
        "Yarn 2 and later, which reads no other proxy variable",
    ),
    variable("YARN_HTTPS_PROXY", Value::Proxy, "Yarn 2 and later, over HTTPS"),
    variable("BUNDLE_SSL_CA_CERT", Value::CaBundle, "Ruby's Bundler"),
    variable(
        "PERL_LWP_SSL_CA_FILE",
        Value::CaBundle,
        "Perl LWP, which brings its own roots (Mozilla::CA)",
    ),
    variable("HTTPS_CA_FILE", Value::CaBundle, "older Perl LWP (Crypt::SSLeay)"),
    variable(
        "NIX_SSL_CERT_FILE",
        Value::CaBundle,
        "Nix and programs that it built",
    ),
    variable("HEX_CACERTS_PATH", Value::CaBundle, "Elixir's package manager"),
    variable(
        "JAVA_TOOL_OPTIONS",
        Value::JavaOptions,
        "every JVM: it reads neither proxy variables nor PEM files",
    ),
    variable(
        "PIP_DISABLE_PIP_VERSION_CHECK",
        Value::Literal("1"),
        "pip, which would ask the package index for its own version at every call",
    ),
    variable(
        "NPM_CONFIG_UPDATE_NOTIFIER",
        Value::Literal("false"),
        "npm, which would ask its registry for its own version",
    ),
    variable(
        "DISABLE_AUTOUPDATER",
        Value::Literal("1"),
        "Claude Code: the image pins the version",
    ),
    variable(
        "DISABLE_TELEMETRY",
        Value::Literal("1"),
        "Claude Code: no telemetry host is admitted",
    ),
    variable(
        "DISABLE_ERROR_REPORTING",
        Value::Literal("1"),
        "Claude Code: no error-reporting host is admitted",
    ),
    variable(
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        Value::Literal("1"),
        "Claude Code: dials the model API alone",
    ),
];

fn java_options() -> String {
    let port = EGRESS_PORT;
    let direct = NO_PROXY.replace("::1", "[::1]").replace(',', "|");
    [
        format!("-Djavax.net.ssl.trustStore={TRUST_STORE}"),
        "-Djavax.net.ssl.trustStoreType=PKCS12".to_owned(),
        format!("-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}"),
        "-Dhttp.proxyHost=127.0.0.1".to_owned(),
        format!("-Dhttp.proxyPort={port}"),
        "-Dhttps.proxyHost=127.0.0.1".to_owned(),
        format!("-Dhttps.proxyPort={port}"),
        format!("-Dhttp.nonProxyHosts={direct}"),
    ]
    .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_there_once() {
        let mut names: Vec<&str> = AGENT_VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
    }

    #[test]
    fn the_introspection_host_goes_through_the_proxy() {
        let excluded: Vec<&str> = NO_PROXY.split(',').collect();
        assert!(
            !excluded
                .iter()
                .any(|name| contract::place::INTROSPECTION_HOST.ends_with(name))
        );
    }

    #[test]
    fn java_is_told_proxy_and_trust_store() {
        insta::assert_snapshot!(Value::JavaOptions.text(), @"-Djavax.net.ssl.trustStore=/etc/claude-bottle/ca/truststore.p12 -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=changeit -Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=3128 -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=3128 -Dhttp.nonProxyHosts=egress|git-gate|supervise|localhost|127.0.0.1|[::1]");
    }
}
