//! Both files from one model, in the form that the chosen engine accepts and needs.
//!
//! Every line that is there because of a trap says so in a comment: the operator reads this file, too.

use std::fmt::Write as _;

use contract::place::config::{CA_CERTIFICATE, CA_KEY};

use crate::dlp_file::DlpFile;
use crate::model::{Engine, Model, ResponseScanning};

/// What lies in the seat's config directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `pipelock.yaml`.
    pub pipelock_yaml: String,
    /// `dlp.yaml`; none for the real pipelock.
    pub dlp_yaml: Option<String>,
    /// What the chosen engine cannot do of this model, for the operator.
    pub notes: Vec<String>,
}

/// Renders. A model is made of checked values, so there is nothing that can fail.
pub fn render(model: &Model, engine: Engine) -> Rendered {
    let notes = match engine {
        Engine::Builtin => Vec::new(),
        Engine::Pipelock => limits(model),
    };
    Rendered {
        pipelock_yaml: pipelock_yaml(model, engine),
        dlp_yaml: match engine {
            Engine::Builtin => DlpFile::of(model).render().ok(),
            Engine::Pipelock => None,
        },
        notes,
    }
}

fn pipelock_yaml(model: &Model, engine: Engine) -> String {
    let real = engine == Engine::Pipelock;
    let mut yaml = String::from(
        "# The seat of this bottle, in pipelock's schema. `bottle pipelock edit` keeps order, comments and what it does not know.\n\
         version: 1\n\
         mode: strict\n\
         enforce: true\n\
         explain_blocks: true\n",
    );
    yaml.push_str("# The hosts of the routes; egress says more narrowly what may be asked of them.\n");
    list(&mut yaml, "api_allowlist", 0, &model.hosts);
    yaml.push_str(
        "fetch_proxy:\n  # The proxy's own port; a shim in the same network namespace is the only one that reaches it.\n  \
         listen: 127.0.0.1:8888\n  monitoring:\n    max_url_length: 16384\n",
    );
    if real {
        yaml.push_str(
            "    # It cannot be switched off: 0 turns into 60.\n    max_requests_per_minute: 1000000\n",
        );
    }
    list(&mut yaml, "blocklist", 4, &model.refused_hosts);
    yaml.push_str("forward_proxy:\n  enabled: true\n");
    if real {
        yaml.push_str(
            "  # Tunnels end then, also in the middle of a stream: 30 days.\n  max_tunnel_seconds: 2592000\n  \
             idle_timeout_seconds: 3600\n  # With it, keep-alive inside an intercepted tunnel ends at the second request; egress \
             compares the names.\n  sni_verification: false\n",
        );
    }
    let _ = write!(
        yaml,
        "tls_interception:\n  enabled: true\n  ca_cert: {CA_CERTIFICATE}\n  ca_key: {CA_KEY}\n"
    );
    if real {
        yaml.push_str("  max_response_bytes: 1073741824\n");
    }
    yaml.push_str("  # What the agent says to its own model is not looked at.\n");
    list(&mut yaml, "passthrough_domains", 2, &model.passthrough);
    request_scanning(&mut yaml, model, real);
    response_scanning(&mut yaml, model.response_scanning);
    yaml.push_str("ssrf:\n  # Where the routes' private_cidr lie; never the bottle's own network.\n");
    let mut networks: Vec<_> = model
        .private_networks
        .iter()
        .map(|one| one.network.trunc())
        .collect();
    networks.sort_unstable();
    networks.dedup();
    list(&mut yaml, "ip_allowlist", 2, &networks);
    yaml.push_str(
        "logging:\n  format: json\n  output: stdout\n  include_allowed: true\n  include_blocked: true\n",
    );
    if real {
        yaml.push_str("# Not on the proxy's port.\nmetrics_listen: 127.0.0.1:9090\n");
    }
    yaml.push_str("sentry:\n  enabled: false\n");
    yaml
}

fn request_scanning(yaml: &mut String, model: &Model, real: bool) {
    yaml.push_str(
        "request_body_scanning:\n  enabled: true\n  action: block\n  scan_headers: true\n  header_mode: all\n",
    );
    if real {
        yaml.push_str(
            "  # Longer bodies are refused, and so are compressed ones.\n  max_body_bytes: 52428800\n",
        );
        let mut headers: Vec<_> = model.injected.iter().map(|one| one.header.as_str()).collect();
        headers.sort_unstable();
        headers.dedup();
        yaml.push_str(
            "  # What egress injects would be refused; egress has dropped what the agent sent there.\n",
        );
        list(yaml, "ignore_headers", 2, &headers);
    }
    yaml.push_str(
        "dlp:\n  include_defaults: true\n  # The values of the agent's own secrets are in this process's environment.\n  scan_env: \
         true\n  min_env_secret_length: 16\nseed_phrase_detection:\n",
    );
    if real {
        yaml.push_str("  # It joins all words of a JSON body, and ordinary conversations are refused.\n  enabled: false\n");
    } else {
        yaml.push_str("  enabled: true\n");
    }
}

fn response_scanning(yaml: &mut String, mode: ResponseScanning) {
    let (enabled, action) = match mode {
        ResponseScanning::Off => (false, "warn"),
        ResponseScanning::Warn => (true, "warn"),
        ResponseScanning::Block => (true, "block"),
    };
    let _ = write!(
        yaml,
        "response_scanning:\n  enabled: {enabled}\n  action: {action}\n"
    );
}

/// A block list, or `[]`. The items need no quotes: hosts, networks and header names hold nothing that YAML reads otherwise —
/// but a host may look like a number, so all are quoted alike.
fn list<T: ToString>(yaml: &mut String, key: &str, indent: usize, items: &[T]) {
    let pad = " ".repeat(indent);
    if items.is_empty() {
        let _ = writeln!(yaml, "{pad}{key}: []");
        return;
    }
    let _ = writeln!(yaml, "{pad}{key}:");
    for item in items {
        let _ = writeln!(yaml, "{pad}  - {}", crate::list::scalar(&item.to_string()));
    }
}

/// What the real engine does not do of a model.
fn limits(model: &Model) -> Vec<String> {
    let mut notes = vec![
        "WebSocket does not work through the real pipelock: it drops Upgrade inside an intercepted tunnel"
            .to_owned(),
        "compressed request bodies, and bodies over 50 MiB, are refused by the real pipelock".to_owned(),
        "the real pipelock logs the whole URL of a request that it refuses".to_owned(),
    ];
    if !model.injected.is_empty() {
        notes.push(
            "headers that egress injects are not scanned by the real pipelock, on any host (ignore_headers)"
                .to_owned(),
        );
    }
    if !model.private_networks.is_empty() {
        notes.push(
            "the real pipelock lets every allowed host resolve in every private network listed".to_owned(),
        );
    }
    for exemption in &model.exemptions {
        notes.push(format!(
            "the exemption {} of {} from the rule {} is not known to the real pipelock",
            exemption.id, exemption.host, exemption.rule
        ));
    }
    if !model.refused_networks.is_empty() {
        notes.push("the real pipelock refuses internal addresses by its own list only".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
