//! `bottle revoke`

use super::which::target;
use crate::apply::revoke::{self, Revocation};
use crate::apply::{Change, Target};
use crate::ask;
use crate::cli::Context;
use crate::error::{Error, Result};
use crate::lifecycle::folder;
use crate::proposals::{settle, show};
use clap::Args;
use contract::audit::AuditEvent;

/// Take back what was approved: a grant before its time, or what a proposal changed for good.
#[derive(Debug, Args)]
#[command(override_usage = "bottle revoke [OPTIONS] [SLUG] <ID>")]
pub struct Revoke {
    /// The grant (g-…) or the proposal (p-…); before it the bottle's slug, where several have one of that name.
    #[arg(num_args = 1..=2, required = true, value_name = "ID")]
    pub what: Vec<String>,

    /// Do not ask for a yes.
    #[arg(long, short)]
    pub yes: bool,
}

impl Revoke {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let (slug, id) = match self.what.as_slice() {
            [slug, id] => (Some(slug.as_str()), id.as_str()),
            [id] => (None, id.as_str()),
            _ => return Err(Error::usage("say which grant or proposal")),
        };
        let (target, revocation) = self.find(context, slug, id)?;
        let shown = format!(
            "bottle    {}\nrevokes   {} ({id})\n{}would be enforced\n{}",
            target.slug,
            revocation.host,
            stays(&revocation),
            match revocation.change.is_nothing() {
                true => "what is enforced now: others grant all of it".to_owned(),
                false => show::escaped(revocation.change.diff().trim_end()),
            }
        );
        context.printer.message_quoting(&shown);
        if !self.yes && !ask::confirm(&context.printer, "Revoke it?")? {
            return Err(Error::rejected("nothing was revoked"));
        }
        let event = AuditEvent::Revoking {
            host: revocation.host.clone(),
            changes: revocation.change.changes(),
        };
        let again = || revoke::meant(&target, &context.environment, id);
        let now = carry_out(context, &target, &revocation, event, again).await?;
        tell(context, &target, &now)
    }

    fn find(&self, context: &Context, slug: Option<&str>, id: &str) -> Result<(Target, Revocation)> {
        let home = context.home()?;
        let targets: Vec<Target> = match slug {
            Some(slug) => vec![target(&home, Some(slug))?],
            None => folder::slugs(&home)?
                .iter()
                .filter_map(|slug| Target::of(&home, slug).ok())
                .collect(),
        };
        let mut found = Vec::new();
        for target in targets {
            match revoke::meant(&target, &context.environment, id) {
                Ok(Some(revocation)) => found.push((target, revocation)),
                Ok(None) => {}
                // One bottle's damage keeps no other's permissions alive.
                Err(error) if slug.is_none() => context.printer.warning(&format!("{}: {error}", target.slug)),
                Err(error) => return Err(error),
            }
        }
        // Each bottle's supervise names its own proposals, and one may use the name of another's.
        if found.len() > 1 {
            let slugs: Vec<&str> = found.iter().map(|(target, _)| target.slug.as_str()).collect();
            return Err(
                Error::usage(format!("{} each have one of that name", slugs.join(", ")))
                    .hinted("say which bottle: `bottle revoke SLUG ID`"),
            );
        }
        if let Some(found) = found.pop() {
            return Ok(found);
        }
        Err(Error::usage(format!(
            "there is nothing to revoke of `{}`: it was never approved, or has ended",
            contract::text::harmless(id)
        ))
        .hinted("`bottle routes show` shows the grants that hold"))
    }
}

/// What the operator may take for revoked and what is not, for others grant it, too.
fn stays(revocation: &Revocation) -> String {
    let lines = revocation.stays.iter().enumerate();
    lines
        .map(|(at, line)| {
            let label = if at == 0 { "stays" } else { "" };
            format!("{label:<10}{line}\n")
        })
        .collect()
}

/// Does it under the bottle's lock, if it is still what was shown.
async fn carry_out(
    context: &Context,
    target: &Target,
    shown: &Revocation,
    event: AuditEvent,
    again: impl Fn() -> Result<Option<Revocation>>,
) -> Result<String> {
    let lock = target.lock().await?;
    target.refuse_down()?;
    settle::locked(context, target, &lock).await?;
    // Who else grants the same may have changed since, and the audit says who does.
    let now = again()?.filter(|now| now.change.enforces_the_same(&shown.change));
    let Some(now) = now else {
        return Err(changed(target));
    };
    revoke::carry_out(
        context,
        target,
        &now.change,
        event,
        now.proposal.as_ref(),
        now.grant.as_ref(),
    )
    .await
}

/// The policy is no longer what the operator was shown.
pub(super) fn changed(target: &Target) -> Error {
    Error::not_applied(format!(
        "the policy of {} has changed since it was shown, so nothing was done",
        target.slug
    ))
    .hinted("do it again, and look at what has changed")
}

/// An edit of the operator's own: shown, confirmed, done under the bottle's lock if nothing has changed since, audited.
pub(super) async fn apply_edit(
    context: &Context,
    target: &Target,
    yes: bool,
    shown: &Change,
    again: impl Fn() -> Result<Change>,
) -> Result<()> {
    if shown.is_nothing() {
        context.printer.message("nothing would change");
        return Ok(());
    }
    for note in &shown.notes {
        context.printer.warning(note);
    }
    context.printer.message_quoting(&format!(
        "bottle    {}\nwould be enforced\n{}",
        target.slug,
        show::escaped(shown.diff().trim_end())
    ));
    if !yes && !ask::confirm(&context.printer, "Apply it?")? {
        return Err(Error::rejected("nothing was changed"));
    }
    let lock = target.lock().await?;
    target.refuse_down()?;
    settle::locked(context, target, &lock).await?;
    if !again()?.enforces_the_same(shown) {
        return Err(changed(target));
    }
    let event = AuditEvent::Editing {
        changes: shown.changes(),
    };
    let now = revoke::carry_out(context, target, shown, event, None, None).await?;
    tell(context, target, &now)
}

fn tell(context: &Context, target: &Target, now: &str) -> Result<()> {
    if context.printer.wants_json() {
        let told = serde_json::json!({ "slug": target.slug, "state": "applied", "now": now });
        return context.printer.json(&told);
    }
    context.printer.data(now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::fixture::{Fixture, wait};
    use crate::proposals::decide::{self, Lasts};
    use contract::Guard;
    use serde_json::json;

    #[test]
    fn who_else_grants_it_is_said_as_it_is_when_it_is_done() {
        let fixture = Fixture::new();
        let _guard = fixture.guard(Guard::Egress, None);
        let (context, target) = (&fixture.context, &fixture.target);
        for number in 1..=3 {
            let arguments = json!({"host": "api.example", "path_allowlist": ["/y/"], "justification": "x"});
            let ask = json!({"tool": "egress-block", "arguments": arguments});
            let id = fixture.propose(&format!("p-{number:08}"), ask);
            let considered = fixture.consider(&id, Lasts::default());
            wait(decide::approve(context, target, &considered)).unwrap();
        }
        let done = |shown: &Revocation, id: &str| {
            let event = AuditEvent::Revoking {
                host: shown.host.clone(),
                changes: shown.change.changes(),
            };
            let again = || revoke::meant(target, &context.environment, id);
            wait(carry_out(context, target, shown, event, again)).unwrap()
        };
        let meant = |id: &str| revoke::meant(target, &context.environment, id).unwrap().unwrap();
        let shown = meant("p-00000001");
        assert_eq!(shown.stays, ["api.example/y/: p-00000002, p-00000003"]);
        done(&meant("p-00000003"), "p-00000003");
        let told = done(&shown, "p-00000001");
        assert!(
            told.ends_with("others still grant api.example/y/: p-00000002"),
            "{told}"
        );
    }
}
