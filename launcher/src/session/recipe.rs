//! What a session of a bottle runs: `session.json` in its state directory, written at `start`, read by `attach`.

use crate::error::{Error, Result};
use crate::home::State;
use crate::plan::Plan;
use crate::render::inside::WORKSPACE;
use contract::SCHEMA_VERSION;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The agent's command, and how it is told to go on where it left off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// [`contract::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// More arguments that make it go on with the last conversation, if it can.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_continue: Vec<String>,
    /// Where it starts, in the container.
    pub working_directory: String,
}

/// Claude Code's flag for "go on with the last conversation in this directory".
const CLAUDE_CONTINUE: &str = "--continue";

impl Recipe {
    /// For this launch.
    pub fn of(plan: &Plan) -> Self {
        let to_continue = match plan.agent.claude {
            Some(_) => vec![CLAUDE_CONTINUE.to_owned()],
            None => Vec::new(),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            command: plan.agent.command.clone(),
            to_continue,
            working_directory: WORKSPACE.to_owned(),
        }
    }

    /// The command of a later session. Where no conversation has been held yet there is none to go on with, and Claude Code
    /// would refuse.
    pub fn later(&self, state: &State) -> Vec<String> {
        let mut command = self.command.clone();
        let told_already = self.to_continue.iter().all(|flag| command.contains(flag));
        if !told_already && has_conversation(&state.agent_home()) {
            command.extend(self.to_continue.iter().cloned());
        }
        command
    }

    /// Writes it.
    pub fn write(&self, state: &State) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::failed("session.json cannot be made").because(error))?;
        Ok(fs_err::write(state.session(), text + "\n")?)
    }

    /// Reads it back.
    pub fn read(state: &State) -> Result<Self> {
        let path = state.session();
        let text = fs_err::read_to_string(&path)?;
        let recipe: Self = serde_json::from_str(&text)
            .map_err(|error| Error::failed(format!("{} cannot be read", path.display())).because(error))?;
        if recipe.schema_version != SCHEMA_VERSION {
            return Err(Error::failed(format!(
                "{} is of another version of bottle ({})",
                path.display(),
                recipe.schema_version
            )));
        }
        Ok(recipe)
    }
}

/// Whether Claude Code has kept a conversation: a `.jsonl` in a folder of `.claude/projects`. The agent can write there, so only
/// names are looked at and no link is followed.
fn has_conversation(home: &Path) -> bool {
    let is_folder = |path: &Path| fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let folder = home.join(".claude");
    let projects = folder.join("projects");
    if !is_folder(home) || !is_folder(&folder) || !is_folder(&projects) {
        return false;
    }
    let entries = |path: &Path| fs_err::read_dir(path).into_iter().flatten().flatten().take(1000);
    entries(&projects)
        .filter(|project| is_folder(&project.path()))
        .flat_map(|project| entries(&project.path()).collect::<Vec<_>>())
        .any(|file| {
            file.path()
                .extension()
                .is_some_and(|extension| extension == "jsonl")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn claude() -> Recipe {
        Recipe {
            schema_version: SCHEMA_VERSION,
            command: vec!["claude".to_owned()],
            to_continue: vec![CLAUDE_CONTINUE.to_owned()],
            working_directory: WORKSPACE.to_owned(),
        }
    }

    #[test]
    fn a_later_session_goes_on_where_there_is_something_to_go_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let state = Home::at(folder.path().to_owned()).state(&"dev-ab1cd".parse().unwrap());
        assert_eq!(claude().later(&state), ["claude"]);
        let project = state.agent_home().join(".claude/projects/-workspace");
        fs_err::create_dir_all(&project).unwrap();
        assert_eq!(claude().later(&state), ["claude"]);
        fs_err::write(project.join("0.jsonl"), "").unwrap();
        assert_eq!(claude().later(&state), ["claude", "--continue"]);
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere/project");
        fs_err::create_dir_all(&elsewhere).unwrap();
        fs_err::write(elsewhere.join("0.jsonl"), "").unwrap();
        let state = Home::at(folder.path().to_owned()).state(&"dev-ab1cd".parse().unwrap());
        fs_err::create_dir_all(state.agent_home().join(".claude")).unwrap();
        std::os::unix::fs::symlink(
            folder.path().join("elsewhere"),
            state.agent_home().join(".claude/projects"),
        )
        .unwrap();
        assert_eq!(claude().later(&state), ["claude"]);
    }

    #[test]
    fn what_is_written_is_read_back_and_another_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let state = Home::at(folder.path().to_owned()).state(&"dev-ab1cd".parse().unwrap());
        fs_err::create_dir_all(state.root()).unwrap();
        claude().write(&state).unwrap();
        assert_eq!(Recipe::read(&state).unwrap(), claude());
        let newer = Recipe {
            schema_version: SCHEMA_VERSION + 1,
            ..claude()
        };
        newer.write(&state).unwrap();
        assert!(Recipe::read(&state).is_err());
    }
}
