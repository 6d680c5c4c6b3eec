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
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::SystemTime;

/// The most unanswered proposals of one bottle that are read: ten times what an honest supervise lets be pending.
const MOST_UNANSWERED: usize = 1024;
/// How much is read of them, in bytes.
const MOST_BYTES: usize = 32 << 20;
/// The most files of a folder that are looked at.
const MOST_NAMES: usize = 100_000;
/// How many of a kind are told one by one.
const TOLD: usize = 10;

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
            // One bottle's damage hides no other's questions.
            match Self::of(home, &slug) {
                Ok(queue) => whole.add(queue),
                Err(error) => whole.unreadable.push(format!("{slug}: {error}")),
            }
        }
        whole.items.sort_by(|one, other| {
            (one.proposal.asked_at, one.id()).cmp(&(other.proposal.asked_at, other.id()))
        });
        Ok(whole)
    }

    /// One bottle's; empty when it has no supervise. Of what nobody has answered, no more is read than an honest supervise lets pile up:
    /// one bottle's files neither hold an operator up nor hide what another one asks.
    pub fn of(home: &Home, slug: &Slug) -> Result<Self> {
        let state = home.state(slug);
        let (proposals, responses) = (state.proposals(), state.responses());
        let answered = names(&responses)?;
        let mut queue = Self::default();
        let asked = match names(&proposals) {
            Ok(asked) => asked,
            // Whoever writes there may also close the folder.
            Err(error) => {
                queue.unreadable.push(format!("{slug}: {error}"));
                return Ok(queue);
            }
        };
        if asked.len() >= MOST_NAMES {
            queue.unreadable.push(format!(
                "{slug}: more than {MOST_NAMES} files lie in {}; supervise writes no such number",
                proposals.display()
            ));
        }
        let ids = asked.iter().filter_map(|name| {
            name.strip_suffix(".json")
                .and_then(|id| id.parse::<ProposalId>().ok())
        });
        let (answered_ids, unanswered): (Vec<ProposalId>, Vec<ProposalId>) =
            ids.partition(|id| answered.contains(&queue::decision(id)));
        let (withdrawn, open): (Vec<ProposalId>, Vec<ProposalId>) = unanswered
            .into_iter()
            .partition(|id| asked.contains(&queue::withdrawn(id)));
        for id in &answered_ids {
            queue.read(slug, id, &proposals, &responses, &asked, &answered);
        }
        // What can still be answered comes before what was taken back.
        let (mut bytes, mut unread) = (0, 0);
        for (number, id) in open.iter().chain(&withdrawn).enumerate() {
            if number >= MOST_UNANSWERED || bytes > MOST_BYTES {
                unread += 1;
                continue;
            }
            bytes += queue.read(slug, id, &proposals, &responses, &asked, &answered);
        }
        if unread > 0 {
            queue.unreadable.push(format!(
                "{slug}: {unread} more proposals are not read; an honest supervise does not let so many pile up"
            ));
        }
        queue.items.sort_by(|one, other| one.id().cmp(other.id()));
        Ok(queue)
    }

    /// Reads one; how long it was.
    fn read(
        &mut self,
        slug: &Slug,
        id: &ProposalId,
        proposals: &Path,
        responses: &Path,
        asked: &BTreeSet<String>,
        answered: &BTreeSet<String>,
    ) -> usize {
        let path = proposals.join(queue::decision(id));
        let bytes = match written_inside::read(&path) {
            Ok(Some(bytes)) => bytes,
            // Gone with its bottle since the folder was listed.
            Ok(None) => return 0,
            Err(error) => {
                self.unreadable.push(format!("{slug}: {id}: {error}"));
                return usize::try_from(written_inside::LONGEST).unwrap_or(usize::MAX);
            }
        };
        match judged(slug, id, &bytes, responses, asked, answered) {
            Ok(item) => self.items.push(item),
            Err(why) => self.unreadable.push(format!("{slug}: {id}: {why}")),
        }
        bytes.len()
    }

    /// Whether anything of it was answered or taken back, by the names of the files alone.
    pub fn is_touched(target: &Target) -> Result<bool> {
        let withdrawn = |name: &String| name.ends_with(".withdrawn");
        let answered = |name: &String| name.ends_with(".json");
        Ok(names(&target.state.responses())?.iter().any(answered)
            || names(&target.state.proposals())?.iter().any(withdrawn))
    }

    /// Adds a bottle's; of what cannot be read there, only the first is told one by one.
    fn add(&mut self, mut other: Self) {
        let more = other.unreadable.len().saturating_sub(TOLD);
        if more > 0 {
            other.unreadable.truncate(TOLD);
            other
                .unreadable
                .push(format!("and {more} more such files of the same bottle"));
        }
        self.items.extend(other.items);
        self.unreadable.extend(other.unreadable);
    }

    /// Takes out what is no longer the file that the audit knows under its name: what was listed before is not what would be decided.
    pub fn refuse_exchanged(&mut self, slug: &Slug, seen: &BTreeMap<String, String>) {
        let exchanged = |item: &Item| {
            item.slug == *slug
                && seen
                    .get(item.id().as_str())
                    .is_some_and(|sha256| sha256 != item.sha256.as_str())
        };
        let (gone, kept): (Vec<Item>, Vec<Item>) =
            std::mem::take(&mut self.items).into_iter().partition(exchanged);
        self.items = kept;
        let told = |item: &Item| {
            format!(
                "{slug}: {}: its file is not the one that was there when it was first seen, so it cannot be answered",
                item.id()
            )
        };
        self.add(Self {
            items: Vec::new(),
            unreadable: gone.iter().map(told).collect(),
        });
    }

    /// Those that an operator can answer.
    pub fn pending(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_pending())
    }

    /// The one that an argument means: an identifier, or the beginning of one and no other.
    pub fn find(&self, argument: &str) -> Result<&Item> {
        let (slug, id) = match argument.split_once('/') {
            Some((slug, id)) => (Some(slug), id),
            None => (None, argument),
        };
        let of_it = |item: &&Item| slug.is_none_or(|slug| item.slug.as_str() == slug);
        let mut found: Vec<&Item> = self.items.iter().filter(of_it).collect();
        // A whole identifier is not mistaken for the beginning of a longer one; but each bottle's supervise names its own proposals,
        // and one may use the name of another's.
        if found.iter().any(|item| item.id().as_str() == id) {
            found.retain(|item| item.id().as_str() == id);
        } else {
            found.retain(|item| id.len() > 2 && item.id().as_str().starts_with(id));
        }
        let shown = contract::text::harmless(argument);
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(Error::usage(format!("there is no proposal `{shown}`"))
                .hinted("`bottle proposals` shows those that there are")),
            several => {
                let ids: Vec<String> = several
                    .iter()
                    .take(TOLD)
                    .map(|item| format!("{}/{}", item.slug, item.id()))
                    .collect();
                Err(
                    Error::new(Kind::Usage, format!("`{shown}` may mean {}", ids.join(" or ")))
                        .hinted("write all of the one that you mean, as in SLUG/ID"),
                )
            }
        }
    }
}

/// The names in a folder, up to [`MOST_NAMES`]; none when it is not there.
fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = match fs_err::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let mut names = BTreeSet::new();
    for entry in entries.take(MOST_NAMES) {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// One proposal with what belongs to it, or why it is none.
fn judged(
    slug: &Slug,
    id: &ProposalId,
    bytes: &[u8],
    responses: &Path,
    asked: &BTreeSet<String>,
    answered: &BTreeSet<String>,
) -> Result<Item, String> {
    let proposal: Proposal = serde_json::from_slice(bytes).map_err(|error| {
        format!(
            "it is no proposal ({})",
            contract::text::harmless(&error.to_string())
        )
    })?;
    judge(&proposal, id)?;
    let sha256 = Sha256Hex::of(bytes);
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
    Ok(Item {
        slug: slug.clone(),
        status: ProposalStatus::of(withdrawn, response.as_ref(), applied.as_ref()),
        proposal,
        sha256,
        response,
        applied,
        withdrawn,
    })
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
