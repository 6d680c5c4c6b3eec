//! The `bottle` program: reads a manifest, makes a plan, renders files under a state directory, runs compose.
//!
//! It is thin on purpose: nothing here enforces anything. The pure half (`manifest`, `plan`, `preflight`, `render`) touches
//! neither engine nor state directory; `engine`, `compose` and `lifecycle` do, and know Docker.

pub mod agent_environment;
pub mod apply;
pub mod ask;
pub mod audit;
pub mod ca;
pub mod cli;
pub mod commands;
pub mod compose;
pub mod copy;
pub mod default_routes;
pub mod doctor;
pub mod editor;
pub mod engine;
pub mod environment;
pub mod error;
pub mod home;
pub mod images;
pub mod isolation;
mod kill_points;
pub mod lifecycle;
pub mod manifest;
pub mod naming;
pub mod plan;
pub mod preflight;
pub mod prepare;
pub mod printer;
pub mod proposals;
pub mod render;
pub mod session;
pub mod write;
pub mod written_inside;

use clap::Parser as _;
use std::process::ExitCode;

/// The whole program: what `main` calls.
pub fn run() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap tells help and version on stdout (0), mistakes on stderr (2).
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            return match cli::explained(error, &std::env::args_os().collect::<Vec<_>>()).print() {
                Err(lost) if code == 0 && lost.kind() != std::io::ErrorKind::BrokenPipe => told(
                    &printer::Printer::to_process(false, false),
                    &printer::unwritten(lost),
                ),
                _ => ExitCode::from(code),
            };
        }
    };
    let environment = environment::Environment::of_process();
    let printer = printer::Printer::to_process(cli.json, environment.colour());
    let context = cli::Context { environment, printer };
    match run_command(cli.command, &context).and_then(|()| context.printer.all_written()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => told(&context.printer, &error),
    }
}

fn told(printer: &printer::Printer, error: &error::Error) -> ExitCode {
    printer.error(error);
    ExitCode::from(error.kind().exit_code())
}

fn run_command(command: cli::Command, context: &cli::Context) -> error::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        if command.looks_at_bottles()
            && let Ok(home) = context.home()
        {
            proposals::settle::all(context, &home).await;
        }
        command.run(context).await
    });
    // A question that a signal broke off leaves a thread in `read`; the program does not wait for a key to be pressed.
    runtime.shutdown_background();
    outcome
}
