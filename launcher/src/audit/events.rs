//! The access events of a bottle, wherever they are: in the logs of its guards while they run, in `events/<slug>.jsonl.zst` after.

use crate::cli::Context;
use crate::engine::Engine;
use crate::engine::logs::Part;
use crate::error::Result;
use crate::home::Home;
use crate::lifecycle::{events, observe};
use crate::naming;
use contract::{AccessEvent, Slug};
use futures_util::TryStreamExt as _;

/// Hands on every event that there is, in no certain order. What cannot be read in one place hides nothing of the other.
pub async fn each(
    context: &Context,
    home: &Home,
    slug: &Slug,
    mut found: impl FnMut(AccessEvent),
) -> Result<()> {
    let kept = events::each(&home.events(slug), |_, event| {
        found(event);
        Ok(())
    });
    let live = live(context, home, slug, &mut found).await;
    kept.and(live)
}

async fn live(
    context: &Context,
    home: &Home,
    slug: &Slug,
    found: &mut impl FnMut(AccessEvent),
) -> Result<()> {
    if !home.state(slug).root().is_dir() {
        return Ok(());
    }
    let engine = Engine::connect(&context.environment).await?;
    let bottle = observe::one(&engine, home, slug).await?;
    for container in &bottle.owned.containers {
        // What the agent prints is no event.
        if container.service == naming::AGENT {
            continue;
        }
        let lines = engine.log_lines(&container.id, Part::All);
        let mut lines = std::pin::pin!(lines);
        while let Some(line) = lines.try_next().await? {
            if let Some((_, text)) = line.split_once(' ')
                && let Ok(event) = serde_json::from_str(text)
            {
                found(event);
            }
        }
    }
    Ok(())
}
