//! Paths in the agent container.

use crate::plan::Plan;

/// The user that every process runs as.
pub(super) const USER: &str = "agent";
/// Its home, writable.
pub(super) const HOME: &str = "/home/agent";
/// Where every session starts.
pub const WORKSPACE: &str = "/workspace";
/// The agent's instructions, the manifest's body.
pub(super) const PROMPT: &str = "/etc/claude-bottle/prompt.md";
/// Which MCP servers the agent has: supervise, where the bottle has it.
pub const MCP: &str = "/etc/claude-bottle/mcp.json";
/// The Dockerfile of the agent's own image, for `capability-block`.
pub(super) const CURRENT_CONFIG: &str = "/etc/claude-bottle/current-config";
/// Certificates to trust.
pub(super) const CA: &str = "/etc/claude-bottle/ca";
/// Where Debian and Alpine keep the certificates to trust: programs that read no variable (wget, anything with GnuTLS) look here.
pub(super) const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Our programs.
pub(super) const BIN: &str = "/run/bottle/bin";
/// Process 1.
pub(super) const SHIM: &str = "/run/bottle/bin/shim";
/// Shows from inside that nothing but the guards can be reached.
pub const PROBE: &str = "/run/bottle/bin/probe";

/// Where skills lie: where Claude Code looks for them, for an agent that runs it.
pub(super) fn skills(plan: &Plan) -> &'static str {
    match plan.agent.claude {
        Some(_) => "/home/agent/.claude/skills",
        None => "/etc/claude-bottle/skills",
    }
}
