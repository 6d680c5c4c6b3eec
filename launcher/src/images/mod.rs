//! The images that a bottle runs: guards' made from our own binaries, the agent's built from a Dockerfile.
//!
//! Every tag is the hash of what is in the image (a guard) or of what it is built from (an agent), so an image that is there is
//! the right one and nothing is made twice. Nothing of ours is ever pulled: a missing image is made here or it is an error.

mod agent;
mod archive;
mod git_gate;
pub mod libexec;
mod prune;

use crate::engine::Engine;
use crate::error::Result;
use crate::home::Home;
use crate::lifecycle::lock::{How, Locked, Tried};
use crate::naming;
use crate::plan::{AgentImage, Plan, Seat};
use crate::printer::{Printer, Progress};
pub use agent::Variant;
use archive::GuardImage;
use git_gate::GitGateImage;
use libexec::Libexec;
use std::time::Duration;

/// How long another command may take that makes images; an agent image is built from the network.
const OTHERS: Duration = Duration::from_secs(30 * 60);

/// The images of one launch, by `repository:tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    /// The agent's.
    pub agent: String,
    /// Each guard program's name and image.
    pub guards: Vec<(String, String)>,
}

impl References {
    /// The image of a guard program.
    pub fn guard(&self, name: &str) -> Option<&str> {
        self.guards
            .iter()
            .find(|(guard, _)| guard == name)
            .map(|(_, reference)| reference.as_str())
    }
}

/// The guard programs that a plan needs, each a binary of ours.
fn guards_of(plan: &Plan) -> Vec<&'static str> {
    let mut programs = vec![naming::EGRESS];
    match &plan.seat {
        Seat::Builtin => programs.push(naming::DLP),
        // The operator's own image; compose pulls it when it is not here.
        Seat::Image(_) => {}
    }
    programs.extend(plan.supervise.then_some(naming::SUPERVISE));
    programs.extend((!plan.git_remotes.is_empty()).then_some(naming::GIT_GATE));
    programs
}

/// The Dockerfile that an agent's image is built from.
pub fn dockerfile(image: &AgentImage) -> Result<Vec<u8>> {
    match image {
        AgentImage::Claude => Ok(Variant::CLAUDE.dockerfile.into()),
        AgentImage::Small => Ok(Variant::SMALL.dockerfile.into()),
        AgentImage::Dockerfile(path) => Ok(fs_err::read(path)?),
    }
}

/// Makes images.
pub struct Images<'a> {
    /// Where.
    pub engine: &'a Engine,
    /// From our binaries.
    pub libexec: &'a Libexec,
    /// For this home.
    pub home: &'a Home,
    /// For progress.
    pub printer: &'a Printer,
}

/// What one image is made from.
enum Recipe {
    Guard(GuardImage),
    GitGate(GitGateImage),
    Shared {
        variant: Variant,
        /// Trusted while it is built.
        extra_ca: String,
    },
    Bottle(agent::Bottle),
}

impl Recipe {
    fn reference(&self) -> String {
        match self {
            Self::Guard(guard) => guard.reference.clone(),
            Self::GitGate(gate) => gate.reference(),
            Self::Shared { variant, .. } => variant.reference(),
            Self::Bottle(bottle) => bottle.reference(),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Guard(guard) => format!("loading the image {}", guard.reference),
            Self::GitGate(gate) => format!("building the image {}", gate.reference()),
            Self::Shared { variant, .. } => format!("building the {} agent image", variant.name),
            Self::Bottle(bottle) => format!("building the agent image from {}", bottle.dockerfile.display()),
        }
    }

    /// What to do where it could not be made.
    fn remedy(&self) -> String {
        match self {
            Self::Guard(_) => "`bottle doctor` checks the engine and the guards' programs".to_owned(),
            Self::GitGate(_) | Self::Shared { .. } => {
                "it is made from packages out of the network; where TLS is intercepted, give `bottle images build --extra-ca FILE`"
                    .to_owned()
            }
            Self::Bottle(bottle) => format!("mend {}, and start again", bottle.dockerfile.display()),
        }
    }
}

impl Images<'_> {
    /// Makes what this launch lacks. While the lock that is given back is held, nobody removes an image.
    pub async fn ensure(&self, plan: &Plan) -> Result<(References, Locked)> {
        let guards = guards_of(plan)
            .into_iter()
            .map(|guard| Ok((guard, self.guard(guard)?)))
            .collect::<Result<Vec<_>>>()?;
        let extra_ca = plan
            .extra_ca
            .as_ref()
            .map(|extra| extra.pem.clone())
            .unwrap_or_default();
        let agent = match &plan.agent.image {
            AgentImage::Claude => Recipe::Shared {
                variant: Variant::CLAUDE,
                extra_ca,
            },
            AgentImage::Small => Recipe::Shared {
                variant: Variant::SMALL,
                extra_ca,
            },
            AgentImage::Dockerfile(path) => Recipe::Bottle(agent::Bottle {
                slug: plan.slug.clone(),
                dockerfile: path.clone(),
            }),
        };
        let references = References {
            agent: agent.reference(),
            guards: guards
                .iter()
                .map(|(guard, recipe)| ((*guard).to_owned(), recipe.reference()))
                .collect(),
        };
        let recipes: Vec<Recipe> = guards
            .into_iter()
            .map(|(_, recipe)| recipe)
            .chain([agent])
            .collect();
        let lock = self.make_missing(&recipes, false).await?;
        Ok((references, lock))
    }

    /// Makes every shared image: what `bottle images build` does. Gives what was made. `extra_ca`: PEM certificates that the
    /// builds trust besides the public ones.
    pub async fn build_all(
        &self,
        variants: &[Variant],
        even_if_there: bool,
        extra_ca: &str,
    ) -> Result<Vec<String>> {
        let mut recipes = Vec::new();
        for guard in naming::PROGRAMS {
            recipes.push(self.guard(guard)?);
        }
        recipes.extend(variants.iter().map(|variant| Recipe::Shared {
            variant: *variant,
            extra_ca: extra_ca.to_owned(),
        }));
        let before = self.missing(&recipes).await?;
        let made = if even_if_there {
            recipes.iter().map(Recipe::reference).collect()
        } else {
            before.iter().map(|recipe| recipe.reference()).collect()
        };
        self.make_missing(&recipes, even_if_there).await?;
        Ok(made)
    }

    /// What a guard's image is made from: its program alone, or, for the git gate, its program and the tools that it runs.
    fn guard(&self, guard: &str) -> Result<Recipe> {
        let program = self.libexec.read(guard)?;
        Ok(match guard {
            naming::GIT_GATE => Recipe::GitGate(GitGateImage::of(program)),
            _ => Recipe::Guard(GuardImage::of(guard, program)),
        })
    }

    async fn make_missing(&self, recipes: &[Recipe], even_if_there: bool) -> Result<Locked> {
        loop {
            let path = self.home.images_lock();
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            if let Tried::Held = Locked::attempt(&path, How::Shared)? {
                self.printer
                    .message("waiting for another bottle command, which is making images");
            }
            let shared = Locked::wait_or_create(&path, How::Shared, OTHERS).await?;
            if !even_if_there && self.missing(recipes).await?.is_empty() {
                return Ok(shared);
            }
            drop(shared);
            let _alone = Locked::wait_or_create(&path, How::Alone, OTHERS).await?;
            // Somebody may have made them meanwhile.
            let missing = if even_if_there {
                recipes.iter().collect()
            } else {
                self.missing(recipes).await?
            };
            for recipe in missing {
                self.make(recipe, even_if_there).await?;
            }
            if even_if_there {
                return Locked::wait_or_create(&path, How::Shared, OTHERS).await;
            }
        }
    }

    async fn missing<'r>(&self, recipes: &'r [Recipe]) -> Result<Vec<&'r Recipe>> {
        let there = recipes.iter().map(async |recipe| {
            let id = self.engine.image_id(&recipe.reference()).await?;
            Ok(id.is_some())
        });
        let there: Vec<Result<bool>> = futures_util::future::join_all(there).await;
        let mut missing = Vec::new();
        for (recipe, there) in recipes.iter().zip(there) {
            if !there? {
                missing.push(recipe);
            }
        }
        Ok(missing)
    }

    async fn make(&self, recipe: &Recipe, from_scratch: bool) -> Result<()> {
        let progress = self.printer.progress(&recipe.shown());
        self.made(recipe, from_scratch, &progress)
            .await
            .map_err(|error| error.hinted(recipe.remedy()))?;
        progress.done();
        Ok(())
    }

    async fn made(&self, recipe: &Recipe, from_scratch: bool, progress: &Progress) -> Result<()> {
        let label = [(naming::HOME_LABEL.to_owned(), self.home.hash())];
        match recipe {
            Recipe::Guard(guard) => {
                self.engine.load_image(guard.archive(&self.home.hash())?).await?;
            }
            Recipe::GitGate(gate) => {
                let reference = gate.reference();
                let build = gate.build(&reference, label.into(), from_scratch)?;
                self.engine
                    .build_image(build, |line| step(progress, line))
                    .await?;
            }
            Recipe::Shared { variant, extra_ca } => {
                let reference = variant.reference();
                let build = variant.build(&reference, extra_ca, label.into(), from_scratch)?;
                self.engine
                    .build_image(build, |line| step(progress, line))
                    .await?;
            }
            Recipe::Bottle(bottle) => {
                let (reference, context) = (bottle.reference(), bottle.context()?);
                let build = bottle.build(&reference, context, label.into());
                self.engine
                    .build_image(build, |line| step(progress, line))
                    .await?;
            }
        }
        Ok(())
    }

    /// The images that this installation would use now.
    pub fn current(&self) -> Vec<String> {
        let guards = naming::PROGRAMS
            .iter()
            .filter_map(|guard| Some(self.guard(guard).ok()?.reference()));
        guards
            .chain(Variant::ALL.iter().map(Variant::reference))
            .collect()
    }
}

/// Shows which instruction a build is at; all else that it says is repeated when it fails.
fn step(progress: &Progress, line: &str) {
    if line.starts_with("Step ") {
        progress.step(&line.chars().take(60).collect::<String>());
    }
}
