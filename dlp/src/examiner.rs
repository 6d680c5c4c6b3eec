//! Looks at one request's parts, and judges what is found there.
//!
//! A finding refuses the request when the rule is sure, the host is not exempt from it, and the file says `block`; otherwise it
//! is remembered for the access event. The same examiner serves head, body and WebSocket of a request.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use secrets::{BudgetExceeded, Finding, KNOWN_VALUE};

use crate::hidden::{self, Hidden};
use crate::policy::CompiledPolicy;
use crate::refused::{ENVIRONMENT_SECRET, Found, Place, Refused, TOKEN_IN_HEXADECIMAL};

/// Looks for one request.
#[derive(Debug, Clone)]
pub struct Examiner {
    policy: Arc<CompiledPolicy>,
    host: Arc<str>,
    /// Whether values of the environment are looked for, which an exemption may forbid.
    known: bool,
    /// The first finding that was let pass.
    warned: Arc<Mutex<Option<Found>>>,
}

/// One text that comes in pieces: a body, or what it decodes to.
pub struct TextScan {
    examiner: Examiner,
    place: Place,
    rules: secrets::Stream,
    known: Option<secrets::known::Stream>,
    hidden: Hidden,
    findings: Vec<Finding>,
}

fn environment_secret(place: Place, decoded: String) -> Found {
    Found {
        rule: ENVIRONMENT_SECRET.into(),
        what: "a value of the agent's environment".into(),
        place,
        decoded,
    }
}

/// Whether one of `ends`, which ascend, lies within.
fn spans(span: &Range<u64>, ends: &[usize]) -> bool {
    let first = ends.partition_point(|end| *end as u64 <= span.start);
    ends.get(first).is_some_and(|end| (*end as u64) < span.end)
}

// === impl Examiner ===

impl Examiner {
    /// For a request to `host`.
    pub fn new(policy: Arc<CompiledPolicy>, host: &str) -> Self {
        Self {
            known: policy.looks_for_environment(host),
            policy,
            host: host.into(),
            warned: Arc::default(),
        }
    }

    /// The policy that decides.
    pub fn policy(&self) -> &Arc<CompiledPolicy> {
        &self.policy
    }

    /// The host that the request is for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The first finding that was let pass.
    pub fn warned(&self) -> Option<Found> {
        self.warned.lock().clone()
    }

    /// Looks at a whole text.
    pub fn whole(&self, place: &Place, text: &[u8]) -> Result<(), Refused> {
        self.whole_by(text, |_| place.clone())
    }

    /// Looks at a whole text, of which `place` says what lies at an offset.
    pub fn whole_by(&self, text: &[u8], place: impl Fn(u64) -> Place) -> Result<(), Refused> {
        if self.known
            && let Some(hit) = self.policy.known().find(text)
        {
            self.judge_known(&hit, place(hit.span.start))?;
        }
        let findings = self
            .policy
            .scanner()
            .scan(text, self.policy.options())
            .map_err(|BudgetExceeded| Refused::TooMuchToDecode)?;
        for finding in &findings {
            self.judge(finding, || place(finding.span.start))?;
        }
        self.encoded_by(text, place)
    }

    /// Looks for tokens that were encoded to get past.
    fn encoded_by(&self, text: &[u8], place: impl Fn(u64) -> Place) -> Result<(), Refused> {
        match hidden::token(text) {
            None => Ok(()),
            Some(at) => self.judge_hidden(place(at)),
        }
    }

    /// Looks for values of the environment in pieces that were put together. `ends` are the offsets at which a piece ends: only
    /// what spans one of them counts.
    pub fn known_across(&self, place: &Place, text: &[u8], ends: &[usize]) -> Result<(), Refused> {
        if !self.known || self.policy.known().is_empty() {
            return Ok(());
        }
        let hits = self.policy.known().find_all(text);
        match hits.iter().find(|hit| spans(&hit.span, ends)) {
            Some(hit) => self.judge_known(hit, place.clone()),
            None => Ok(()),
        }
    }

    /// Looks for tokens in pieces that were put together: only for what is known by its form, since numbers and words side by
    /// side make many things by chance.
    pub fn runs_across(&self, place: &Place, runs: &[u8], ends: &[usize]) -> Result<(), Refused> {
        if runs.is_empty() {
            return Ok(());
        }
        let findings = self
            .policy
            .scanner()
            .scan(runs, self.policy.options())
            .map_err(|BudgetExceeded| Refused::TooMuchToDecode)?;
        let by_form =
            |finding: &&Finding| self.policy.knows_by_form(&finding.rule) || *finding.rule == *KNOWN_VALUE;
        let by_form = |finding: &&Finding| by_form(finding) && spans(&finding.span, ends);
        for finding in findings.iter().filter(by_form) {
            self.judge(finding, || place.clone())?;
        }
        Ok(())
    }

    /// Looks at a text that comes in pieces.
    pub fn text(&self, place: Place) -> TextScan {
        TextScan {
            rules: self.policy.scanner().stream(self.policy.options()),
            known: self.known.then(|| self.policy.known().stream()),
            hidden: Hidden::default(),
            examiner: self.clone(),
            place,
            findings: Vec::new(),
        }
    }

    fn judge(&self, finding: &Finding, place: impl FnOnce() -> Place) -> Result<(), Refused> {
        if *finding.rule == *KNOWN_VALUE {
            return if self.known {
                self.settle(environment_secret(place(), finding.decoded.to_string()), true)
            } else {
                Ok(())
            };
        }
        if self.policy.is_exempt(&finding.rule, &self.host) {
            return Ok(());
        }
        let found = Found {
            rule: finding.rule.clone(),
            what: finding.description.clone(),
            place: place(),
            decoded: finding.decoded.to_string(),
        };
        self.settle(found, finding.blocks() && !self.policy.only_warns(&finding.rule))
    }

    fn judge_known(&self, hit: &secrets::known::Hit, place: Place) -> Result<(), Refused> {
        let form = hit.form.to_string();
        let decoded = if form == "raw" { String::new() } else { form };
        self.settle(environment_secret(place, decoded), true)
    }

    fn judge_hidden(&self, place: Place) -> Result<(), Refused> {
        if self.policy.is_exempt(TOKEN_IN_HEXADECIMAL, &self.host) {
            return Ok(());
        }
        let found = Found {
            rule: TOKEN_IN_HEXADECIMAL.into(),
            what: "a random token that was written in hexadecimal".into(),
            place,
            decoded: "hex".to_owned(),
        };
        self.settle(found, true)
    }

    /// Whether a finding in a response cuts it.
    pub fn blocks_responses(&self) -> bool {
        self.policy.response_scanning() == pipelock_config::ResponseScanning::Block
    }

    /// Judges a finding in a response.
    pub fn settle_response(&self, found: Found) -> Result<(), Refused> {
        if self.policy.is_exempt(&found.rule, &self.host) {
            return Ok(());
        }
        if self.blocks_responses() {
            return Err(Refused::Found(found));
        }
        self.warned.lock().get_or_insert(found);
        Ok(())
    }

    fn settle(&self, found: Found, sure: bool) -> Result<(), Refused> {
        if sure && self.policy.blocks() {
            return Err(Refused::Found(found));
        }
        self.warned.lock().get_or_insert(found);
        Ok(())
    }
}

// === impl TextScan ===

impl TextScan {
    /// Looks at the next bytes. Gives how many of the bytes so far, counted from the last, must not leave yet.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let held = self.rules.push(bytes, &mut self.findings);
        let by_rules = self.judged(held)?;
        let (found, hidden) = self.hidden.push(bytes);
        if found.is_some() {
            self.examiner.judge_hidden(self.place.clone())?;
        }
        let by_rules = by_rules.max(hidden);
        let Some(known) = &mut self.known else {
            return Ok(by_rules);
        };
        match known.push(bytes) {
            Ok(by_value) => Ok(by_rules.max(by_value)),
            Err(hit) => {
                // Whoever only wants to know was told; there is no second hit in one stream.
                self.known = None;
                self.examiner.judge_known(&hit, self.place.clone())?;
                Ok(by_rules)
            }
        }
    }

    /// The text is over.
    pub fn finish(&mut self) -> Result<(), Refused> {
        let finished = self.rules.finish(&mut self.findings);
        self.judged(finished)?;
        if self.hidden.finish().is_some() {
            self.examiner.judge_hidden(self.place.clone())?;
        }
        match self.known.as_mut().map(secrets::known::Stream::finish) {
            Some(Err(hit)) => self.examiner.judge_known(&hit, self.place.clone()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn judged<T>(&mut self, scanned: Result<T, BudgetExceeded>) -> Result<T, Refused> {
        for finding in std::mem::take(&mut self.findings) {
            let place = &self.place;
            self.examiner.judge(&finding, || place.clone())?;
        }
        scanned.map_err(|BudgetExceeded| Refused::TooMuchToDecode)
    }
}
