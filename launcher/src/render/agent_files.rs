//! Small files that the agent container is given.

use super::inside;
use crate::error::{Doing as _, Result};
use crate::plan::{ClaudeLogin, Identity, Plan};
use contract::PLACEHOLDER_CREDENTIAL;
use serde_json::json;

/// In `agent/etc`.
pub(super) const PASSWD: &str = "passwd";
/// In `agent/etc`.
pub(super) const GROUP: &str = "group";
/// In `agent/etc`.
pub(super) const GITCONFIG: &str = "gitconfig";
/// In `agent/etc`.
pub(super) const MCP: &str = "mcp.json";
/// In `agent/ca`.
pub(super) const CA_PEM: &str = "ca.pem";
/// In `agent/ca`.
pub(super) const TRUST_STORE: &str = "truststore.p12";
/// In `agent/home`: Claude Code's own state.
pub(super) const CLAUDE_STATE: &str = ".claude.json";

/// The manifest's body, as a text file ends.
pub(super) fn prompt(plan: &Plan) -> String {
    match plan.agent.prompt.as_str() {
        "" => String::new(),
        prompt => format!("{prompt}\n"),
    }
}

/// ssh and git refuse a uid without a line here (measured).
pub(super) fn passwd(identity: Identity) -> String {
    let Identity { uid, gid, .. } = identity;
    let own = format!("{}:x:{uid}:{gid}::{}:/bin/sh\n", inside::USER, inside::HOME);
    // The first line for a uid is the one that counts.
    format!("{own}root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
}

pub(super) fn group(identity: Identity) -> String {
    format!(
        "{}:x:{}:\nroot:x:0:\nnogroup:x:65534:\n",
        inside::USER,
        identity.gid
    )
}

/// The workspace may belong to another uid than the agent's (an image's own files; a mount under a root operator), which git
/// refuses to touch unless told. Every spelling of an upstream leads to the gate.
pub(super) fn gitconfig(plan: &Plan) -> String {
    let mut text = "[safe]\n\tdirectory = *\n".to_owned();
    for remote in &plan.git_remotes {
        let route = remote.upstream.route();
        let stem = route.strip_suffix(".git").unwrap_or(&route);
        // git puts what follows the prefix (`.git`, or nothing) behind it; of two prefixes it takes the longer.
        let port = contract::place::container::GIT_GATE_PORT;
        text.push_str(&format!("[url \"http://git-gate:{port}/{stem}\"]\n"));
        for spelling in remote.upstream.spellings() {
            text.push_str(&format!("\tinsteadOf = {spelling}\n"));
        }
    }
    text
}

/// How long a call of supervise may take, in milliseconds: a day, for a person answers it. Without it Claude Code gives up after
/// 60 s (until something comes).
const SUPERVISE_TIMEOUT: u64 = 24 * 60 * 60 * 1000;

/// The agent's MCP servers, in the form that Claude Code and others read. `alwaysLoad`: Claude Code would keep the tools' descriptions
/// from the model until it searches for them, and a stuck agent does not know what to search for.
pub(super) fn mcp() -> Result<String> {
    let port = contract::place::container::SUPERVISE_PORT;
    let servers = json!({
        "mcpServers": {
            "supervise": {
                "type": "http",
                "url": format!("http://supervise:{port}/mcp"),
                "timeout": SUPERVISE_TIMEOUT,
                "alwaysLoad": true,
            }
        }
    });
    let text = serde_json::to_string_pretty(&servers).doing(|| "mcp.json cannot be written".to_owned())?;
    Ok(text + "\n")
}

/// What Claude Code would ask on its first run: onboarding, whether to trust the workspace, whether to use the key that it finds (it
/// remembers the last 20 characters; measured with 2.1.329).
pub(super) fn claude_state(plan: &Plan) -> Result<Option<String>> {
    let Some(login) = plan.agent.claude else {
        return Ok(None);
    };
    let approved: Vec<&str> = match login {
        ClaudeLogin::ApiKey => {
            let start = PLACEHOLDER_CREDENTIAL.len().saturating_sub(20);
            PLACEHOLDER_CREDENTIAL.get(start..).into_iter().collect()
        }
        ClaudeLogin::OauthToken | ClaudeLogin::None => Vec::new(),
    };
    let state = json!({
        "hasCompletedOnboarding": true,
        "projects": { inside::WORKSPACE: { "hasTrustDialogAccepted": true } },
        "customApiKeyResponses": { "approved": approved },
    });
    let text =
        serde_json::to_string_pretty(&state).doing(|| "Claude Code's state cannot be written".to_owned())?;
    Ok(Some(text + "\n"))
}
