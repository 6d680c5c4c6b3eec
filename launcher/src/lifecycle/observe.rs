//! What bottles there are, and what each is doing.

use super::folder;
use super::lock::{Launcher, is_being_changed, launcher};
use super::settle::{BottleState, Evidence, state_of};
use crate::engine::Engine;
use crate::engine::resources::Owned;
use crate::error::{Error, Kind, Result};
use crate::home::{Home, State};
use crate::naming;
use crate::printer::Printer;
use contract::{Metadata, SCHEMA_VERSION, Slug};
use std::collections::BTreeSet;
use std::path::Path;

/// One bottle, as it was a moment ago.
#[derive(Debug, Clone)]
pub struct Bottle {
    /// Its slug.
    pub slug: Slug,
    /// What it is doing.
    pub state: BottleState,
    /// What was seen of it.
    pub evidence: Evidence,
    /// Who it is; `None` when it has no state directory, or one that cannot be read.
    pub metadata: Option<Metadata>,
    /// What the engine has of it.
    pub owned: Owned,
    /// Why its state directory cannot be read; it is [`BottleState::Damaged`] then.
    pub damage: Option<String>,
}

impl Bottle {
    /// Guards whose containers are there and do not run.
    pub fn guards_down(&self) -> Vec<&str> {
        self.owned
            .containers
            .iter()
            .map(|container| container.service.as_str())
            .filter(|service| *service != naming::AGENT && !self.owned.runs(service))
            .collect()
    }
}

/// Every bottle of this home: those with a state directory and those that the engine still has something of. One whose state directory
/// cannot be read hides none of the others.
pub async fn all(engine: &Engine, home: &Home) -> Result<Vec<Bottle>> {
    let mut owned = engine.owned(&home.hash()).await?;
    let folders: BTreeSet<Slug> = folder::slugs(home)?.into_iter().collect();
    let slugs: BTreeSet<Slug> = folders.iter().chain(owned.keys()).cloned().collect();
    let bottles = slugs.into_iter().map(|slug| {
        let has_folder = folders.contains(&slug);
        let owned = owned.remove(&slug).unwrap_or_default();
        seen(home, slug.clone(), owned.clone(), has_folder)
            .unwrap_or_else(|error| damaged(slug, owned, &error))
    });
    Ok(bottles.collect())
}

fn damaged(slug: Slug, owned: Owned, error: &Error) -> Bottle {
    Bottle {
        slug,
        state: BottleState::Damaged,
        evidence: Evidence {
            has_folder: true,
            being_changed: false,
            launcher: Launcher::None,
            was_ready: false,
            preserve: true,
            agent_runs: owned.runs(naming::AGENT),
            has_resources: !owned.is_empty(),
        },
        metadata: None,
        owned,
        damage: Some(error.to_string()),
    }
}

/// Says of which bottles nothing is known, why, and what to do: the command at hand goes on with the others.
pub fn tell_unjudged(printer: &Printer, home: &Home, bottles: &[Bottle]) {
    for bottle in bottles.iter().filter(|bottle| bottle.state.is_unjudged()) {
        let (slug, folder) = (&bottle.slug, home.state(&bottle.slug));
        let folder = folder.root().display();
        match &bottle.damage {
            Some(why) => printer.warning(&format!(
                "{slug}: its state directory cannot be read, so it is left alone: {why}"
            )),
            None => printer.warning(&format!(
                "{slug}: its state directory {folder} is not there, so it is left alone"
            )),
        }
        printer.hint(&format!(
            "bring {folder} back (a disk that is not mounted?), or end it: `bottle stop {slug}` keeps what is left of it"
        ));
    }
}

/// Says, before it is done, what ending a bottle without its state directory would end and remove.
pub fn tell_what_ends(printer: &Printer, home: &Home, bottle: &Bottle) {
    let slug = &bottle.slug;
    let lines = bottle.owned.lines();
    let mut told = match lines.as_slice() {
        [] => format!("ending {slug}, of which the engine has nothing,"),
        _ => format!("ending {slug} removes, found by their names and this home's label:"),
    };
    for line in &lines {
        told.push_str(&format!("\n  {line}"));
    }
    if bottle.evidence.has_folder {
        let and = if lines.is_empty() { "" } else { "\nand" };
        told.push_str(&format!(
            "{and} moves {} to {} as it is",
            home.state(slug).root().display(),
            folder::aside(home, slug).display()
        ));
    }
    printer.message(&told);
}

/// One bottle, looked at again.
pub async fn one(engine: &Engine, home: &Home, slug: &Slug) -> Result<Bottle> {
    let owned = engine.owned_by(&home.hash(), slug).await?;
    let looked = is_there(home.state(slug).root())
        .and_then(|has_folder| seen(home, slug.clone(), owned.clone(), has_folder));
    Ok(looked.unwrap_or_else(|error| damaged(slug.clone(), owned, &error)))
}

fn seen(home: &Home, slug: Slug, owned: Owned, has_folder: bool) -> Result<Bottle> {
    let state = home.state(&slug);
    // What leads nowhere (to a disk that is not mounted, say) tells nothing of its bottle, and is no sign that it is gone.
    if has_folder
        && let Err(error) = fs_err::read_dir(state.root())
        && is_there(state.root())?
    {
        return Err(error.into());
    }
    let evidence = Evidence {
        has_folder,
        being_changed: is_being_changed(&state)?,
        launcher: launcher(&state)?,
        was_ready: is_there(&state.ready())?,
        preserve: is_preserved(home, &slug)?,
        agent_runs: owned.runs(naming::AGENT),
        has_resources: !owned.is_empty(),
    };
    Ok(Bottle {
        slug,
        state: state_of(evidence),
        evidence,
        metadata: metadata(&state).ok(),
        owned,
        damage: None,
    })
}

/// Whether its state directory is to be kept. One that was away while its bottle was ended has no mark of its own; what was set aside of
/// the bottle then is one.
pub(super) fn is_preserved(home: &Home, slug: &Slug) -> Result<bool> {
    Ok(is_there(&home.state(slug).preserve())? || folder::is_set_aside(home, slug))
}

/// Whether there is anything at a path. One that cannot be looked at is an error: to take it for nothing could remove what is kept.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    match fs_err::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// `metadata.json`
pub fn metadata(state: &State) -> Result<Metadata> {
    let path = state.metadata();
    let unreadable =
        |error: anyhow::Error| Error::failed(format!("{} cannot be read", path.display())).because(error);
    let text = fs_err::read_to_string(&path).map_err(|error| unreadable(error.into()))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| unreadable(error.into()))?;
    if metadata.schema_version == SCHEMA_VERSION {
        Ok(metadata)
    } else {
        Err(unreadable(anyhow::anyhow!(
            "it is of another version of bottle ({})",
            metadata.schema_version
        )))
    }
}

/// The bottle that an argument means: its slug, or the beginning of one slug and no other.
pub fn find<'b>(bottles: &'b [Bottle], argument: &str) -> Result<&'b Bottle> {
    if let Some(exact) = bottles.iter().find(|bottle| bottle.slug.as_str() == argument) {
        return Ok(exact);
    }
    let begins: Vec<&Bottle> = bottles
        .iter()
        .filter(|bottle| !argument.is_empty() && bottle.slug.as_str().starts_with(argument))
        .collect();
    match begins.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::new(
            Kind::Usage,
            format!("there is no bottle `{}`", contract::text::harmless(argument)),
        )
        .hinted("`bottle list` shows those that there are")),
        several => {
            let slugs: Vec<&str> = several.iter().map(|bottle| bottle.slug.as_str()).collect();
            Err(Error::new(
                Kind::Usage,
                format!("`{argument}` may mean {}", slugs.join(" or ")),
            )
            .hinted("write one more character of the one that you mean"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottle(slug: &str) -> Bottle {
        Bottle {
            slug: slug.parse().unwrap(),
            state: BottleState::Running,
            evidence: Evidence {
                has_folder: true,
                being_changed: false,
                launcher: Launcher::None,
                was_ready: true,
                preserve: false,
                agent_runs: true,
                has_resources: true,
            },
            metadata: None,
            owned: Owned::default(),
            damage: None,
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_damaged_and_never_taken_for_gone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        let slug: Slug = "away-00000".parse().unwrap();
        let state = home.state(&slug);
        fs_err::create_dir_all(home.states()).unwrap();
        std::os::unix::fs::symlink("/not/mounted", state.root()).unwrap();
        assert!(is_there(state.root()).unwrap());
        assert!(seen(&home, slug.clone(), Owned::default(), true).is_err());
        fs_err::remove_file(state.root()).unwrap();
        fs_err::create_dir_all(state.preserve()).unwrap();
        let kept = seen(&home, slug, Owned::default(), true).unwrap();
        assert_eq!(
            kept.state,
            BottleState::Preserved,
            "whatever it is that lies there"
        );
    }

    #[test]
    fn a_bottle_is_meant_by_its_slug_or_by_a_beginning_that_no_other_has() {
        let bottles = [bottle("dev-ab1cd"), bottle("dev-ab2xy"), bottle("review-00000")];
        let slug = |argument: &str| find(&bottles, argument).map(|found| found.slug.to_string());
        assert_eq!(slug("dev-ab1cd").unwrap(), "dev-ab1cd");
        assert_eq!(slug("rev").unwrap(), "review-00000");
        assert_eq!(slug("dev-ab2").unwrap(), "dev-ab2xy");
        let ambiguous = slug("dev").unwrap_err();
        assert_eq!(ambiguous.kind().exit_code(), 2);
        assert!(
            ambiguous.to_string().contains("dev-ab1cd or dev-ab2xy"),
            "{ambiguous}"
        );
        for nothing in ["", "other", "dev-ab1cde"] {
            assert_eq!(slug(nothing).unwrap_err().kind().exit_code(), 2, "{nothing}");
        }
    }
}
