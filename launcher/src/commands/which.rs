//! Which bottle an argument means, found out from the state directories alone: commands on a bottle's policy need no engine.

use crate::apply::Target;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::lifecycle::folder;
use contract::Slug;

/// The bottle with this slug, or the beginning of it; without one, the only bottle that there is.
pub(super) fn target(home: &Home, argument: Option<&str>) -> Result<Target> {
    let slugs = folder::slugs(home)?;
    let Some(argument) = argument else {
        return match slugs.as_slice() {
            [one] => Target::of(home, one),
            [] => Err(Error::usage("there is no bottle").hinted("`bottle start AGENT` starts one")),
            several => Err(ambiguous("there are several bottles:", several)),
        };
    };
    if let Some(exact) = slugs.iter().find(|slug| slug.as_str() == argument) {
        return Target::of(home, exact);
    }
    let begins: Vec<Slug> = slugs
        .into_iter()
        .filter(|slug| !argument.is_empty() && slug.as_str().starts_with(argument))
        .collect();
    let shown = contract::text::harmless(argument);
    match begins.as_slice() {
        [one] => Target::of(home, one),
        [] => Err(Error::usage(format!("there is no bottle `{shown}`"))
            .hinted("`bottle list` shows those that there are")),
        several => Err(ambiguous(&format!("`{shown}` may mean"), several)),
    }
}

fn ambiguous(says: &str, slugs: &[Slug]) -> Error {
    let slugs: Vec<&str> = slugs.iter().map(Slug::as_str).collect();
    Error::new(Kind::Usage, format!("{says} {}", slugs.join(", ")))
        .hinted("say which one: its slug, or the beginning of it")
}
