//! Bringing a bottle up, and what happens when its session ends.

use super::folder::{self, Held};
use super::interrupt::Interrupts;
use super::lock::{How, Locked};
use super::machine::Machine;
use super::observe;
use super::phases::Phases;
use super::probed::{AT_START, Probed};
use super::ready::Awaited;
use super::settle::Cause;
use super::stop::{Outcome, tell_set_aside};
use super::teardown::Settled;
use crate::compose::Project;
use crate::error::{Error, Kind, Result};
use crate::home::State;
use crate::images::Images;
use crate::images::libexec::Libexec;
use crate::isolation;
use crate::naming;
use crate::plan::{Plan, Seat, Secrets};
use crate::printer::Printer;
use crate::render::seat::SeatFiles;
use crate::session::Recipe;
use contract::place::{config, run};
use contract::{Sha256Hex, Slug};
use std::os::fd::AsFd as _;
use std::time::Duration;

/// How long somebody else may be taking this bottle down when its session ends.
const OTHERS: Duration = Duration::from_secs(180);

/// A bottle that is up, guarded and proven isolated, and that we answer for.
pub struct Started {
    /// Its files.
    pub state: State,
    launcher: Locked,
}

impl Machine {
    /// Refuses when a name that this bottle needs is taken.
    pub async fn refuse_taken(&self, plan: &Plan) -> Result<()> {
        let mut taken = self.engine.taken(&plan.slug).await?;
        if taken.is_empty() {
            return Ok(());
        }
        taken.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        let told = taken.iter().map(|one| {
            let status = match one.status.as_str() {
                "" => String::new(),
                status => format!(" ({status})"),
            };
            format!("the engine has a {} {} already{status}", one.kind, one.name)
        });
        let error = Error::several(Kind::Failed, told.collect())
            .hinted("`bottle cleanup` removes what dead bottles of this home have left");
        Err(taken.iter().map(|one| one.remedy()).fold(error, Error::hinted))
    }

    /// Brings it up. An error means that nothing of it is left.
    pub async fn start(
        &self,
        plan: &Plan,
        secrets: &Secrets,
        interrupts: &mut Interrupts,
        phases: &mut Phases,
    ) -> Result<Started> {
        let libexec = Libexec::of_process()?;
        self.compose()?;
        let images = Images {
            engine: &self.engine,
            libexec: &libexec,
            home: &self.home,
            printer: &self.printer,
        };
        let (references, images_lock) = interrupts.unless(images.ensure(plan)).await?;
        phases.ended("images");
        let (held, launcher) = folder::create(&self.home, &plan.slug)?;
        let progress = self.printer.progress(&format!("starting {}", plan.slug));
        let brought_up = async {
            let seat = SeatFiles::of(plan, secrets);
            for note in seat.notes() {
                self.printer.message(note);
            }
            let prepared = prepare(plan, &seat, &references, &libexec, &self.printer);
            interrupts.blocking(prepared).await?;
            phases.ended("files");
            interrupts
                .unless(self.bring_up(plan, secrets, &seat, &held, phases))
                .await?;
            // A start that cannot be recorded is a failed one, too.
            fs_err::write(held.state.ready(), "")?;
            phases.keep(&held.state.bringup_log())?;
            Ok(())
        };
        let outcome = brought_up.await;
        drop(images_lock);
        match outcome {
            Ok(()) => {
                progress.done();
                Ok(Started {
                    state: held.state,
                    launcher,
                })
            }
            Err(error) => {
                progress.ended("failed; taking down what was brought up");
                if let Err(more) = self.tools().take_down(&plan.slug, held, Cause::FailedStart).await {
                    self.printer.error(&more);
                }
                Err(error)
            }
        }
    }

    async fn bring_up(
        &self,
        plan: &Plan,
        secrets: &Secrets,
        seat: &SeatFiles,
        held: &Held,
        phases: &mut Phases,
    ) -> Result<()> {
        let project = Project {
            name: plan.compose_project(),
            state: &held.state,
            lock: held.lock.as_fd(),
        };
        self.refuse_missing_images(&held.state, None).await?;
        self.compose()?.up(&project, &plan.secrets, secrets).await?;
        phases.ended("up");
        self.wait_until_ready(plan, seat, &held.state).await?;
        phases.ended("ready");
        isolation::prove(&self.engine, &plan.slug).await?;
        phases.ended("isolation");
        Ok(())
    }

    async fn wait_until_ready(&self, plan: &Plan, seat: &SeatFiles, state: &State) -> Result<()> {
        let routes = fs_err::read(state.egress_config().join(config::ROUTES))?;
        let egress = Awaited {
            guard: naming::EGRESS,
            container: &naming::container(&plan.slug, naming::EGRESS),
            applied: &state.egress_run().join(run::APPLIED),
            nonce: &plan.launch_nonce,
            file: &Sha256Hex::of(&routes),
        };
        let seat_container = naming::container(&plan.slug, naming::PIPELOCK);
        match &plan.seat {
            Seat::Builtin => {
                let seat = Awaited {
                    guard: naming::PIPELOCK,
                    container: &seat_container,
                    applied: &state.pipelock_run().join(run::APPLIED),
                    nonce: &plan.launch_nonce,
                    file: &seat.sha256(),
                };
                tokio::try_join!(egress.wait(&self.engine), seat.wait(&self.engine))?;
            }
            Seat::Image(_) => {
                egress.wait(&self.engine).await?;
                // A plan with the image has a route.
                if let Some(route) = plan.routes.routes().first() {
                    let seat = Probed {
                        slug: &plan.slug,
                        container: &seat_container,
                        host: &route.host,
                    };
                    seat.wait(&self.engine, AT_START).await?;
                }
            }
        }
        if plan.supervise {
            // An agent that finds it down at its start goes on without its tools. It reads no configuration.
            let awaited = Awaited {
                guard: naming::SUPERVISE,
                container: &naming::container(&plan.slug, naming::SUPERVISE),
                applied: &state.supervise_run().join(run::APPLIED),
                nonce: &plan.launch_nonce,
                file: &Sha256Hex::of(b""),
            };
            awaited.wait(&self.engine).await?;
        }
        if !plan.git_remotes.is_empty() {
            let gate = fs_err::read(state.git_gate_config().join(config::GATE))?;
            let awaited = Awaited {
                guard: naming::GIT_GATE,
                container: &naming::container(&plan.slug, naming::GIT_GATE),
                applied: &state.git_gate_run().join(run::APPLIED),
                nonce: &plan.launch_nonce,
                file: &Sha256Hex::of(&gate),
            };
            awaited.wait(&self.engine).await?;
        }
        Ok(())
    }

    /// Leaves it running: nobody answers for it any more.
    pub fn leave(&self, started: Started) -> Result<()> {
        started.launcher.remove()
    }

    /// Takes it down after its session, unless somebody else has.
    pub async fn end(&self, plan: &Plan, started: Started) -> Result<()> {
        let Started { state, launcher } = started;
        let lock = Locked::wait(&state.lock(), How::Alone, OTHERS).await;
        let lock = match lock {
            Ok(Some(lock)) if launcher.is_the_one_at_its_path() => lock,
            // No longer ours by its files, whoever took them: what is left of it runs for nobody.
            _ => return self.end_what_is_left(&plan.slug).await,
        };
        let progress = self.printer.progress(&format!("taking {} down", plan.slug));
        let held = Held { state, lock };
        match self.tools().take_down(&plan.slug, held, Cause::End).await? {
            Settled::Removed => progress.done(),
            Settled::Kept => progress.ended("down; its state is kept"),
        }
        Ok(())
    }
}

impl Machine {
    async fn end_what_is_left(&self, slug: &Slug) -> Result<()> {
        let bottle = observe::one(&self.engine, &self.home, slug).await?;
        let outcome = match bottle.evidence.has_resources {
            true => self.stop(&bottle, false).await?,
            false => Outcome::LeftAlone,
        };
        match outcome {
            Outcome::LeftAlone => self
                .printer
                .message(&format!("{slug} was taken down by another command")),
            Outcome::SetAside(aside) => tell_set_aside(&self.printer, slug, aside.as_deref()),
            Outcome::Down(_) => {}
        }
        Ok(())
    }
}

/// Writes every file of the state directory, in a thread of its own: a workspace may be large.
fn prepare(
    plan: &Plan,
    seat: &SeatFiles,
    references: &crate::images::References,
    libexec: &Libexec,
    printer: &Printer,
) -> impl FnOnce() -> Result<()> + Send + use<> {
    let (plan, seat, references) = (plan.clone(), seat.clone(), references.clone());
    let (libexec, printer) = (libexec.clone(), printer.clone());
    move || {
        crate::prepare::fill(&plan, &seat, &references, &libexec, &printer)?;
        Recipe::of(&plan).write(&plan.state())
    }
}
