//! `bottle init`

use crate::cli::Context;
use crate::error::{Error, Result};
use crate::write;
use clap::Args;
use std::path::Path;

/// Write a first agent and a first bottle.
///
/// They lie in `~/.claude-bottle` (or in BOTTLE_HOME), explain themselves, and are meant to be changed. Files that are there already
/// are left alone.
#[derive(Debug, Args)]
pub struct Init {}

const AGENT: &str = include_str!("init/implementer.md");
const BOTTLE: &str = include_str!("init/dev.md");
/// The name of the first agent.
const AGENT_NAME: &str = "implementer";
/// The name of the first bottle.
const BOTTLE_NAME: &str = "dev";
/// Manifests hold no secret.
const MODE: u32 = 0o644;

impl Init {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let agent = home.agents().join(format!("{AGENT_NAME}.md"));
        let bottle = home.bottles().join(format!("{BOTTLE_NAME}.md"));
        let there: Vec<String> = [&agent, &bottle]
            .iter()
            .filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect();
        if !there.is_empty() {
            let are = if there.len() == 1 { "is" } else { "are" };
            return Err(Error::failed(format!(
                "{} {are} there already; nothing was written",
                there.join(" and ")
            ))
            .hinted("change what is there by hand, then run `bottle check`"));
        }
        for folder in [
            home.root().to_owned(),
            home.agents(),
            home.bottles(),
            home.skills(),
        ] {
            // Its parents are the operator's own business, and so are their modes.
            if let Some(parent) = folder.parent() {
                fs_err::create_dir_all(parent)?;
            }
            write::folder(&folder)?;
        }
        write_both(&agent, &bottle)?;
        context
            .printer
            .data(&format!("{}\n{}", agent.display(), bottle.display()));
        context
            .printer
            .hint("read and change both, then run `bottle check`");
        context.printer.hint(&format!(
            "start it with `bottle start {AGENT_NAME} --cwd`, or look first with `--dry-run`"
        ));
        Ok(())
    }
}

/// Both or neither.
fn write_both(agent: &Path, bottle: &Path) -> Result<()> {
    write::anew(agent, AGENT.as_bytes(), MODE)?;
    write::anew(bottle, BOTTLE.as_bytes(), MODE).inspect_err(|_| {
        // The error that led here is the one to tell.
        let _ = fs_err::remove_file(agent);
    })
}
