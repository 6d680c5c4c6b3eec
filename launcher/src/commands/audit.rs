//! `bottle audit`

use crate::audit::story::{Story, Thread};
use crate::audit::{self, AuditLog, Finding};
use crate::cli::Context;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use clap::Args;
use contract::{AccessEvent, AuditEntry, Slug, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;

/// Show what was asked, decided, applied and ended in a bottle. The log outlives the bottle.
#[derive(Debug, Args)]
pub struct Audit {
    /// The bottle, by its slug or the beginning of it. Default: every bottle that has a log.
    pub slug: Option<String>,

    /// Only what belongs to this proposal (p-…), grant (g-…) or request (e-…): with the requests that were refused before and
    /// allowed after.
    #[arg(long, value_name = "ID")]
    pub of: Option<String>,

    /// Check that no line was edited, removed, added or moved; exit code 1 if one was.
    #[arg(long)]
    pub verify: bool,
}

/// What `--verify` says of one log.
#[derive(Serialize)]
struct Verified {
    slug: Slug,
    entries: u64,
    findings: Vec<Finding>,
}

impl Audit {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let slugs = self.meant(&home)?;
        if self.verify {
            return verify(context, &home, slugs);
        }
        let mut parts: Vec<Part> = Vec::new();
        match &self.of {
            None => {
                for slug in &slugs {
                    let entries = audit::read(&AuditLog::of(&home, slug))?;
                    parts.extend(entries.into_iter().map(|entry| Part::Entry(Box::new(entry))));
                }
            }
            Some(of) => {
                let thread = Thread::parse(of).ok_or_else(|| {
                    let shown = contract::text::harmless(of);
                    Error::usage(format!("`{shown}` is none of p-…, g-… and e-…")).hinted(
                        "`bottle audit` shows the proposals, a refusal and `bottle logs` the requests",
                    )
                })?;
                for slug in &slugs {
                    match story(context, &home, slug, &thread).await {
                        Ok(of_it) => parts.extend(of_it),
                        // One damaged log hides no other's story.
                        Err(error) if self.slug.is_none() => {
                            context.printer.warning(&format!("{slug}: {error}"))
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        // One log is in the order of its lines, whatever the clock did; several are told together by time.
        if slugs.len() > 1 || self.of.is_some() {
            parts.sort_by_key(Part::time);
        }
        if let Some(of) = &self.of
            && parts.is_empty()
        {
            return Err(Error::usage(format!("no audit log knows of {of}")).hinted(
                "`bottle audit` shows what there is; a request that led to no proposal is in `bottle logs SLUG` alone",
            ));
        }
        if context.printer.wants_json() {
            return context.printer.json(&parts);
        }
        if parts.is_empty() {
            nothing(context);
        }
        let several = slugs.len() > 1;
        for part in &parts {
            context.printer.data(&part.line(several));
        }
        Ok(())
    }

    fn meant(&self, home: &Home) -> Result<Vec<Slug>> {
        let slugs = AuditLog::slugs(home)?;
        let Some(argument) = &self.slug else {
            return Ok(slugs);
        };
        if let Some(exact) = slugs.iter().find(|slug| slug.as_str() == argument) {
            return Ok(vec![exact.clone()]);
        }
        let begins: Vec<Slug> = slugs
            .into_iter()
            .filter(|slug| !argument.is_empty() && slug.as_str().starts_with(argument.as_str()))
            .collect();
        let shown = contract::text::harmless(argument);
        match begins.as_slice() {
            [_] => Ok(begins),
            [] => Err(
                Error::usage(format!("there is no audit log of a bottle `{shown}`"))
                    .hinted("`bottle audit` shows them all"),
            ),
            several => {
                let slugs: Vec<&str> = several.iter().map(Slug::as_str).collect();
                Err(Error::usage(format!("`{shown}` may mean {}", slugs.join(" or ")))
                    .hinted("write one more character of the one that you mean"))
            }
        }
    }
}

/// What is told of one thread: an entry of the log, or an access event of the bottle whose slug it comes with.
#[derive(Serialize)]
#[serde(untagged)]
enum Part {
    Entry(Box<AuditEntry>),
    Event {
        slug: Slug,
        #[serde(flatten)]
        event: Box<AccessEvent>,
    },
}

impl Part {
    fn time(&self) -> Timestamp {
        match self {
            Self::Entry(entry) => entry.time,
            Self::Event { event, .. } => event.time,
        }
    }

    fn line(&self, with_slug: bool) -> String {
        match self {
            Self::Entry(entry) => audit::line(entry, with_slug),
            Self::Event { slug, event } => audit::event_line(event, with_slug.then_some(slug)),
        }
    }
}

/// Everything of one bottle that belongs to it.
async fn story(context: &Context, home: &Home, slug: &Slug, thread: &Thread) -> Result<Vec<Part>> {
    let entries = audit::read(&AuditLog::of(home, slug))?;
    let mut story = Story::of(thread, &entries);
    let is_unknown = !story.is_open() && !entries.iter().any(|entry| story.has_entry(entry));
    if is_unknown {
        return Ok(Vec::new());
    }
    let mut told = Ok(());
    if story.is_open() {
        told = audit::events::each(context, home, slug, |event| story.learn(&event, &entries)).await;
    }
    story.take_the_word(&entries);
    let mut parts = Vec::new();
    // A bottle whose teardown was broken off has events in both places.
    let mut seen = BTreeSet::new();
    let event_of_it = |event: AccessEvent| {
        if story.has_event(&event) && seen.insert((event.guard, event.event_id.clone())) {
            let (slug, event) = (slug.clone(), Box::new(event));
            parts.push(Part::Event { slug, event });
        }
    };
    told = told.and(audit::events::each(context, home, slug, event_of_it).await);
    if let Err(error) = told {
        context.printer.warning(&format!(
            "{slug}: some of its access events cannot be read, so they may be missing here: {error}"
        ));
    }
    let of_it = entries.into_iter().filter(|entry| story.has_entry(entry));
    parts.extend(of_it.map(|entry| Part::Entry(Box::new(entry))));
    Ok(parts)
}

fn nothing(context: &Context) {
    context.printer.message("nothing was audited");
}

fn verify(context: &Context, home: &Home, slugs: Vec<Slug>) -> Result<()> {
    let printer = &context.printer;
    if slugs.is_empty() && !printer.wants_json() {
        nothing(context);
    }
    let mut told = Vec::new();
    for slug in slugs {
        let (entries, findings) = audit::verify(&AuditLog::of(home, &slug))?;
        told.push(Verified {
            slug,
            entries,
            findings,
        });
    }
    if printer.wants_json() {
        printer.json(&told)?;
    } else {
        for one in &told {
            let verdict = if one.findings.is_empty() {
                "whole"
            } else {
                "NOT WHOLE"
            };
            printer.data(&format!("{}  {} entries  {verdict}", one.slug, one.entries));
        }
    }
    let problems: Vec<String> = told
        .iter()
        .flat_map(|one| {
            one.findings.iter().map(|finding| match finding.line {
                Some(line) => format!("{} line {line}: {}", one.slug, finding.problem),
                None => format!("{}: {}", one.slug, finding.problem),
            })
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::several(Kind::Failed, problems)
            .hinted("somebody changed the log by hand; what it says from there on cannot be relied on"))
    }
}
