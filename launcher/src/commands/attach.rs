//! `bottle attach`

use crate::cli::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::lifecycle::interrupt::Interrupts;
use crate::lifecycle::{BottleState, observe};
use crate::naming;
use crate::session::{self, Ending, Recipe};
use clap::Args;

/// Open another session in a running bottle. Its end leaves the bottle running.
#[derive(Debug, Args)]
pub struct Attach {
    /// The bottle, by the slug that `bottle list` shows or the beginning of it.
    pub slug: String,

    /// What to run instead of the agent.
    #[arg(last = true)]
    pub command: Vec<String>,
}

impl Attach {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let engine = Engine::connect(&context.environment).await?;
        let bottles = observe::all(&engine, &home).await?;
        let bottle = observe::find(&bottles, &self.slug)?;
        let slug = &bottle.slug;
        // One whose launcher has died can be looked into, as long as its containers run.
        if bottle.state == BottleState::Starting || !bottle.evidence.agent_runs {
            let error = Error::failed(format!(
                "{slug} cannot be attached to: it is {}",
                bottle.state.word()
            ));
            return Err(match bottle.state {
                BottleState::Preserved => error.hinted(format!(
                    "what is kept of it lies in {}; `bottle start AGENT` starts another",
                    home.state(slug).root().display()
                )),
                _ => error.hinted("`bottle list` shows what runs"),
            });
        }
        let state = home.state(slug);
        let recipe = Recipe::read(&state)?;
        let command = if self.command.is_empty() {
            recipe.later(&state)
        } else {
            self.command
        };
        let container = naming::container(slug, naming::AGENT);
        let session = session::run(
            &engine,
            &container,
            &command,
            &recipe.working_directory,
            &context.environment,
        );
        // A signal ends the session in order, so that the terminal is restored.
        let ending = Interrupts::listen()?.unless(session).await?;
        match ending {
            Ending::Code(code) => context.printer.message(&format!(
                "the session ended with exit code {code}; {slug} goes on"
            )),
            Ending::ContainerGone => context.printer.message(&format!("{slug} was stopped")),
        }
        Ok(())
    }
}
