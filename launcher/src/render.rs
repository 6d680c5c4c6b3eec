//! Every file of a state directory as a value: a pure function of the plan, the images' names and the launch's CA.
//!
//! Nothing here touches the disk; [`crate::prepare`] writes what comes out.

mod agent_files;
mod compose;
mod compose_file;
pub mod inside;
pub mod seat;
pub(crate) mod yaml;

pub use compose::{EGRESS_DOOR, PIPELOCK_DOOR};

use crate::ca::Authorities;
use crate::error::{Doing as _, Result};
use crate::images::References;
use crate::plan::Plan;
use crate::render::seat::SeatFiles;
use contract::place::config;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// One file to write.
pub struct File {
    /// Absolute.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// What it holds; wiped from memory when dropped, since one of them is a key.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// The profile of every container; `images/` says what is in it and why.
const SECCOMP: &str = include_str!("../../images/seccomp.json");
/// Readable by its owner alone.
const SECRET: u32 = 0o600;
/// Readable by whoever gets into the folder.
const OPEN: u32 = 0o644;

/// The folders of a state directory, parents first; each mode 0700.
pub fn folders(plan: &Plan) -> Vec<PathBuf> {
    let state = plan.state();
    let mut folders = vec![
        state.agent(),
        state.agent_home(),
        state.workspace(),
        state.agent_ca(),
        state.agent_etc(),
        state.agent_bin(),
        state.skills(),
        state.egress(),
        state.egress_config(),
        state.egress_run(),
        state.pipelock(),
        state.pipelock_config(),
        state.pipelock_run(),
    ];
    if plan.supervise {
        folders.extend([
            state.supervise(),
            state.proposals(),
            state.responses(),
            state.supervise_run(),
            state.current_config(),
        ]);
    }
    if !plan.git_remotes.is_empty() {
        folders.extend([
            state.git_gate(),
            state.git_gate_config(),
            state.git_gate_run(),
            state.git_gate_repositories(),
        ]);
    }
    if plan.agent.claude.is_some() {
        // A mount point that is not there would be made by the engine, as root.
        folders.extend([
            state.agent_home().join(".claude"),
            state.agent_home().join(".claude/skills"),
        ]);
    }
    folders
}

/// The files of a state directory, except for copies of what lies elsewhere on the host.
pub fn files(
    plan: &Plan,
    images: &References,
    authorities: &Authorities,
    seat_files: &SeatFiles,
) -> Result<Vec<File>> {
    let state = plan.state();
    let (etc, ca, egress) = (state.agent_etc(), state.agent_ca(), state.egress_config());
    let (authority, seat) = (&authorities.egress, &authorities.seat);
    let metadata = serde_json::to_string_pretty(&plan.metadata())
        .doing(|| "metadata.json cannot be written".to_owned())?;
    let routes = plan
        .routes
        .render()
        .doing(|| "routes.yaml cannot be written".to_owned())?;
    let mut files = vec![
        text(state.metadata(), OPEN, metadata + "\n"),
        text(state.compose_file(), OPEN, compose::render(plan, images)?),
        text(state.seccomp(), OPEN, SECCOMP),
        text(state.prompt(), OPEN, agent_files::prompt(plan)),
        text(
            etc.join(agent_files::PASSWD),
            OPEN,
            agent_files::passwd(plan.identity),
        ),
        text(
            etc.join(agent_files::GROUP),
            OPEN,
            agent_files::group(plan.identity),
        ),
        text(
            etc.join(agent_files::GITCONFIG),
            OPEN,
            agent_files::gitconfig(plan),
        ),
        text(
            ca.join(agent_files::CA_PEM),
            OPEN,
            authority.certificate_pem.clone(),
        ),
        File {
            path: ca.join(agent_files::TRUST_STORE),
            mode: OPEN,
            bytes: Zeroizing::new(authority.trust_store()?),
        },
        text(
            egress.join(config::CA_CERTIFICATE),
            OPEN,
            authority.certificate_pem.clone(),
        ),
        text(egress.join(config::CA_KEY), SECRET, authority.key_pem.as_str()),
        text(egress.join(config::ROUTES), OPEN, routes),
        text(egress.join(config::SEAT_CA), OPEN, seat.certificate_pem.clone()),
    ];
    let pipelock = state.pipelock_config();
    files.extend([
        text(
            pipelock.join(config::CA_CERTIFICATE),
            OPEN,
            seat.certificate_pem.clone(),
        ),
        text(
            pipelock.join(config::CA_KEY),
            SECRET,
            seat_files.key(seat)?.as_str(),
        ),
        text(
            pipelock.join(pipelock_config::place::PIPELOCK),
            OPEN,
            seat_files.pipelock_yaml(),
        ),
    ]);
    if let Some(dlp) = seat_files.dlp_yaml() {
        // The key of the digests is in it.
        files.push(text(pipelock.join(pipelock_config::place::DLP), SECRET, dlp));
    }
    if let Some(extra) = &plan.extra_ca {
        for guard in [&egress, &pipelock] {
            files.push(text(guard.join(config::EXTRA_CA), OPEN, extra.pem.clone()));
        }
    }
    if plan.supervise {
        files.push(text(etc.join(agent_files::MCP), OPEN, agent_files::mcp()?));
    }
    if !plan.git_remotes.is_empty() {
        let gate = state.git_gate_config().join(config::GATE);
        files.push(text(gate, SECRET, compose::git_gate_config(plan).to_json()));
    }
    if let Some(claude) = agent_files::claude_state(plan)? {
        files.push(text(
            state.agent_home().join(agent_files::CLAUDE_STATE),
            SECRET,
            claude,
        ));
    }
    Ok(files)
}

fn text(path: PathBuf, mode: u32, text: impl AsRef<[u8]>) -> File {
    File {
        path,
        mode,
        bytes: Zeroizing::new(text.as_ref().to_vec()),
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
