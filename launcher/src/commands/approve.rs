//! `bottle approve`

use super::proposals::read;
use crate::apply::Target;
use crate::ask;
use crate::cli::Context;
use crate::editor;
use crate::error::{Error, Kind, Result};
use crate::proposals::decide::{self, Considered, LONGEST, Lasts};
use crate::proposals::{Item, Queue, show};
use clap::Args;
use contract::{Ask, CapabilityAsk};
use serde::Serialize;
use std::time::Duration;

/// Say yes to what an agent asks for, after seeing all of what it changes.
#[derive(Debug, Args)]
pub struct Approve {
    /// The proposal, as `bottle proposals` shows it. Default: the one that is pending.
    pub id: Option<String>,

    /// Change it in your editor first.
    #[arg(long)]
    pub edit: bool,

    /// For this long only, such as 30m, 2h or 7d.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    pub for_: Option<Duration>,

    /// For one request only.
    #[arg(long)]
    pub once: bool,

    /// Do not ask for a yes.
    #[arg(long, short)]
    pub yes: bool,
}

/// What came of it, in JSON.
#[derive(Serialize)]
struct Outcome<'a> {
    proposal_id: &'a contract::ProposalId,
    slug: &'a contract::Slug,
    state: contract::Application,
    now: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<&'a contract::GrantId>,
}

impl Approve {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let queue = read(context, &home)?;
        let item = meant(context, &queue, self.id.as_deref())?;
        decide::refuse_answered(item)?;
        let target = Target::of(&home, &item.slug)?;
        let modified = if self.edit { edited(context, item)? } else { None };
        let lasts = Lasts {
            for_: self.for_,
            once: self.once,
        };
        let considered = decide::consider(context, &target, item, modified, lasts)?;
        context.printer.message_quoting(&show::considered(&considered));
        let printer = context.printer.clone();
        if !self.yes && !ask::confirm(&printer, &show::question(&considered))? {
            return Err(
                Error::pending(format!("{} was not approved; it stays pending", item.id()))
                    .hinted(format!("`bottle reject {} --reason …` says no", item.id())),
            );
        }
        self.carry_out(context, &target, &considered).await
    }

    async fn carry_out(&self, context: &Context, target: &Target, considered: &Considered) -> Result<()> {
        let carried = decide::approve(context, target, considered).await?;
        let state = &carried.state;
        if context.printer.wants_json() {
            context.printer.json(&Outcome {
                proposal_id: &state.proposal_id,
                slug: &target.slug,
                state: state.state,
                now: &carried.told,
                grant_id: state.grant_id.as_ref(),
            })?;
        }
        match state.state {
            contract::Application::Applied | contract::Application::Modified => {
                if !context.printer.wants_json() {
                    context.printer.data(&carried.told);
                }
                if let Some(grant) = &state.grant_id {
                    context
                        .printer
                        .hint(&format!("`bottle revoke {grant}` ends it before its time"));
                }
                Ok(())
            }
            contract::Application::Failed | contract::Application::Applying => {
                Err(Error::not_applied(carried.told.clone()).hinted(format!(
                    "`bottle audit {} --of {}` has the whole story",
                    target.slug, state.proposal_id
                )))
            }
        }
    }
}

/// The proposal that is meant: named, or the only one that is pending; of several, one is chosen on a terminal.
pub(super) fn meant<'q>(context: &Context, queue: &'q Queue, id: Option<&str>) -> Result<&'q Item> {
    if let Some(id) = id {
        return queue.find(id);
    }
    let pending: Vec<&Item> = queue.pending().collect();
    match pending.as_slice() {
        [] => Err(Error::usage("nobody asks for anything")
            .hinted("`bottle proposals --all` shows what was answered")),
        [one] => Ok(one),
        several => {
            let lines: Vec<String> = several
                .iter()
                .map(|item| {
                    format!(
                        "{}  {}  {} ago  {}",
                        item.id(),
                        item.slug,
                        show::age(item.age_seconds()),
                        show::asked(&item.proposal.ask)
                    )
                })
                .collect();
            if !ask::is_interactive() {
                let told = std::iter::once("several proposals are pending".to_owned()).chain(lines);
                return Err(Error::several(Kind::Usage, told.collect()).hinted("say which one, by its ID"));
            }
            let chosen = ask::choose(&context.printer, "Which one?", &lines)?;
            several
                .get(chosen)
                .copied()
                .ok_or_else(|| Error::usage("none of them was chosen"))
        }
    }
}

/// The ask after the operator's editor; `None` when it was left as it is.
fn edited(context: &Context, item: &Item) -> Result<Option<Ask>> {
    if let Ask::CapabilityBlock(asked) = &item.proposal.ask {
        let text = editor::edit(&context.environment, "Dockerfile", &asked.dockerfile)?;
        return Ok(text.map(|dockerfile| {
            Ask::CapabilityBlock(CapabilityAsk {
                dockerfile,
                justification: asked.justification.clone(),
            })
        }));
    }
    let value = serde_json::to_value(&item.proposal.ask)
        .map_err(|error| Error::failed("it cannot be shown").because(error))?;
    let mut arguments = value.get("arguments").cloned().unwrap_or_default();
    // The agent's own, and not for the operator to rewrite.
    let of_the_agent: Vec<(&str, serde_json::Value)> = ["justification", "denial_id"]
        .into_iter()
        .filter_map(|key| Some((key, arguments.as_object_mut()?.remove(key)?)))
        .collect();
    let text = serde_yaml::to_string(&arguments)
        .map_err(|error| Error::failed("it cannot be shown").because(error))?;
    let text = format!(
        "# {}, asked by the agent of {}. Change it, save and leave; leave it as it is to approve it as it is.\n{text}",
        item.proposal.ask.tool(),
        item.slug
    );
    let Some(text) = editor::edit(&context.environment, "proposal.yaml", &text)? else {
        return Ok(None);
    };
    let wrong = |error: anyhow::Error| {
        Error::usage("what was made of it is no such ask; nothing was decided").because(error)
    };
    let mut arguments: serde_json::Value =
        serde_yaml::from_str(&text).map_err(|error| wrong(error.into()))?;
    if let Some(arguments) = arguments.as_object_mut() {
        arguments.extend(
            of_the_agent
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value)),
        );
    }
    let ask = serde_json::json!({ "tool": item.proposal.ask.tool(), "arguments": arguments });
    Ok(Some(
        serde_json::from_value(ask).map_err(|error| wrong(error.into()))?,
    ))
}

/// `90s`, `30m`, `2h`, `7d`; at most a year.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.chars().last().unwrap_or_default();
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86400,
        _ => return Err("write a number and s, m, h or d, such as 2h".to_owned()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u64 = number
        .parse()
        .map_err(|_| "write a number and s, m, h or d, such as 2h".to_owned())?;
    let duration = number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST);
    duration.ok_or_else(|| "write one between 1 second (1s) and 365 days (365d)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit_within_a_year() {
        let seconds = |text: &str| duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("365d"), Ok(365 * 86400));
        for bad in [
            "",
            "h",
            "0h",
            "366d",
            "2",
            "-1h",
            "2 h",
            "99999999999999999999h",
            "1.5h",
            "2hé",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
