//! `bottle git`

use super::approve::duration;
use super::revoke::apply_edit;
use super::which::target;
use crate::apply::git_gate;
use crate::cli::Context;
use crate::error::{Error, Result};
use clap::{Args, Subcommand};
use contract::Timestamp;
use contract::gate::{Allowance, GateFingerprint};
use std::time::{Duration, SystemTime};

/// Decide about what the git gate refused.
#[derive(Debug, Args)]
pub struct Git {
    /// What to do.
    #[command(subcommand)]
    pub command: GitCommand,
}

/// What can be decided.
#[derive(Debug, Subcommand)]
pub enum GitCommand {
    /// Let one value be pushed although it looks like a secret
    Allow {
        /// The fingerprint that the refusal shows (fp-…).
        fingerprint: GateFingerprint,
        /// Why it is no secret; kept in the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// For how long, such as 30m, 2h or 7d.
        #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
        for_: Duration,
        /// The bottle, by its slug or the beginning of it. Default: the only one.
        #[arg(long, value_name = "SLUG")]
        bottle: Option<String>,
        /// Do not ask for a yes.
        #[arg(long, short)]
        yes: bool,
    },
}

impl Git {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let GitCommand::Allow {
            fingerprint,
            reason,
            for_,
            bottle,
            yes,
        } = self.command;
        if reason.trim().is_empty() {
            return Err(Error::usage("say why with --reason: the audit log keeps it"));
        }
        let target = target(&context.home()?, bottle.as_deref())?;
        let now: Timestamp = SystemTime::now().into();
        let millis = i64::try_from(for_.as_millis()).unwrap_or(i64::MAX);
        let allowance = Allowance {
            fingerprint,
            reason: contract::text::harmless(reason.trim()),
            expires_at: Timestamp::from_millis(now.as_millis().saturating_add(millis)),
        };
        let change = || git_gate::allow(&target, &allowance, now);
        apply_edit(context, &target, yes, &change()?, change).await
    }
}
