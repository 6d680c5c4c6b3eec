//! Egress as the core sees it: the [`mitm::Policy`] that decides, answers and logs.
//!
//! Refuses to decide anything itself: [`crate::decision`] does, for every way in alike. Here a decision is joined with its
//! consequences: the denial's body, the grant that is spent, the access event.

use std::sync::Arc;

use arc_swap::ArcSwap;
use contract::matcher::Refusal as NoRoute;
use contract::{DenialReason, EventId, Grant, GrantId, Guard, HostName, ProposalId, RequestLine, Route};
use http::header::{IF_RANGE, PROXY_AUTHORIZATION, RANGE};
use http::{HeaderMap, StatusCode};
use mitm::{
    Authority, ConnectPlan, ConnectRequest, Denial, Draft, Forward, Host, LocalResponse, Policy, Refusal,
    RequestHead, Teller, Upstream, Verdict, WayIn,
};

use crate::agent_credentials;
use crate::answer;
use crate::decision::{self, Asked, NotAllowed};
use crate::encoded::Decoders;
use crate::forms::FormMethod;
use crate::grants::{Grants, SpendError};
use crate::held::{Budget, HELD_IN_ALL};
use crate::introspection;
use crate::permit::Admitted;
use crate::policy::CompiledPolicy;
use crate::refused::{Refused, Tried};
use crate::standing::Standing;
use ::guard::clock::Now;
use ::guard::event_log::{EventLog, Place};
use ::guard::shown;

/// The guard.
#[derive(Debug)]
pub struct Egress {
    policy: Arc<ArcSwap<CompiledPolicy>>,
    grants: Arc<Grants>,
    log: EventLog,
    budget: Budget,
    decoders: Decoders,
    /// The bottle has supervise: denials name the tool that asks.
    supervise: bool,
}

/// What egress calls a cut.
const TELLER: Teller = Teller {
    guard: Guard::Egress,
    request_cut: DenialReason::CredentialInRequest,
    response_cut: DenialReason::CredentialInResponse,
};

// === impl Egress ===

impl Egress {
    /// A guard that decides by whatever `policy` holds at the time of each request.
    pub fn new(
        policy: Arc<ArcSwap<CompiledPolicy>>,
        grants: Arc<Grants>,
        log: EventLog,
        supervise: bool,
    ) -> Self {
        Self {
            policy,
            grants,
            log,
            budget: Budget::new(HELD_IN_ALL),
            decoders: Decoders::default(),
            supervise,
        }
    }

    fn holds(&self, grant: &Grant) -> bool {
        self.grants.holds(grant, Now::read())
    }

    /// The answer; its remedy names the event by which the denial is logged, if it is.
    fn denial(
        &self,
        refused: &Refused,
        host: &Host,
        tried: Tried<'_>,
        policy: &CompiledPolicy,
        event: Option<EventId>,
    ) -> Denial {
        let mut remedy = if self.supervise {
            refused.remedy(tried)
        } else {
            None
        };
        if let Some(event) = event.filter(|_| self.log.is_wanted()) {
            remedy = remedy.map(|remedy| remedy.after_denial(event));
        }
        Denial {
            told_agent: answer::denial(
                StatusCode::FORBIDDEN,
                refused.reason(),
                Some(shown::host(&host.to_string(), policy.tripwire())),
                refused.message(self.supervise),
                remedy,
            ),
            logged: refused.reason().to_string(),
        }
    }

    /// Decides a CONNECT: where it goes, and whether it brings a credential for this proxy.
    fn judge_connect(&self, policy: &CompiledPolicy, request: &ConnectRequest<'_>) -> Result<(), Refused> {
        let host = decision::judge_authority(policy, request.authority, true)?;
        let routes = || policy.table().routes_of(host);
        let ended: Vec<&GrantId> = routes()
            .filter_map(|route| route.grant.as_ref())
            .filter(|grant| !self.holds(grant))
            .map(|grant| &grant.grant_id)
            .collect();
        if let Some(last) = ended.last()
            && ended.len() == routes().count()
        {
            let why = NoRoute::GrantEnded((*last).clone(), host.clone());
            return Err(Refused::NoRoute(why));
        }
        if request.headers.contains_key(PROXY_AUTHORIZATION) {
            let mut sent = HeaderMap::new();
            for value in request.headers.get_all(PROXY_AUTHORIZATION) {
                sent.append(PROXY_AUTHORIZATION, value.clone());
            }
            let mut verdicts = routes().map(|route| agent_credentials::judge(route, None, &mut sent.clone()));
            if !verdicts.any(|verdict| verdict.is_ok())
                && let Some(Err(foreign)) = routes()
                    .next()
                    .map(|route| agent_credentials::judge(route, None, &mut sent))
            {
                return Err(Refused::AgentCredential(foreign));
            }
        }
        Ok(())
    }

    fn deny(
        &self,
        head: &RequestHead,
        headers: &HeaderMap,
        policy: &CompiledPolicy,
        not_allowed: &NotAllowed,
        place: Place,
    ) -> Denial {
        let host: Option<HostName> = head
            .authority
            .host
            .dns()
            .and_then(|name| name.as_str().parse().ok());
        let path = head.path();
        let tried = Tried {
            host: host.as_ref(),
            method: Some(head.method.as_str()),
            path: (!not_allowed.path_admitted).then_some(path),
        };
        let rule = host
            .as_ref()
            .filter(|host| policy.table().knows(host))
            .map(ToString::to_string);
        let draft = self.draft(head, policy).with_rule(rule);
        let (refused, event) = (&not_allowed.refused, Some(draft.event_id().clone()));
        let mut denial = self.denial(refused, &head.authority.host, tried, policy, event);
        answer::show_in_git(headers, &mut denial.told_agent);
        let event = draft.answered(Some(not_allowed.refused.reason()), &denial.told_agent);
        self.log.write(place, event);
        denial
    }

    fn draft(&self, head: &RequestHead, policy: &CompiledPolicy) -> Draft {
        Draft::of_request(
            TELLER,
            &self.log,
            head,
            policy.tripwire(),
            policy.table().generation,
        )
    }

    /// Spends the grant of a route that has one use.
    async fn spend(&self, route: &Route) -> Result<(), Refused> {
        let Some(grant) = route.grant.as_ref().filter(|grant| grant.once) else {
            return Ok(());
        };
        let (grants, spent) = (self.grants.clone(), grant.clone());
        let spending = tokio::task::spawn_blocking(move || grants.spend(&spent, Now::read()));
        match spending.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(SpendError::Ended(id))) => {
                Err(Refused::NoRoute(NoRoute::GrantEnded(id, route.host.clone())))
            }
            Ok(Err(SpendError::NotRecorded(_, error))) => {
                tracing::error!("grants.json: {error}");
                Err(Refused::GrantNotRecorded(grant.grant_id.clone()))
            }
            Err(_) => Err(Refused::GrantNotRecorded(grant.grant_id.clone())),
        }
    }

    /// Without a place in the log there is no event; it is counted in the next one that has.
    fn log_too_slow(&self, head: &RequestHead, policy: &CompiledPolicy) -> Denial {
        self.log.count_lost();
        let (refused, tried) = (Refused::LogTooSlow, Tried::default());
        self.denial(&refused, &head.authority.host, tried, policy, None)
    }

    fn introspect(&self, head: &RequestHead, policy: &CompiledPolicy, place: Place) -> LocalResponse {
        let answer = introspection::answer(policy, &head.method, head.path(), |grant| self.holds(grant));
        let rule = Some(introspection::RULE.to_owned());
        let event = self.draft(head, policy).with_rule(rule).answered(None, &answer);
        self.log.write(place, event);
        answer
    }
}

/// The proposal that a request goes back to.
fn proposal_of(route: &Route, head: &RequestHead) -> Option<ProposalId> {
    if route.added_by.is_empty() {
        return None;
    }
    let line = RequestLine {
        host: &route.host,
        method: head.method.as_str(),
        path: head.path(),
    };
    route.proposal_of(line).cloned()
}

impl Policy for Egress {
    type Permit = Admitted;

    fn connect(&self, request: &ConnectRequest<'_>) -> Result<ConnectPlan, Denial> {
        let policy = self.policy.load();
        let Err(refused) = self.judge_connect(&policy, request) else {
            return Ok(ConnectPlan::Intercept { http2: true });
        };
        let host: Option<HostName> = request
            .authority
            .host
            .dns()
            .and_then(|name| name.as_str().parse().ok());
        let tried = Tried {
            host: host.as_ref(),
            method: None,
            path: None,
        };
        let received = std::time::Instant::now();
        let draft = Draft::of_attempt(TELLER, &self.log, None, received, policy.table().generation)
            .with_target(
                Some("CONNECT"),
                Some(&request.authority.host.to_string()),
                None,
                policy.tripwire(),
            );
        let event = Some(draft.event_id().clone());
        let denial = self.denial(&refused, &request.authority.host, tried, &policy, event);
        let event = draft.answered(Some(refused.reason()), &denial.told_agent);
        self.log.write_or_count(event);
        Err(denial)
    }

    /// For hosts with a lasting route: a grant may have been ended or spent by the time of the request.
    fn dial_ahead(&self, authority: &Authority) -> Option<Arc<Upstream>> {
        let policy = self.policy.load();
        let host = policy.table().known_host(authority.host.dns()?.as_str())?;
        let lasting = policy.table().lasting(host)?;
        let admitting = policy.admitting(lasting)?;
        Some(admitting.prepared.upstream.clone())
    }

    async fn admit(&self, head: &RequestHead, headers: &mut HeaderMap) -> Verdict<Admitted> {
        let Some(place) = self.log.reserve().await else {
            return Verdict::Deny(self.log_too_slow(head, &self.policy.load()));
        };
        // Only now: to get a place may have taken seconds.
        let policy = self.policy.load_full();
        let tunnel = head.way_in != WayIn::AbsoluteForm;
        if !tunnel && introspection::is_asked(&head.authority) {
            return Verdict::Answer(self.introspect(head, &policy, place));
        }
        let asked = Asked {
            authority: &head.authority,
            tunnel,
            method: &head.method,
            target: head.target.as_str().as_bytes(),
            path: head.path(),
            query: head.query(),
        };
        let allowed = match decision::judge(&policy, asked, headers, |grant| self.holds(grant)) {
            Ok(allowed) => allowed,
            Err(not_allowed) => return Verdict::Deny(self.deny(head, headers, &policy, &not_allowed, place)),
        };
        let admitting = allowed.admitting;
        if let Err(refused) = self.spend(admitting.route).await {
            return Verdict::Deny(self.deny(head, headers, &policy, &refused.into(), place));
        }
        let mut standing = Standing::new(
            self.policy.clone(),
            self.grants.clone(),
            policy.clone(),
            admitting,
            head,
            headers,
        );
        // To spend it may have taken a while; the core asks once more before it sends anything.
        if let Err(refused) = standing.check() {
            return Verdict::Deny(self.deny(head, headers, &policy, &refused.into(), place));
        }
        let looks_into_response = admitting.route.auth.is_some();
        if looks_into_response {
            self.decoders.narrow(headers);
            // Of a response that repeats the credential, an agent could ask for one part at a time.
            headers.remove(RANGE);
            headers.remove(IF_RANGE);
        }
        let upstream = admitting.prepared.upstream.clone();
        let mut permit = Admitted::new(
            head,
            &allowed,
            policy.tripwire().clone(),
            standing,
            self.budget.clone(),
            self.decoders.clone(),
            self.supervise,
        )
        .with_form(FormMethod::of(head, admitting.route, headers));
        if self.log.is_wanted() {
            let route = admitting.route;
            let grant = route.grant.as_ref().map(|grant| grant.grant_id.clone());
            let draft = self
                .draft(head, &policy)
                .with_rule(Some(route.host.to_string()))
                .with_grant(grant)
                .with_proposal(proposal_of(route, head));
            permit = permit.with_event(self.log.clone(), place, draft);
        }
        Verdict::Forward(Forward { permit, upstream })
    }

    fn refused(&self, refusal: &Refusal<'_>) -> LocalResponse {
        let policy = self.policy.load();
        let tripwire = policy.tripwire();
        let reason = mitm::denial_reason(refusal.reason);
        let host = refusal.authority.map(|authority| authority.host.to_string());
        let answer = answer::denial(
            refusal.reason.status(),
            reason,
            host.as_deref().map(|host| shown::host(host, tripwire)),
            format!("egress: {}", shown::sentence(refusal.detail, tripwire)),
            None,
        );
        if !refusal.admitted {
            let received = std::time::Instant::now();
            let draft = Draft::of_attempt(
                TELLER,
                &self.log,
                refusal.way_in,
                received,
                policy.table().generation,
            )
            .with_target(
                refusal.method.map(http::Method::as_str),
                host.as_deref(),
                refusal.target,
                tripwire,
            );
            self.log.write_or_count(if refusal.answerable {
                draft.answered(Some(reason), &answer)
            } else {
                draft.closed(reason)
            });
        }
        answer
    }
}
