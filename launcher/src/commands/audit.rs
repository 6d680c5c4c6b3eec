//! `bottle audit`

use crate::audit::{self, AuditLog, Finding};
use crate::cli::Context;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use clap::Args;
use contract::{AuditEntry, Slug};
use serde::Serialize;

/// Show what was asked, decided, applied and ended in a bottle. The log outlives the bottle.
#[derive(Debug, Args)]
pub struct Audit {
    /// The bottle, by its slug or the beginning of it. Default: every bottle that has a log.
    pub slug: Option<String>,

    /// Only what belongs to this proposal (p-…) or grant (g-…).
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
    pub fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let slugs = self.meant(&home)?;
        if self.verify {
            return verify(context, &home, slugs);
        }
        let mut entries: Vec<AuditEntry> = Vec::new();
        for slug in &slugs {
            entries.extend(audit::read(&AuditLog::of(&home, slug))?);
        }
        if let Some(of) = &self.of {
            entries.retain(|entry| belongs(entry, of));
        }
        // One log is in the order of its lines, whatever the clock did; several are told together by time.
        if slugs.len() > 1 {
            entries.sort_by_key(|entry| entry.time);
        }
        if context.printer.wants_json() {
            return context.printer.json(&entries);
        }
        if entries.is_empty() {
            context.printer.message("nothing was audited");
        }
        let several = slugs.len() > 1;
        for entry in &entries {
            context.printer.data(&audit::line(entry, several));
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

fn belongs(entry: &AuditEntry, of: &str) -> bool {
    // A grant has the digits of its proposal, so either finds both.
    let digits = of.strip_prefix("p-").or(of.strip_prefix("g-")).unwrap_or(of);
    let same = |id: Option<&str>| id.and_then(|id| id.get(2..)) == Some(digits);
    same(entry.proposal_id.as_ref().map(contract::ProposalId::as_str))
        || same(entry.grant_id.as_ref().map(contract::GrantId::as_str))
}

fn verify(context: &Context, home: &Home, slugs: Vec<Slug>) -> Result<()> {
    let printer = &context.printer;
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
