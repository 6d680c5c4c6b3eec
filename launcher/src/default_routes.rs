//! The hosts that Claude Code itself needs, folded in for agents that run it.
//!
//! One table, a reason per host and per path. What is not in it: telemetry and error-reporting hosts (turned off in the
//! agent's environment), the host for updates and plugins (the image pins the version), and the model API's file store
//! (`/v1/files`), which keeps what is put there.

use contract::{HostName, Method, PathPrefix, Route};

/// The model API.
pub const MODEL_API: &str = "api.anthropic.com";

/// One host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The exact host.
    pub host: &'static str,
    /// Why it is needed.
    pub reason: &'static str,
    /// What is admitted there.
    pub paths: &'static [DefaultPath],
    /// What is admitted of it.
    pub methods: &'static [&'static str],
}

/// One path prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultPath {
    /// The prefix.
    pub path: &'static str,
    /// Why it is needed.
    pub reason: &'static str,
}

/// Every host that Claude Code needs.
pub const CLAUDE_CODE: &[DefaultRoute] = &[DefaultRoute {
    host: MODEL_API,
    reason: "the model, and the settings of the account; seen with 2.1.329 and its nonessential traffic turned off",
    paths: &[
        DefaultPath {
            path: "/v1/messages",
            reason: "conversations, and counting their tokens below it",
        },
        DefaultPath {
            path: "/v1/models",
            reason: "which models there are",
        },
        DefaultPath {
            path: "/api/claude_code/settings",
            reason: "the organisation's managed settings; without them a session says so and drops to manual permissions",
        },
        DefaultPath {
            path: "/api/claude_code/policy_limits",
            reason: "what the organisation's policy allows the program to do; asked beside the settings",
        },
    ],
    methods: &["GET", "HEAD", "POST"],
}];

/// The table as routes.
pub fn claude_code() -> Vec<Route> {
    CLAUDE_CODE.iter().filter_map(route).collect()
}

/// Whether the seat tunnels this host without looking inside: what an agent says to its own model is full of words that
/// scanners mistake for seeds and keys, and goes to a host that is trusted with all of it anyway.
pub fn is_inspected(host: &HostName) -> bool {
    host.as_str() != MODEL_API
}

fn route(default: &DefaultRoute) -> Option<Route> {
    let host: HostName = default.host.parse().ok()?;
    let paths: Option<Vec<PathPrefix>> = default.paths.iter().map(|path| path.path.parse().ok()).collect();
    let methods: Option<Vec<Method>> = default.methods.iter().map(|method| method.parse().ok()).collect();
    Some(Route {
        path_allowlist: Some(paths?),
        methods: Some(methods?),
        inspect: is_inspected(&host),
        ..Route::bare(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::{RequestLine, RouteTable};

    fn admitted(method: &str, path: &str) -> bool {
        let table = RouteTable::new(1, claude_code()).unwrap();
        let host = MODEL_API.parse().unwrap();
        let request = RequestLine {
            host: &host,
            method,
            path: path.as_bytes(),
        };
        table.decide(request, |_| true).is_ok()
    }

    #[test]
    fn every_entry_is_a_route() {
        let routes = claude_code();
        assert_eq!(routes.len(), CLAUDE_CODE.len());
        assert!(routes.iter().all(|route| route.check().is_ok()));
    }

    #[test]
    fn the_model_is_reached_and_its_file_store_is_not() {
        assert!(admitted("POST", "/v1/messages"));
        assert!(admitted("POST", "/v1/messages/count_tokens"));
        assert!(admitted("GET", "/v1/models"));
        for path in [
            "/v1/files",
            "/v1/files/x",
            "/v1/messages/../files",
            "/v1/messagesx",
            "/v1/organizations",
            "/api/event_logging/batch",
        ] {
            assert!(!admitted("POST", path), "{path}");
        }
        assert!(!admitted("DELETE", "/v1/messages/batches/x"));
    }

    #[test]
    fn what_the_agent_says_to_its_model_is_not_inspected() {
        assert!(claude_code().iter().all(|route| !route.inspect));
        assert!(is_inspected(&"docs.rs".parse().unwrap()));
    }
}
