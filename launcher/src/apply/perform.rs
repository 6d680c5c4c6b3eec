//! Does what a [`Change`] says: each guard's files, then its acknowledgement, one guard after the other; and back again when one does
//! not take them.
//!
//! Whatever happens, the files of every guard are in the end those before or those after. When they cannot even be put back (a full
//! disk), this is an error, and the next command tries again.

use super::change::{Change, FileStep, GuardStep};
use super::{Target, ack, probe};
use crate::audit::Note;
use crate::cli::Context;
use crate::error::Result;
use crate::write;
use contract::Guard;
use contract::audit::{AuditEvent, Verified, Who};

/// What became of a change.
#[derive(Debug)]
pub enum Performed {
    /// Every guard has it in force. What each of them said, for the audit.
    InForce(Vec<Note>),
    /// Not in force, and everything is as before.
    Failed {
        /// Which guard, and why.
        why: String,
        /// What is true now.
        now: String,
    },
}

/// Does it.
pub async fn perform(context: &Context, target: &Target, change: &Change) -> Result<Performed> {
    let mut notes = Vec::new();
    notes.extend(
        change
            .absent
            .iter()
            .map(|guard| Note::launcher(AuditEvent::NoGuard { guard: *guard })),
    );
    if let Some(file) = &change.stored {
        write::atomically(&file.path, &file.after, 0o644)?;
    }
    for (done, step) in change.guards.iter().enumerate() {
        let failed = match write_files(step) {
            Err(error) => format!("{} was not changed: {error}", step.guard),
            Ok(()) => match acknowledged(context, target, step).await {
                Ok(note) => {
                    notes.push(note);
                    continue;
                }
                Err(why) => format!("{} {why}", step.guard),
            },
        };
        let touched = change.guards.get(..=done).unwrap_or_default();
        let now = put_back(target, touched).await?;
        return Ok(Performed::Failed { why: failed, now });
    }
    Ok(Performed::InForce(notes))
}

fn write_files(step: &GuardStep) -> Result<()> {
    for file in step.files.iter().filter(|file| file.changes()) {
        write::in_place_of(&file.path, &file.after)?;
    }
    Ok(())
}

async fn acknowledged(context: &Context, target: &Target, step: &GuardStep) -> Result<Note, ack::NotInForce> {
    let by = Who::Guard { guard: step.guard };
    let Some(applied) = &step.applied else {
        if step.probes.is_empty() {
            return Ok(Note::launcher(AuditEvent::NotVerified { guard: step.guard }));
        }
        probe::admitted(context, target, &step.probes).await?;
        return Ok(Note::launcher(AuditEvent::Acknowledged {
            guard: step.guard,
            file_sha256: step.after_sha256.clone(),
            verified: Verified::Probe,
            effective_sha256: None,
            generation: None,
        }));
    };
    let said = ack::wait(applied, &target.nonce, &step.after_sha256, target.patience).await?;
    Ok(Note::by(
        by,
        AuditEvent::Acknowledged {
            guard: step.guard,
            file_sha256: said.file_sha256,
            verified: Verified::Acknowledgement,
            effective_sha256: Some(said.effective_sha256),
            generation: Some(said.generation),
        },
    ))
}

/// Puts the files before back, the last guard's first, and says what is then true.
async fn put_back(target: &Target, steps: &[GuardStep]) -> Result<String> {
    let mut now = Vec::new();
    for step in steps.iter().rev() {
        let mut changed = false;
        for file in step.files.iter().filter(|file| file.changes()) {
            if is_after(file)? {
                write::in_place_of(&file.path, &file.before)?;
                changed = true;
            }
        }
        now.push(if changed {
            what_holds(target, step).await
        } else {
            format!("{} is as it was", step.guard)
        });
    }
    Ok(now.join("; "))
}

fn is_after(file: &FileStep) -> Result<bool> {
    Ok(fs_err::read(&file.path)? == file.after)
}

async fn what_holds(target: &Target, step: &GuardStep) -> String {
    let guard: Guard = step.guard;
    let Some(applied) = &step.applied else {
        return format!("{guard} has its files of before");
    };
    match ack::wait(
        applied,
        &target.nonce,
        &step.before_sha256,
        target.patience.min(super::BACK),
    )
    .await
    {
        Ok(_) => format!("{guard} has in force what it had before"),
        Err(_) => format!(
            "{guard} does not answer; its files are those of before, and it reads them when it comes up"
        ),
    }
}
