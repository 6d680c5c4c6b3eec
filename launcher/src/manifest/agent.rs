//! `agents/<agent>.md`: which bottle, which image, which command; the body is the prompt.

use super::Kinded;
use super::walk::{At, Cursor, Retired};
use contract::text::harmless;
use contract::{BottleName, SkillName};

/// One agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentManifest {
    /// The bottle that it runs in.
    pub bottle: At<BottleName>,
    /// What it is for, in a line.
    pub description: Option<String>,
    /// Skills copied into it, each once.
    pub skills: Vec<At<SkillName>>,
    /// What a session executes; at least the program.
    pub command: Option<Vec<String>>,
    /// The image.
    pub image: At<ImageChoice>,
    /// The body: the agent's standing instructions.
    pub prompt: String,
}

/// The image as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageChoice {
    /// Ours, with Claude Code.
    Claude,
    /// Ours, with a shell and git.
    Small,
    /// The operator's own Dockerfile, as written.
    Dockerfile(String),
}

const KEYS: &[&str] = &["bottle", "command", "description", "image", "skills"];

const RETIRED: &[Retired] = &[
    Retired {
        key: "tokens",
        instead: "give the bottle's route `auth: { scheme: Bearer, token_ref: NAME }`",
    },
    Retired {
        key: "ssh",
        instead: "list the repository under `git.remotes` of the bottle",
    },
];

impl Kinded for AgentManifest {
    fn walk(root: &Cursor<'_>, body: String) -> Option<Self> {
        let fields = root.mapping(KEYS, RETIRED)?;
        let bottle = fields
            .required(
                "bottle",
                "name the bottle that the agent runs in, a file in bottles/",
            )
            .and_then(|cursor| cursor.parse());
        let description = fields
            .get("description")
            .and_then(|cursor| cursor.text().map(str::to_owned));
        let skills = fields
            .get("skills")
            .map(|cursor| skills(&cursor))
            .unwrap_or_default();
        let written_command = fields.get("command");
        let command = written_command.as_ref().and_then(command);
        let image = match fields.get("image") {
            Some(cursor) => image(&cursor),
            None => Some(root.at(ImageChoice::Claude)),
        };
        if let (
            Some(At {
                value: ImageChoice::Dockerfile(_),
                line,
                ..
            }),
            None,
        ) = (&image, &written_command)
        {
            root.complain_at(*line, "command: missing; with a Dockerfile of your own, say what a session runs, such as `command: [bash]`");
        }
        Some(Self {
            bottle: bottle?,
            description,
            skills,
            command,
            image: image?,
            prompt: body,
        })
    }
}

fn skills(cursor: &Cursor<'_>) -> Vec<At<SkillName>> {
    let mut skills: Vec<At<SkillName>> = Vec::new();
    for item in cursor.list().unwrap_or_default() {
        let Some(skill) = item.parse::<SkillName>() else {
            continue;
        };
        if skills.iter().any(|known| known.value == skill.value) {
            item.complain(format!("`{}` is there twice", skill.value));
        } else {
            skills.push(skill);
        }
    }
    skills
}

/// A list of words; one word alone may stand without a list.
fn command(cursor: &Cursor<'_>) -> Option<Vec<String>> {
    if cursor.is_scalar() {
        let text = cursor.text()?;
        if text.is_empty() || text.contains(char::is_whitespace) {
            let words: Vec<&str> = text.split_whitespace().collect();
            cursor.complain(format!(
                "write a list of words, such as [{}]",
                harmless(&words.join(", "))
            ));
            return None;
        }
        return Some(vec![text.to_owned()]);
    }
    let items = cursor.list()?;
    let words: Vec<String> = items.iter().filter_map(Cursor::text).map(str::to_owned).collect();
    if items.is_empty() || words.first().is_some_and(String::is_empty) {
        cursor.complain("names no program; write a list of words, such as [bash, -l]");
        return None;
    }
    if let Some(item) = items
        .iter()
        .find(|item| item.text().is_some_and(|word| word.contains('\0')))
    {
        item.complain("holds a NUL byte, which no argument can");
        return None;
    }
    (words.len() == items.len()).then_some(words)
}

fn image(cursor: &Cursor<'_>) -> Option<At<ImageChoice>> {
    match cursor.text()? {
        "claude" => Some(cursor.at(ImageChoice::Claude)),
        "small" => Some(cursor.at(ImageChoice::Small)),
        path if path.contains('/') && !path.contains('\0') => {
            Some(cursor.at(ImageChoice::Dockerfile(path.to_owned())))
        }
        other => {
            cursor.complain(format!(
                "`{}` is neither `claude` nor `small`; a Dockerfile of your own is named by a path with a `/`, such as `./Dockerfile`",
                harmless(other)
            ));
            None
        }
    }
}
