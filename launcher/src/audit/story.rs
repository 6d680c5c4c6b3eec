//! One story out of two books: what the audit says of a proposal, and the access events of the requests before and after it.
//!
//! A request that was let in by a proposal carries it. A request that was refused before is joined by the proposal, which names the
//! refusal; that is the agent's word, so it counts for a refusal of the same host alone, and never for what a guard says itself. An
//! agent tries several times before it asks, or forgets to say after which refusal: refusals of just what was asked for belong to the
//! story, too.

use contract::audit::{Asked, AuditEntry, AuditEvent};
use contract::{
    AccessEvent, Decision, DenialReason, EventId, GrantId, Guard, HostName, ProposalId, RequestLine, Route,
};

/// What a story is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// A proposal, or the grant that was made of it.
    Proposal(ProposalId),
    /// An access event: the story that it is a part of.
    Event(EventId),
}

/// What belongs together.
#[derive(Debug, Clone)]
pub struct Story {
    proposal: Option<ProposalId>,
    event: Option<EventId>,
    /// The event was there to be looked at.
    event_seen: bool,
    asked: Vec<(Asked, Option<EventId>)>,
}

impl Thread {
    /// Of `p-…`, `g-…` or `e-…`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(grant) = text.parse::<GrantId>() {
            return Some(Self::Proposal(grant.proposal()));
        }
        if let Ok(event) = text.parse() {
            return Some(Self::Event(event));
        }
        text.parse().ok().map(Self::Proposal)
    }
}

impl Story {
    /// Of one bottle, as far as its audit knows it.
    pub fn of(thread: &Thread, entries: &[AuditEntry]) -> Self {
        let (proposal, event) = match thread {
            Thread::Proposal(proposal) => (Some(proposal.clone()), None),
            Thread::Event(event) => (None, Some(event.clone())),
        };
        let mut story = Self {
            proposal: None,
            event,
            event_seen: false,
            asked: Vec::new(),
        };
        if let Some(proposal) = proposal {
            story.goes_back_to(proposal, entries);
        }
        story
    }

    /// Whether it is not known yet which proposal it is about: an event of the bottle's tells.
    pub fn is_open(&self) -> bool {
        self.proposal.is_none()
    }

    /// Learns from the event that was asked about which proposal it goes back to.
    pub fn learn(&mut self, event: &AccessEvent, entries: &[AuditEntry]) {
        if self.event.as_ref() != Some(&event.event_id) || !self.is_open() {
            return;
        }
        self.event_seen = true;
        let grant = event.grant_id.as_ref().map(GrantId::proposal);
        let first = |is_it: &dyn Fn(&Asked, Option<&EventId>) -> bool| {
            let mut proposed = entries.iter().filter_map(proposed);
            let found = proposed.find(|(_, asked, denial)| is_it(asked, *denial));
            found.map(|(proposal, ..)| proposal.clone())
        };
        let names_it = || first(&|asked, denial| is_named_by(event, asked, denial));
        let asked_for_it = || first(&|asked, _| is_refusal_of(event, asked));
        let by_the_guard = event.proposal_id.clone().or(grant);
        if let Some(proposal) = by_the_guard.or_else(names_it).or_else(asked_for_it) {
            self.goes_back_to(proposal, entries);
        }
    }

    /// Of an event that is not there any more, an agent's word is all there is.
    pub fn take_the_word(&mut self, entries: &[AuditEntry]) {
        if let (None, false, Some(event)) = (&self.proposal, self.event_seen, &self.event)
            && let Some(proposal) = asked_after(entries, event)
        {
            self.goes_back_to(proposal, entries);
        }
    }

    fn goes_back_to(&mut self, proposal: ProposalId, entries: &[AuditEntry]) {
        let of_it = entries.iter().filter_map(self::proposed);
        self.asked = of_it
            .filter(|(id, ..)| **id == proposal)
            .map(|(_, asked, denial)| (asked.clone(), denial.cloned()))
            .collect();
        self.proposal = Some(proposal);
    }

    /// Whether an entry of the audit is a part of it.
    pub fn has_entry(&self, entry: &AuditEntry) -> bool {
        let Some(proposal) = &self.proposal else {
            return false;
        };
        entry.proposal_id.as_ref() == Some(proposal)
            || entry.grant_id.as_ref().map(GrantId::proposal).as_ref() == Some(proposal)
    }

    /// Whether an access event is a part of it.
    pub fn has_event(&self, event: &AccessEvent) -> bool {
        if self.event.as_ref() == Some(&event.event_id) {
            return true;
        }
        let Some(proposal) = &self.proposal else {
            return false;
        };
        event.proposal_id.as_ref() == Some(proposal)
            || event.grant_id.as_ref().map(GrantId::proposal).as_ref() == Some(proposal)
            || self.asked.iter().any(|(asked, denial)| {
                is_named_by(event, asked, denial.as_ref()) || is_refusal_of(event, asked)
            })
    }
}

fn proposed(entry: &AuditEntry) -> Option<(&ProposalId, &Asked, Option<&EventId>)> {
    match (&entry.proposal_id, &entry.event) {
        (Some(id), AuditEvent::Proposed { asked, denial_id, .. }) => Some((id, asked, denial_id.as_ref())),
        _ => None,
    }
}

fn asked_after(entries: &[AuditEntry], event: &EventId) -> Option<ProposalId> {
    let mut proposed = entries.iter().filter_map(proposed);
    let (id, ..) = proposed.find(|(.., denial)| *denial == Some(event))?;
    Some(id.clone())
}

fn host_of(asked: &Asked) -> Option<&HostName> {
    match asked {
        Asked::Route { host, .. } | Asked::Pipelock { host, .. } => Some(host),
        Asked::Capability { .. } => None,
    }
}

/// Whether an ask names this event as the refusal that it follows, and it may be that.
fn is_named_by(event: &AccessEvent, asked: &Asked, denial: Option<&EventId>) -> bool {
    denial == Some(&event.event_id) && event.decision != Decision::Allowed && is_of_host(event, asked)
}

fn is_of_host(event: &AccessEvent, asked: &Asked) -> bool {
    host_of(asked).is_some_and(|host| event.host.as_deref() == Some(host.as_str()))
}

/// Whether what was asked for is just what this refusal refused.
fn is_refusal_of(event: &AccessEvent, asked: &Asked) -> bool {
    if event.decision == Decision::Allowed || !is_of_host(event, asked) {
        return false;
    }
    match asked {
        Asked::Route {
            host,
            path_allowlist,
            methods,
            ..
        } => {
            let no_route = matches!(
                event.reason,
                Some(
                    DenialReason::HostNotAllowed
                        | DenialReason::MethodNotAllowed
                        | DenialReason::PathNotAllowed
                        | DenialReason::GrantEnded
                )
            );
            let route = Route {
                path_allowlist: Some(path_allowlist.clone()).filter(|paths| !paths.is_empty()),
                methods: Some(methods.clone()).filter(|methods| !methods.is_empty()),
                ..Route::bare(host.clone())
            };
            let admits = || match (event.method.as_deref(), event.path.as_deref()) {
                (Some(method), Some(path)) => {
                    let path = path.as_bytes();
                    route.admits(RequestLine { host, method, path }).is_ok()
                }
                // Refused at the CONNECT: more than the host was not known.
                _ => true,
            };
            event.guard == Guard::Egress && no_route && admits()
        }
        Asked::Pipelock { rule, .. } => {
            event.guard == Guard::Pipelock && (rule.is_none() || event.rule == *rule)
        }
        Asked::Capability { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const EVENT: &str = include_str!("../../../contract/golden/access-event.json");
    const ENTRY: &str = include_str!("../../../contract/golden/audit-entry.json");

    fn event(id: &str, host: &str, decision: &str, more: &serde_json::Value) -> AccessEvent {
        let mut event: serde_json::Value = serde_json::from_str(EVENT).unwrap();
        let fields = event.as_object_mut().unwrap();
        fields.remove("reason");
        fields.insert("event_id".to_owned(), json!(id));
        fields.insert("host".to_owned(), json!(host));
        fields.insert("decision".to_owned(), json!(decision));
        fields.extend(more.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn proposed(id: &str, denial: Option<&str>) -> AuditEntry {
        let mut entry: serde_json::Value = serde_json::from_str(ENTRY).unwrap();
        let asked =
            json!({"for": "route", "host": "api.example", "path_allowlist": ["/asked/"], "methods": ["GET"]});
        let mut told = json!({"kind": "proposed", "tool": "egress-block", "asked": asked, "justification": "x",
            "proposal_sha256": contract::Sha256Hex::of(b""), "created_at": "2026-11-21T09:30:00.000Z"});
        if let Some(denial) = denial {
            told["denial_id"] = json!(denial);
        }
        entry["proposal_id"] = json!(id);
        entry["event"] = told;
        serde_json::from_value(entry).unwrap()
    }

    #[test]
    fn a_story_is_found_by_proposal_grant_and_event_alike() {
        let entries = [
            proposed("p-00000001", Some("e-00000001")),
            proposed("p-00000002", None),
        ];
        let refused = event(
            "e-00000001",
            "api.example",
            "denied",
            &json!({"reason": "path_not_allowed", "path": "/asked"}),
        );
        let again = event(
            "e-00000002",
            "api.example",
            "denied",
            &json!({"reason": "path_not_allowed", "path": "/asked/x"}),
        );
        let allowed = event(
            "e-00000003",
            "api.example",
            "allowed",
            &json!({"proposal_id": "p-00000001"}),
        );
        let granted = event(
            "e-00000004",
            "api.example",
            "allowed",
            &json!({"grant_id": "g-00000001"}),
        );
        let others = [
            event(
                "e-00000005",
                "api.example",
                "allowed",
                &json!({"path": "/asked/x"}),
            ),
            event(
                "e-00000006",
                "api.example",
                "denied",
                &json!({"reason": "path_not_allowed", "path": "/other"}),
            ),
            event(
                "e-00000007",
                "api.example",
                "denied",
                &json!({"reason": "secret_found", "path": "/asked/x"}),
            ),
            event(
                "e-00000008",
                "other.example",
                "denied",
                &json!({"reason": "host_not_allowed"}),
            ),
            event(
                "e-00000009",
                "api.example",
                "allowed",
                &json!({"proposal_id": "p-00000003"}),
            ),
        ];
        for by in [
            "p-00000001",
            "g-00000001",
            "e-00000001",
            "e-00000003",
            "e-00000004",
        ] {
            let thread = Thread::parse(by).unwrap();
            let mut story = Story::of(&thread, &entries);
            for event in [&refused, &allowed, &granted] {
                story.learn(event, &entries);
            }
            assert!(!story.is_open(), "{by}");
            assert!(
                story.has_entry(&entries[0]) && !story.has_entry(&entries[1]),
                "{by}"
            );
            for event in [&refused, &again, &allowed, &granted] {
                assert!(story.has_event(event), "{by}: {event:?}");
            }
            for event in &others {
                assert!(!story.has_event(event), "{by}: {event:?}");
            }
        }
    }

    #[test]
    fn what_an_agent_names_as_its_refusal_joins_no_other_host_and_nothing_that_was_allowed() {
        let entries = [proposed("p-00000001", Some("e-00000001"))];
        let story = Story::of(&Thread::parse("p-00000001").unwrap(), &entries);
        for (host, decision) in [("other.example", "denied"), ("api.example", "allowed")] {
            assert!(!story.has_event(&event("e-00000001", host, decision, &json!({}))));
        }
        assert!(story.has_event(&event(
            "e-00000001",
            "api.example",
            "denied",
            &json!({"reason": "secret_found"})
        )));
    }

    #[test]
    fn an_agent_that_names_another_event_changes_the_story_of_neither() {
        let entries = [
            proposed("p-00000001", Some("e-00000001")),
            proposed("p-00000002", None),
        ];
        let of = |event: &AccessEvent| {
            let mut story = Story::of(&Thread::Event(event.event_id.clone()), &entries);
            story.learn(event, &entries);
            story.take_the_word(&entries);
            story
        };
        let of_another_host = event("e-00000001", "other.example", "denied", &json!({}));
        let story = of(&of_another_host);
        assert!(story.is_open() && story.has_event(&of_another_host));
        assert!(!story.has_entry(&entries[0]));
        let allowed = event(
            "e-00000001",
            "api.example",
            "allowed",
            &json!({"proposal_id": "p-00000002"}),
        );
        let story = of(&allowed);
        assert!(story.has_entry(&entries[1]) && !story.has_entry(&entries[0]));
        // Of one that is gone nothing else is known.
        let mut gone = Story::of(&Thread::parse("e-00000001").unwrap(), &entries);
        gone.take_the_word(&entries);
        assert!(gone.has_entry(&entries[0]));
    }

    #[test]
    fn a_refusal_that_was_never_named_leads_to_the_ask_for_just_that() {
        let entries = [proposed("p-00000002", None)];
        let refused = event(
            "e-00000009",
            "api.example",
            "denied",
            &json!({"reason": "path_not_allowed", "path": "/asked/x"}),
        );
        let mut story = Story::of(&Thread::parse("e-00000009").unwrap(), &entries);
        assert!(story.is_open() && story.has_event(&refused));
        story.learn(&refused, &entries);
        assert!(story.has_entry(&entries[0]));
        assert_eq!(Thread::parse("nonsense"), None);
    }
}
