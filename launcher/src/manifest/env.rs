//! `env`: the agent's own variables, and the names that are not the operator's to set.

use super::walk::{At, Cursor};
use crate::agent_environment::AGENT_VARIABLES;
use contract::EnvName;
use contract::text::harmless;

/// One variable as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name in the agent.
    pub name: EnvName,
    /// Its value.
    pub value: At<Declared>,
}

/// Where a declared value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// Written in the manifest.
    Literal(String),
    /// `${NAME}`: the host variable.
    Host(EnvName),
    /// `?Prompt`: asked at launch.
    Asked(String),
}

/// Names that a manifest may not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The whole name, or its beginning when it ends in `*`. Compared without regard to case.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
}

const fn reserved(name: &'static str, reason: &'static str) -> Reserved {
    Reserved { name, reason }
}

/// Names that a manifest may not set, besides [`AGENT_VARIABLES`].
pub const RESERVED: &[Reserved] = &[
    reserved("PATH", "the image decides where programs are found"),
    reserved("HOME", "the launcher mounts a writable home"),
    reserved("USER", "the launcher names the user"),
    reserved("LOGNAME", "the launcher names the user"),
    reserved("LD_*", "it would load code into every program of the bottle"),
    reserved("GIT_CONFIG*", "the launcher writes git's system configuration"),
    reserved("GIT_SSL_NO_VERIFY", "egress is trusted by its certificate"),
    reserved("GIT_PROXY_SSL_CAINFO", "egress is spoken to without TLS"),
    reserved(
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "egress is trusted by its certificate",
    ),
    reserved("PYTHONHTTPSVERIFY", "egress is trusted by its certificate"),
    reserved("SSL_CERT_DIR", "the launcher names the certificates to trust"),
    reserved("GRPC_PROXY", "the launcher names the proxy"),
    reserved("NO_GRPC_PROXY", "the launcher names the proxy"),
    reserved("FTP_PROXY", "the launcher names the proxy"),
    reserved("RSYNC_PROXY", "the launcher names the proxy"),
    reserved("WS_PROXY", "the launcher names the proxy"),
    reserved("WSS_PROXY", "the launcher names the proxy"),
    reserved("NPM_CONFIG_PROXY", "the launcher names the proxy"),
    reserved("NPM_CONFIG_HTTPS_PROXY", "the launcher names the proxy"),
    reserved("NPM_CONFIG_NOPROXY", "the launcher names the proxy"),
    reserved("PIP_PROXY", "the launcher names the proxy"),
    reserved("CARGO_HTTP_PROXY", "the launcher names the proxy"),
    reserved("BOTTLE_*", "the name is the launcher's own"),
    reserved("EGRESS_TOKEN_*", "the name is a credential's in the guard"),
];

/// Why this name is not the operator's to set.
pub(super) fn refusal(name: &str) -> Option<String> {
    let own = AGENT_VARIABLES
        .iter()
        .find(|variable| variable.name.eq_ignore_ascii_case(name));
    if let Some(variable) = own {
        return Some(format!("the launcher sets it for {}", variable.reason));
    }
    let matches = |reserved: &&Reserved| match reserved.name.strip_suffix('*') {
        Some(beginning) => name
            .get(..beginning.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(beginning)),
        None => reserved.name.eq_ignore_ascii_case(name),
    };
    RESERVED
        .iter()
        .find(matches)
        .map(|reserved| reserved.reason.to_owned())
}

pub(super) fn walk(cursor: &Cursor<'_>) -> Vec<EnvEntry> {
    let Some(fields) = cursor.any_mapping() else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for (key, line, value) in fields.all() {
        let name = match key.parse::<EnvName>() {
            Ok(name) => name,
            Err(error) => {
                cursor.complain_at(line, format!("env: {error}"));
                continue;
            }
        };
        if let Some(reason) = refusal(key) {
            cursor.complain_at(line, format!("{}: reserved; {reason}", value.field()));
            continue;
        }
        if let Some(declared) = declared(&value) {
            entries.push(EnvEntry {
                name,
                value: value.at(declared),
            });
        }
    }
    entries
}

fn declared(cursor: &Cursor<'_>) -> Option<Declared> {
    if cursor.is_nothing() {
        cursor.complain("no value; write \"\" for the empty text");
        return None;
    }
    let text = cursor.text()?;
    if text.contains('\0') {
        cursor.complain("holds a NUL byte, which no variable can");
        return None;
    }
    if let Some(prompt) = text.strip_prefix('?') {
        if prompt.trim().is_empty() {
            cursor.complain("no prompt; write what to ask for, such as \"?Database password\"");
            return None;
        }
        return Some(Declared::Asked(prompt.trim().to_owned()));
    }
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'))
        && !name.contains(['{', '}', '$'])
    {
        return match name.parse() {
            Ok(name) => Some(Declared::Host(name)),
            Err(error) => {
                cursor.complain(error);
                None
            }
        };
    }
    if text.contains("${") {
        cursor.complain(format!(
            "`{}`: `${{NAME}}` stands only as a whole value; set the host variable to the whole text",
            harmless(text)
        ));
        return None;
    }
    Some(Declared::Literal(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_undo_the_bottle_are_reserved() {
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "Https_Proxy",
            "SSL_CERT_FILE",
            "NODE_EXTRA_CA_CERTS",
            "JAVA_TOOL_OPTIONS",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PATH",
            "HOME",
            "BOTTLE_LAUNCH_NONCE",
            "EGRESS_TOKEN_0",
            "npm_config_proxy",
            "GIT_CONFIG_GLOBAL",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
        for name in ["LOG_LEVEL", "LDAP_URL", "PATHS", "GITHUB_REPOSITORY", "LD"] {
            assert!(refusal(name).is_none(), "{name}");
        }
    }
}
