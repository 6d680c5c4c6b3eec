//! The queues of all bottles, as their files say.

use crate::apply::Target;
use crate::error::{Error, Kind, Result};
use crate::home::Home;
use crate::lifecycle::folder;
use crate::written_inside;
use contract::place::queue;
use contract::{
    ApplyState, Proposal, ProposalId, ProposalStatus, Response, SCHEMA_VERSION, Sha256Hex, Slug, Timestamp,
};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

/// A proposal, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whose.
    pub slug: Slug,
    /// What supervise wrote.
    pub proposal: Proposal,
    /// Hash of the file that it was read from: what is decided is this and nothing else.
    pub sha256: Sha256Hex,
    /// What it has come to.
    pub status: ProposalStatus,
    /// The operator's answer.
    pub response: Option<Response>,
    /// How far the answer has been carried out.
    pub applied: Option<ApplyState>,
    /// supervise took it back.
    pub withdrawn: bool,
}

/// Everything that was asked, oldest first, and what could not be read.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// Of every bottle that was looked at.
    pub items: Vec<Item>,
    /// One sentence for each file that is no proposal, or whose answer is none.
    pub unreadable: Vec<String>,
}

impl Item {
    /// Its identifier.
    pub fn id(&self) -> &ProposalId {
        &self.proposal.proposal_id
    }

    /// Whether an operator can still answer.
    pub fn is_pending(&self) -> bool {
        self.status == ProposalStatus::Pending
    }

    /// Whole seconds since it was asked.
    pub fn age_seconds(&self) -> i64 {
        let now = Timestamp::from(SystemTime::now());
        now.as_millis()
            .saturating_sub(self.proposal.asked_at.as_millis())
            .max(0)
            / 1000
    }
}

impl Queue {
    /// Every bottle's.
    pub fn of_home(home: &Home) -> Result<Self> {
        let mut whole = Self::default();
        for slug in folder::slugs(home)? {
            whole.add(Self::of(home, &slug)?);
        }
        whole.items.sort_by(|one, other| {
            (one.proposal.asked_at, one.id()).cmp(&(other.proposal.asked_at, other.id()))
        });
        Ok(whole)
    }

    /// One bottle's; empty when it has no supervise.
    pub fn of(home: &Home, slug: &Slug) -> Result<Self> {
        let state = home.state(slug);
        let (proposals, responses) = (state.proposals(), state.responses());
        let asked = names(&proposals)?;
        let answered = names(&responses)?;
        let mut queue = Self::default();
        for name in &asked {
            let Some(Ok(id)) = name.strip_suffix(".json").map(str::parse::<ProposalId>) else {
                continue;
            };
            match read(slug, &id, &proposals, &responses, &asked, &answered) {
                Ok(Some(item)) => queue.items.push(item),
                // Gone with its bottle since the folder was listed.
                Ok(None) => {}
                Err(why) => queue.unreadable.push(format!("{slug}: {id}: {why}")),
            }
        }
        Ok(queue)
    }

    /// Whether anything of it was answered or taken back, by the names of the files alone.
    pub fn is_touched(target: &Target) -> Result<bool> {
        let withdrawn = |name: &String| name.ends_with(".withdrawn");
        let answered = |name: &String| name.ends_with(".json");
        Ok(names(&target.state.responses())?.iter().any(answered)
            || names(&target.state.proposals())?.iter().any(withdrawn))
    }

    fn add(&mut self, other: Self) {
        self.items.extend(other.items);
        self.unreadable.extend(other.unreadable);
    }

    /// Those that an operator can answer.
    pub fn pending(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_pending())
    }

    /// The one that an argument means: an identifier, or the beginning of one and no other.
    pub fn find(&self, argument: &str) -> Result<&Item> {
        if let Some(exact) = self.items.iter().find(|item| item.id().as_str() == argument) {
            return Ok(exact);
        }
        let begins: Vec<&Item> = self
            .items
            .iter()
            .filter(|item| argument.len() > 2 && item.id().as_str().starts_with(argument))
            .collect();
        let shown = contract::text::harmless(argument);
        match begins.as_slice() {
            [one] => Ok(one),
            [] => Err(Error::usage(format!("there is no proposal `{shown}`"))
                .hinted("`bottle proposals` shows those that there are")),
            several => {
                let ids: Vec<&str> = several.iter().map(|item| item.id().as_str()).collect();
                Err(
                    Error::new(Kind::Usage, format!("`{shown}` may mean {}", ids.join(" or ")))
                        .hinted("write one more character of the one that you mean"),
                )
            }
        }
    }
}

/// The names in a folder; none when it is not there.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// One proposal with what belongs to it, or why it is none.
fn read(
    slug: &Slug,
    id: &ProposalId,
    proposals: &Path,
    responses: &Path,
    asked: &BTreeSet<String>,
    answered: &BTreeSet<String>,
) -> Result<Option<Item>, String> {
    let Some(bytes) =
        written_inside::read(&proposals.join(queue::decision(id))).map_err(|error| error.to_string())?
    else {
        return Ok(None);
    };
    let proposal: Proposal = serde_json::from_slice(&bytes).map_err(|error| {
        format!(
            "it is no proposal ({})",
            contract::text::harmless(&error.to_string())
        )
    })?;
    judge(&proposal, id)?;
    let sha256 = Sha256Hex::of(&bytes);
    let ours = |name: String| -> Result<Option<Vec<u8>>, String> {
        if answered.contains(&name) {
            written_inside::read(&responses.join(name)).map_err(|error| error.to_string())
        } else {
            Ok(None)
        }
    };
    let response: Option<Response> = parse(ours(queue::decision(id))?, "response")?;
    let applied: Option<ApplyState> = parse(ours(queue::state(id))?, "state")?;
    let named = [
        response.as_ref().map(|response| &response.proposal_sha256),
        applied.as_ref().map(|applied| &applied.proposal_sha256),
    ];
    if named.into_iter().flatten().any(|named| *named != sha256) {
        return Err("it was changed after it was answered, so the answer does not count".to_owned());
    }
    let withdrawn = asked.contains(&queue::withdrawn(id));
    Ok(Some(Item {
        slug: slug.clone(),
        status: ProposalStatus::of(withdrawn, response.as_ref(), applied.as_ref()),
        proposal,
        sha256,
        response,
        applied,
        withdrawn,
    }))
}

fn judge(proposal: &Proposal, id: &ProposalId) -> Result<(), String> {
    if proposal.schema_version != SCHEMA_VERSION {
        return Err(format!(
            "it is of schema_version {}; this program reads {SCHEMA_VERSION}",
            proposal.schema_version
        ));
    }
    if proposal.proposal_id != *id {
        return Err(format!("it calls itself {}", proposal.proposal_id));
    }
    proposal.ask.check().map_err(|error| error.to_string())?;
    if proposal.dedup_key != proposal.ask.dedup_key() {
        return Err("its dedup_key is not of what it asks for".to_owned());
    }
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(bytes: Option<Vec<u8>>, what: &str) -> Result<Option<T>, String> {
    bytes
        .map(|bytes| {
            serde_json::from_slice(&bytes).map_err(|error| format!("its {what} cannot be read ({error})"))
        })
        .transpose()
}
