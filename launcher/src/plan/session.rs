//! What a session executes in the agent container; kept in the state directory for `attach` and later commands.

use super::{Plan, is_claude};
use contract::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};

/// `session.json` in the state directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// A new session; the first word is the program.
    pub command: Vec<String>,
    /// One that goes on where the last one ended.
    pub resume: Vec<String>,
    /// Where it starts.
    pub working_directory: String,
}

impl Session {
    /// Where every session starts.
    pub const WORKSPACE: &'static str = "/workspace";

    /// The plan's sessions. Claude Code is handed the prompt as an argument and continues by a flag; what other agents make of the
    /// prompt file is their command's business.
    pub fn of(plan: &Plan) -> Self {
        let mut command = plan.agent.command.clone();
        let mut resume = command.clone();
        if command.first().is_some_and(|program| is_claude(program)) {
            if !plan.agent.prompt.is_empty() {
                let prompt = ["--append-system-prompt".to_owned(), plan.agent.prompt.clone()];
                command.extend(prompt.clone());
                resume.extend(prompt);
            }
            resume.push("--continue".to_owned());
        }
        Self {
            schema_version: SCHEMA_VERSION,
            command,
            resume,
            working_directory: Self::WORKSPACE.to_owned(),
        }
    }
}
