//! What the gate decided, one access event each: every finding, every ref that was forwarded, every repository that was refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use contract::{AccessEvent, Decision, DenialReason, GitPlace, Guard, SCHEMA_VERSION};
use git2::Oid;
use guard::event_log::EventLog;
use secrets::known::KnownValues;

use crate::environment::shown;
use crate::hook::message::{RefResult, Update};
use crate::push::findings::{Finding, Place, Weight};
use crate::push::judge::{Case, Judgement};
use crate::table::{Remote, Table};

/// How an agent comes to the gate.
const WAY_IN: &str = "smart_http";

/// Writes events.
#[derive(Debug, Clone)]
pub struct Events {
    log: EventLog,
    table: Arc<ArcSwap<Table>>,
    refused: Arc<AtomicU64>,
    values: KnownValues,
}

// === impl Events ===

impl Events {
    /// Into this log, where none of these values may come.
    pub fn new(log: EventLog, table: Arc<ArcSwap<Table>>, values: KnownValues) -> Self {
        Self {
            log,
            table,
            values,
            refused: Arc::new(AtomicU64::new(0)),
        }
    }

    /// How many pushes and requests were refused so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A request that no repository answers for.
    pub fn denied(&self, reason: DenialReason, method: &str, path: &str, status: u16) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let mut event = self.event(Decision::Denied, None, Duration::ZERO);
        event.reason = Some(reason);
        event.method = Some(contract::text::harmless(method));
        event.path = Some(shown(&self.values, path.as_bytes()));
        event.status = Some(status);
        self.log.write_or_count(event);
    }

    /// A clone or fetch that begins. None when it cannot be logged: then it does not begin.
    pub async fn fetching(&self, remote: &Remote, service: &str) -> bool {
        let Some(place) = self.log.reserve().await else {
            return false;
        };
        let event = self.event(Decision::Allowed, Some((remote, service)), Duration::ZERO);
        self.log.write(place, event);
        true
    }

    /// An upstream that could not be asked.
    pub fn unreachable(&self, remote: &Remote, service: &str) {
        let mut event = self.event(Decision::Failed, Some((remote, service)), Duration::ZERO);
        event.reason = Some(DenialReason::UpstreamUnreachable);
        self.log.write_or_count(event);
    }

    /// A judgement: one event per finding, and one for a clean push. Whether all of it found a place.
    pub async fn judged(&self, case: &Case, judgement: &Judgement, took: Duration) -> bool {
        if !judgement.accepts() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let clean = judgement.findings.is_empty();
        for finding in &judgement.findings {
            let Some(place) = self.log.reserve().await else {
                return false;
            };
            self.log.write(place, self.finding(&case.remote, finding, took));
        }
        if clean {
            let Some(place) = self.log.reserve().await else {
                return false;
            };
            let mut event = self.event(Decision::Allowed, Some((&case.remote, "pre-receive")), took);
            event.rule = Some(format!("{} objects", judgement.objects));
            self.log.write(place, event);
        }
        true
    }

    /// What the upstream answered for each ref.
    pub async fn forwarded(
        &self,
        remote: &Remote,
        updates: &[Update],
        results: &[RefResult],
        took: Duration,
    ) {
        for result in results {
            let decision = match result.refused {
                None => Decision::Allowed,
                Some(_) => Decision::Failed,
            };
            let mut event = self.event(decision, Some((remote, "git-receive-pack")), took);
            event.reason = result.refused.as_ref().map(|_| DenialReason::UpstreamRefused);
            let new = updates
                .iter()
                .find(|update| update.reference == result.reference)
                .map(|update| update.new.clone());
            event.git = Some(GitPlace {
                reference: Some(shown(&self.values, result.reference.as_bytes())),
                commit: new,
                ..GitPlace::default()
            });
            // The push has happened: it is logged if there is any room, and counted otherwise.
            match self.log.reserve().await {
                Some(place) => self.log.write(place, event),
                None => self.log.count_lost(),
            }
        }
    }

    fn finding(&self, remote: &Remote, finding: &Finding, took: Duration) -> AccessEvent {
        let decision = match finding.weight {
            Weight::Refuse => Decision::Denied,
            Weight::Warn | Weight::Allowed(_) => Decision::Allowed,
        };
        let mut event = self.event(decision, Some((remote, "pre-receive")), took);
        event.reason = Some(finding.reason);
        event.rule = Some(finding.rule.clone());
        event.git = Some(place(finding));
        event
    }

    fn event(&self, decision: Decision, at: Option<(&Remote, &str)>, took: Duration) -> AccessEvent {
        AccessEvent {
            schema_version: SCHEMA_VERSION,
            event_id: self.log.next_id(),
            time: SystemTime::now().into(),
            guard: Guard::GitGate,
            decision,
            reason: None,
            rule: None,
            way_in: WAY_IN.to_owned(),
            method: at.map(|(_, service)| service.to_owned()),
            host: at.map(|(remote, _)| remote.settings.upstream.host().to_string()),
            path: at.map(|(remote, _)| format!("/{}", remote.route)),
            status: None,
            request_bytes: 0,
            response_bytes: 0,
            microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            generation: self.table.load().generation,
            grant_id: None,
            proposal_id: None,
            git: None,
            lost_before: 0,
        }
    }
}

fn place(finding: &Finding) -> GitPlace {
    let hex = |id: Oid| Some(id.to_string());
    let mut at = GitPlace {
        fingerprint: finding.fingerprint.clone(),
        ..GitPlace::default()
    };
    match &finding.place {
        Place::File { commit, path, line } => {
            at.commit = commit.and_then(hex);
            at.file = Some(path.clone());
            at.line = line.and_then(|line| u64::try_from(line).ok());
        }
        Place::Name { commit, folder } => {
            at.commit = commit.and_then(hex);
            at.file = Some(format!("{folder}/‹name›"));
        }
        Place::CommitHead(commit) | Place::CommitMessage(commit, _) => at.commit = hex(*commit),
        Place::Tag(tag) => at.commit = hex(*tag),
        Place::Reference(name) => at.reference = Some(name.clone()),
    }
    at
}
