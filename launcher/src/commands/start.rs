//! `bottle start`

use crate::ask;
use crate::cli::Context;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::lifecycle::Machine;
use crate::lifecycle::interrupt::Interrupts;
use crate::lifecycle::phases::Phases;
use crate::lifecycle::start::Started;
use crate::naming;
use crate::plan::{Fresh, HowWorkspace, Identity, Plan, Request, Secrets, Workspace};
use crate::preflight;
use crate::printer::Printer;
use crate::session::{self, Ending, Recipe, TerminalKept};
use clap::Args;
use std::convert::Infallible;
use std::io::IsTerminal as _;

/// Start an agent in a bottle of its own.
#[derive(Debug, Args)]
#[command(override_usage = "bottle start [OPTIONS] <AGENT>")]
pub struct Start {
    /// The agent, as in agents/AGENT.md.
    pub agent: contract::AgentName,

    /// Give the agent a copy of this directory (default: the current one). The copy goes with the bottle: have the work pushed, or
    /// stop with `--preserve`.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = ".", require_equals = false)]
    pub cwd: Option<std::path::PathBuf>,

    /// Give it the directory itself instead of a copy: what it changes there is changed.
    #[arg(long, requires = "cwd")]
    pub mount: bool,

    /// Leave it running in the background; `bottle attach` opens a session.
    #[arg(long)]
    pub detach: bool,

    /// Show what would be started, and stop there.
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask for a yes.
    #[arg(long, short)]
    pub yes: bool,
}

impl Start {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let mut phases = Phases::begin();
        let fresh = Fresh::draw().ok_or_else(|| Error::failed("this launch cannot be given a name"))?;
        let operator =
            Identity::of_operator(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        // Made before the engine is looked for: a mistake in a manifest is told on a machine without one, too.
        let plan = self.plan(context, operator, fresh.clone())?;
        if self.dry_run {
            context.printer.data(&preflight::layout(&plan));
            warn(context, &plan);
            return Ok(());
        }
        phases.ended("plan");
        let machine = Machine::connect(context).await?;
        machine.compose()?;
        let identity = machine.engine.identity();
        let plan = if identity == plan.identity {
            plan
        } else {
            self.plan(context, identity, fresh)?
        };
        machine.refuse_taken(&plan).await?;
        phases.ended("engine");
        context.printer.message(&preflight::layout(&plan));
        warn(context, &plan);
        if let Some(Workspace {
            directory,
            how: HowWorkspace::Copy,
            ..
        }) = &plan.agent.workspace
        {
            context.printer.hint(&format!(
                "the agent works on a copy of {}, which goes when the bottle ends: have its work pushed, or keep it with `bottle stop --preserve {}`",
                directory.display(), plan.slug
            ));
        }
        let _terminal = TerminalKept::now();
        let mut interrupts = Interrupts::listen()?;
        let secrets = self
            .asked(context, &plan, &mut interrupts)
            .await
            .inspect_err(|error| {
                if error.kind() == Kind::Failed && ask::is_interactive() {
                    // A question that was broken off leaves its line unended.
                    context.printer.message("");
                }
            })?;
        phases.resume();
        let started = machine
            .start(&plan, &secrets, &mut interrupts, &mut phases)
            .await?;
        drop(secrets);
        if self.detach {
            machine.leave(started)?;
            context.printer.data(plan.slug.as_str());
            return Ok(());
        }
        let session = with_notices(
            &machine.home,
            &context.printer,
            foreground(context, &machine, &plan, &started),
        );
        let outcome = interrupts.unless(session).await;
        if outcome.is_err() && std::io::stdin().is_terminal() {
            // The agent's terminal ends in the middle of a line.
            context.printer.message("");
        }
        let ended = machine.end(&plan, started).await;
        outcome.and(ended)
    }

    fn plan(&self, context: &Context, identity: Identity, fresh: Fresh) -> Result<Plan> {
        let request = Request {
            agent: self.agent.clone(),
            cwd: self.cwd.clone(),
            mount: self.mount,
        };
        Plan::make(&request, &context.home()?, &context.environment, identity, fresh)
    }

    /// The yes and every secret. Questions are asked in a thread of their own, so that a signal ends the waiting for an answer.
    async fn asked(&self, context: &Context, plan: &Plan, interrupts: &mut Interrupts) -> Result<Secrets> {
        let (printer, environment) = (context.printer.clone(), context.environment.clone());
        let (sources, yes) = (plan.secrets.clone(), self.yes);
        let answered = tokio::task::spawn_blocking(move || {
            if !yes && !ask::confirm(&printer, "Start it?")? {
                return Err(Error::rejected("not started"));
            }
            Secrets::resolve(&sources, &environment, |prompt| ask::secret(&printer, prompt))
        });
        interrupts
            .unless(async {
                answered
                    .await
                    .map_err(|error| Error::failed("a part of this program broke").because(error))?
            })
            .await
    }
}

/// Runs a session, and the operator's own command for what is asked meanwhile: the session's terminal is the agent's. The session's
/// end is the end of both; without a command there is nothing to watch for, which ends nothing.
async fn with_notices<T>(home: &Home, printer: &Printer, session: impl Future<Output = T>) -> T {
    let notices = async {
        crate::proposals::notice::watch(home, printer).await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        ended = session => ended,
        never = notices => match never {},
    }
}

fn warn(context: &Context, plan: &Plan) {
    for warning in &plan.warnings {
        context.printer.warning(warning);
    }
}

async fn foreground(context: &Context, machine: &Machine, plan: &Plan, started: &Started) -> Result<()> {
    let recipe = Recipe::read(&started.state)?;
    let ending = session::run(
        &machine.engine,
        &naming::container(&plan.slug, naming::AGENT),
        &recipe.command,
        &recipe.working_directory,
        &context.environment,
    )
    .await?;
    match ending {
        Ending::Code(code) => context
            .printer
            .message(&format!("the agent ended with exit code {code}")),
        Ending::ContainerGone => context.printer.message("the agent's container is gone"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session that is not over at the first look at it, nor before the notices have had their turns.
    async fn session() -> &'static str {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        "the agent's own end"
    }

    #[tokio::test]
    async fn a_session_runs_to_its_own_end_whatever_the_notices_do() {
        let (printer, _) = Printer::captured(false);
        for config in [
            None,
            Some(""),
            Some("notify: []\n"),
            Some("notify: [/bin/true]\n"),
            Some("notify: 5\n"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::at(folder.path().to_owned());
            if let Some(config) = config {
                fs_err::write(home.config(), config).unwrap();
            }
            // Which of two ready futures is taken is drawn by lot.
            for _ in 0..20 {
                assert_eq!(
                    with_notices(&home, &printer, session()).await,
                    "the agent's own end",
                    "{config:?}"
                );
            }
        }
    }
}
