//! One line for a reader, from one entry.

use contract::GrantEndCause;
use contract::audit::{Asked, AuditEntry, AuditEvent, FileChange, Outcome, Verdict, Verified, Who};

/// `2026-11-21T15:40:00.000Z  operator     p-1a2b3c4d  approved …`; with the slug where several logs are shown.
pub fn line(entry: &AuditEntry, with_slug: bool) -> String {
    let id = entry
        .proposal_id
        .as_ref()
        .map(ToString::to_string)
        .or(entry.grant_id.as_ref().map(ToString::to_string))
        .unwrap_or_else(|| "-".to_owned());
    let slug = if with_slug {
        format!("{}  ", entry.slug)
    } else {
        String::new()
    };
    format!(
        "{}  {slug}{:<12} {id:<10}  {}",
        entry.time,
        who(&entry.who),
        what(&entry.event)
    )
}

fn who(who: &Who) -> String {
    match who {
        Who::Operator { user, .. } => user.clone(),
        Who::Agent => "the agent".to_owned(),
        Who::Guard { guard } => guard.to_string(),
        Who::Launcher => "bottle".to_owned(),
    }
}

fn what(event: &AuditEvent) -> String {
    match event {
        AuditEvent::Proposed { tool, asked, .. } => format!("{tool}: {}", asked_for(asked)),
        AuditEvent::Decided {
            verdict,
            approved,
            expires_at,
            once,
            reason,
            ..
        } => {
            let mut told = match verdict {
                Verdict::Approved => "approved".to_owned(),
                Verdict::Rejected => "rejected".to_owned(),
            };
            if let Some(approved) = approved {
                told.push_str(&format!(" as {}", asked_for(approved)));
            }
            if let Some(expires_at) = expires_at {
                told.push_str(&format!(" until {expires_at}"));
            }
            if *once {
                told.push_str(" for one request");
            }
            if let Some(reason) = reason {
                told.push_str(&format!(": {reason}"));
            }
            told
        }
        AuditEvent::Withdrawn => "taken back by the agent".to_owned(),
        AuditEvent::Expired => "expired: nobody answered before the session ended".to_owned(),
        AuditEvent::Applying { changes, resumed, .. } => {
            let how = if *resumed { "applying, resumed" } else { "applying" };
            format!("{how}: {}", files(changes))
        }
        AuditEvent::Acknowledged {
            file_sha256,
            verified,
            ..
        } => match verified {
            Verified::Acknowledgement => format!("has {} in force", short(file_sha256.as_str())),
            Verified::Probe => "lets a probe through".to_owned(),
        },
        AuditEvent::NoGuard { guard } => format!("this bottle has no {guard}"),
        AuditEvent::NotVerified { guard } => {
            format!(
                "{guard} was given its files; it acknowledges nothing, so that it took them up is not verified"
            )
        }
        AuditEvent::Outcome { outcome, now } => {
            let outcome = match outcome {
                Outcome::Applied => "applied",
                Outcome::Modified => "applied as modified",
                Outcome::Failed => "failed",
            };
            format!("{outcome}: {now}")
        }
        AuditEvent::Revoking { host, changes } => format!("revoking {host}: {}", files(changes)),
        AuditEvent::GrantEnded { host, cause, at } => match cause {
            GrantEndCause::Used => format!("{host} closed: used at {at}"),
            GrantEndCause::Expired => format!("{host} closed: expired at {at}"),
        },
        AuditEvent::Editing { changes } => format!("editing: {}", files(changes)),
        AuditEvent::TornLine { bytes, .. } => {
            format!("a line torn by a crash was taken away ({bytes} bytes)")
        }
    }
}

fn asked_for(asked: &Asked) -> String {
    match asked {
        Asked::Route {
            host,
            path_allowlist,
            methods,
            token_ref,
        } => {
            let mut told = host.to_string();
            let list = |items: Vec<String>| items.join(",");
            if !methods.is_empty() {
                told.push_str(&format!(
                    " {}",
                    list(methods.iter().map(ToString::to_string).collect())
                ));
            }
            if !path_allowlist.is_empty() {
                told.push_str(&format!(
                    " {}",
                    list(path_allowlist.iter().map(ToString::to_string).collect())
                ));
            }
            if let Some(token_ref) = token_ref {
                told.push_str(&format!(" with {token_ref}"));
            }
            told
        }
        Asked::Pipelock { host, rule: None } => host.to_string(),
        Asked::Pipelock {
            host,
            rule: Some(rule),
        } => format!("exempt {host} from {rule}"),
        Asked::Capability { dockerfile_sha256 } => {
            format!("Dockerfile {}", short(dockerfile_sha256.as_str()))
        }
    }
}

fn files(changes: &[FileChange]) -> String {
    if changes.is_empty() {
        return "nothing to change".to_owned();
    }
    let told = changes.iter().map(|change| {
        format!(
            "{} {} to {}",
            change.file,
            short(change.before_sha256.as_str()),
            short(change.after_sha256.as_str())
        )
    });
    told.collect::<Vec<_>>().join(", ")
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
