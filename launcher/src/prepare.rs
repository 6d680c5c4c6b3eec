//! Fills the state directory of a launch: rendered files, our programs, copies of skills and workspace.
//!
//! The directory itself, and its removal when this fails, belong to [`crate::lifecycle::folder`].

use crate::ca::Authorities;
use crate::copy;
use crate::error::{Error, Result};
use crate::images::References;
use crate::images::libexec::Libexec;
use crate::plan::{HowWorkspace, Identity, Plan, Workspace};
use crate::printer::Printer;
use crate::render;
use crate::render::seat::SeatFiles;
use crate::write;
use std::path::Path;

/// Readable and executable for everybody who gets there.
const PROGRAM: u32 = 0o755;

/// Writes everything that the containers are given. The state directory must be there; what it lacks is made.
pub fn fill(
    plan: &Plan,
    seat: &SeatFiles,
    images: &References,
    libexec: &Libexec,
    printer: &Printer,
) -> Result<()> {
    let state = plan.state();
    for folder in render::folders(plan) {
        write::folder(&folder)?;
    }
    let authorities = Authorities::mint(&plan.slug, plan.started_at)?;
    for file in render::files(plan, images, &authorities, seat)? {
        write::first(&file.path, &file.bytes, file.mode)?;
    }
    for (name, path) in [("shim", state.shim()), ("probe", state.probe())] {
        write::first(&path, &libexec.read(name)?, PROGRAM)?;
    }
    for skill in &plan.agent.skills {
        let to = state.skills().join(skill.name.as_str());
        write::folder(&to)?;
        copy::contents(&skill.folder, &to)?;
    }
    if let Some(workspace) = &plan.agent.workspace {
        bring(workspace, &state.workspace(), printer)?;
    }
    if plan.supervise {
        let dockerfile = crate::images::dockerfile(&plan.agent.image)?;
        write::first(&state.current_config().join("Dockerfile"), &dockerfile, 0o644)?;
    }
    let supervise = plan.supervise.then(|| state.supervise());
    let git_gate = (!plan.git_remotes.is_empty()).then(|| state.git_gate());
    for given in [state.agent(), state.egress(), state.pipelock()]
        .into_iter()
        .chain(supervise)
        .chain(git_gate)
    {
        hand_over(&given, plan.identity)?;
    }
    // What every later command goes by outlasts a crash of the machine.
    write::sync(&state.metadata())?;
    write::sync(state.root())
}

fn bring(workspace: &Workspace, to: &Path, printer: &Printer) -> Result<()> {
    match workspace.how {
        HowWorkspace::Copy => {
            let copying = printer.progress(&format!("copying {}", workspace.directory.display()));
            copy::contents(&workspace.directory, to)?;
            copying.done();
            Ok(())
        }
        HowWorkspace::Mount => {
            // A folder of hooks that is not there could be made, and filled, by the agent.
            for guarded in workspace.guarded.iter().filter(|path| path.ends_with("hooks")) {
                let hooks = workspace.directory.join(guarded);
                if !hooks.exists() {
                    fs_err::create_dir(&hooks)?;
                }
            }
            Ok(())
        }
    }
}

/// Gives a folder and all in it to the user that the containers run as, where that is not the operator. No link is followed.
fn hand_over(folder: &Path, identity: Identity) -> Result<()> {
    if !identity.chown {
        return Ok(());
    }
    let (uid, gid) = (Some(identity.uid), Some(identity.gid));
    std::os::unix::fs::lchown(folder, uid, gid).map_err(|error| {
        Error::failed(format!(
            "{} cannot be given to uid {}",
            folder.display(),
            identity.uid
        ))
        .because(error)
    })?;
    if !fs_err::symlink_metadata(folder)?.is_dir() {
        return Ok(());
    }
    for entry in fs_err::read_dir(folder)? {
        hand_over(&entry?.path(), identity)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
