//! What the operator scans before saying yes: names, never values, in a layout that does not change.

use crate::plan::Plan;
use contract::{AgentCredentials, Route};

/// The width of a label.
const LABEL: usize = 10;

/// The layout: a label padded to ten, its first value beside it, further values below; a label without values is left out.
pub fn layout(plan: &Plan) -> String {
    let agent = &plan.agent;
    let rows: [(&str, Vec<String>); 6] = [
        ("agent", vec![plan.agent_name.to_string()]),
        (
            "env",
            agent.env.iter().map(|(name, _)| name.to_string()).collect(),
        ),
        (
            "skills",
            agent.skills.iter().map(|skill| skill.name.to_string()).collect(),
        ),
        ("bottle", vec![plan.bottle_name.to_string()]),
        (
            "git gate",
            plan.git_remotes
                .iter()
                .map(|remote| remote.upstream.to_string())
                .collect(),
        ),
        ("egress", plan.routes.routes().iter().map(route).collect()),
    ];
    let mut lines = Vec::new();
    for (label, values) in rows {
        for (index, value) in values.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            lines.push(format!("{label:<LABEL$}{value}"));
        }
    }
    lines.join("\n")
}

/// The host, and what makes its route more than a bare pass to the public internet.
fn route(route: &Route) -> String {
    let mut shown = route.host.to_string();
    if let Some(auth) = &route.auth {
        shown.push_str(&format!(" [auth:{}]", auth.scheme));
    }
    if let Some(cidr) = route.private_cidr {
        shown.push_str(&format!(" [private:{cidr}]"));
    }
    if route.agent_credentials == AgentCredentials::Allow {
        shown.push_str(" [agent_credentials:allow]");
    }
    shown
}
