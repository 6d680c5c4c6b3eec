//! Changes of `gate.json`: what the operator says yes to although it looks like a secret.

use super::Target;
use super::change::{Change, FileStep, GuardStep};
use crate::error::{Doing as _, Error, Result};
use contract::gate::{Allowance, GateConfig};
use contract::place::{config, run};
use contract::{Guard, Sha256Hex, Timestamp};

/// `gate.json`, unchanged; refused by name on a bottle without a gate.
pub fn file(target: &Target) -> Result<FileStep> {
    let path = target.state.git_gate_config().join(config::GATE);
    if !path.is_file() {
        return Err(Error::failed(format!(
            "{} has no git gate: its bottle has no git.remotes",
            target.slug
        ))
        .hinted("list the repository under `git.remotes` of its bottle and start another"));
    }
    FileStep::read(config::GATE, path)
}

/// The step that makes `gate.json` so.
pub fn step(target: &Target, file: FileStep) -> GuardStep {
    GuardStep {
        guard: Guard::GitGate,
        applied: Some(target.state.git_gate_run().join(run::APPLIED)),
        before_sha256: Sha256Hex::of(&file.before),
        after_sha256: Sha256Hex::of(&file.after),
        files: vec![file],
        probes: Vec::new(),
    }
}

/// What allowing one value would change. Allowances that have ended are taken out on the way.
pub fn allow(target: &Target, allowance: &Allowance, now: Timestamp) -> Result<Change> {
    let mut file = file(target)?;
    let mut gate = GateConfig::parse(&file.before)
        .doing(|| format!("the git gate's configuration of {} cannot be read", target.slug))?;
    gate.allow
        .retain(|known| known.expires_at > now && known.fingerprint != allowance.fingerprint);
    gate.allow.push(allowance.clone());
    gate.generation += 1;
    file.after = gate.to_json().into_bytes();
    Ok(Change {
        guards: vec![step(target, file)],
        statement: format!(
            "{} may be pushed from {} until {}",
            allowance.fingerprint, target.slug, allowance.expires_at
        ),
        ..Change::default()
    })
}
