//! The isolation probe: tries every way out of the container that it runs in, and asks every guard for an answer.
//!
//! Run inside the agent's namespaces at each start, and by the whole-system tests. What it says is only half of the
//! proof: a datagram that the kernel took may have gone nowhere. The other half is what listeners outside saw, which is
//! why everything that it sends carries the caller's token. It changes nothing, needs no privilege, and everything it
//! tries is tried at once: where nothing can be reached, it is done within milliseconds.
//!
//! [`Report`] is what it prints; the launcher reads it by the same type.

pub mod arguments;
mod attempt;
mod guard;
mod interfaces;
mod packets;
mod plan;
mod report;
mod resolvers;
mod wide;

pub use report::{Attempt, Guard, Kind, Outcome, Report, SCHEMA_VERSION};

use std::time::Instant;

/// Tries everything.
#[must_use]
pub fn run(settings: &arguments::Settings) -> Report {
    let interfaces = interfaces::list();
    let planned = plan::everything(settings, &interfaces, &resolvers::configured());
    let (attempts, guards) = std::thread::scope(|scope| {
        let asked: Vec<_> = settings
            .guards
            .iter()
            .map(|guard| (guard, scope.spawn(|| guard::ask(guard, settings.guard_deadline))))
            .collect();
        let attempts = attempt::all(&planned, &settings.token, Instant::now() + settings.deadline);
        let guards = asked
            .into_iter()
            .map(|(guard, answer)| {
                let answer = answer
                    .join()
                    .unwrap_or_else(|_| Err("could not be asked".to_owned()));
                Guard::new(&guard.name, answer)
            })
            .collect();
        (attempts, guards)
    });
    let (up, down) = interfaces
        .into_iter()
        .partition::<Vec<_>, _>(|interface| interface.up);
    let names = |interfaces: Vec<interfaces::Interface>| interfaces.into_iter().map(|it| it.name).collect();
    Report {
        schema_version: SCHEMA_VERSION,
        interfaces: names(up),
        interfaces_down: names(down),
        attempts,
        guards,
    }
}
