//! `bottle reject`

use super::approve::meant;
use super::proposals::read;
use crate::apply::Target;
use crate::cli::Context;
use crate::error::{Error, Result};
use crate::proposals::decide;
use clap::Args;

/// Say no to what an agent asks for, and why.
#[derive(Debug, Args)]
pub struct Reject {
    /// The proposal, as `bottle proposals` shows it. Default: the one that is pending.
    pub id: Option<String>,

    /// What the agent is told.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

impl Reject {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        if self.reason.trim().is_empty() || self.reason.len() > contract::ask::MAX_JUSTIFICATION {
            return Err(Error::usage(format!(
                "--reason: write what the agent is told, in 1 to {} bytes",
                contract::ask::MAX_JUSTIFICATION
            )));
        }
        let home = context.home()?;
        let queue = read(context, &home)?;
        let item = meant(context, &queue, self.id.as_deref())?;
        decide::refuse_answered(item)?;
        let target = Target::of(&home, &item.slug)?;
        decide::reject(&target, item, self.reason.trim()).await?;
        if context.printer.wants_json() {
            context.printer.json(&serde_json::json!({
                "proposal_id": item.id(), "slug": item.slug, "state": "rejected"
            }))
        } else {
            context.printer.data(&format!("{} is rejected", item.id()));
            Ok(())
        }
    }
}
