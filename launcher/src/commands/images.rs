//! `bottle images`

use crate::cli::Context;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::images::libexec::Libexec;
use crate::images::{Images as Maker, Variant};
use crate::plan::certificates;
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

        /// PEM certificates that the builds trust besides the public ones: for a network that intercepts TLS.
        #[arg(long, value_name = "FILE")]
        extra_ca: Option<std::path::PathBuf>,
    },
}

impl Images {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let Action::Build { all, force, extra_ca } = self.action;
        let extra_ca = match extra_ca {
            Some(path) => {
                certificates(&path).map_err(|problem| Error::usage(format!("--extra-ca: {problem}")))?
            }
            None => String::new(),
        };
        let engine = Engine::connect(&context.environment).await?;
        let maker = Maker {
            engine: &engine,
            libexec: &Libexec::of_process()?,
            home: &context.home()?,
            printer: &context.printer,
        };
        let variants: &[Variant] = if all { &Variant::ALL } else { &[Variant::SMALL] };
        let made = maker.build_all(variants, force, &extra_ca).await?;
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
