//! One line for a reader, from one entry.

use contract::audit::{Asked, AuditEntry, AuditEvent, FileChange, Outcome, Verdict, Verified, Who};
use contract::text::harmless;
use contract::{AccessEvent, Decision, GrantEndCause, Slug};

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

/// The same for an access event; the proposal that it goes back to, or else its own identifier, which an ask may name.
pub fn event_line(event: &AccessEvent, slug: Option<&Slug>) -> String {
    let slug = slug.map_or_else(String::new, |slug| format!("{slug}  "));
    let proposal = event.proposal_id.as_ref().map(ToString::to_string);
    let grant = event.grant_id.as_ref().map(ToString::to_string);
    let id = proposal.or(grant).unwrap_or_else(|| "-".to_owned());
    let decision = match event.decision {
        Decision::Allowed => "allowed",
        Decision::Denied => "denied",
        Decision::Failed => "failed",
    };
    let text = |part: &Option<String>| part.as_deref().map(harmless).unwrap_or_default();
    let mut told = format!("{decision}: {}", text(&event.method));
    if told.ends_with(' ') {
        told.push_str(&text(&event.rule));
    }
    told.push_str(&format!(" {}{}", text(&event.host), text(&event.path)));
    if let Some(status) = event.status {
        told.push_str(&format!(" {status}"));
    }
    if let Some(reason) = event.reason {
        told.push_str(&format!(" {reason}"));
    }
    format!(
        "{}  {slug}{:<12} {id:<10}  {told} ({})",
        event.time,
        event.guard.to_string(),
        event.event_id
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
        AuditEvent::Proposed {
            tool,
            asked,
            denial_id,
            ..
        } => {
            let after = denial_id.as_ref().map(|denial| format!(" (after {denial})"));
            format!("{tool}: {}{}", asked_for(asked), after.unwrap_or_default())
        }
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
        AuditEvent::Revoking { host, changes } if changes.is_empty() => {
            format!("revoking {host}: others grant all of it, and no file changes")
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
