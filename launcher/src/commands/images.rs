//! `bottle images`

use crate::cli::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::images::libexec::Libexec;
use crate::images::{Images as Maker, Variant};
use clap::Args;

/// Build the images.
#[derive(Debug, Args)]
pub struct Images {
    /// What to do with them.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with the images.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Build what is missing or out of date: the guards' images and the small agent image.
    Build {
        /// The agent image with Claude Code, too.
        #[arg(long)]
        all: bool,

        /// Build it all anew, whatever is there.
        #[arg(long)]
        force: bool,
    },
}

impl Images {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let Action::Build { all, force } = self.action;
        let engine = Engine::connect(&context.environment).await?;
        let maker = Maker {
            engine: &engine,
            libexec: &Libexec::of_process()?,
            home: &context.home()?,
            printer: &context.printer,
        };
        let variants: &[Variant] = if all { &Variant::ALL } else { &[Variant::SMALL] };
        let made = maker.build_all(variants, force).await?;
        if context.printer.wants_json() {
            return context.printer.json(&made);
        }
        if made.is_empty() {
            context.printer.message("every image is there and up to date");
        }
        for reference in made {
            context.printer.data(&reference);
        }
        Ok(())
    }
}
