//! Looks at one request's parts, and judges what is found there.
//!
//! A finding refuses the request when the rule is sure, the host is not exempt from it, and the file says `block`; otherwise it
//! is remembered for the access event. The same examiner serves head, body and WebSocket of a request.

use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use secrets::{BudgetExceeded, Finding};

use crate::hidden;
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
    findings: Vec<Finding>,
}

/// The shortest token that is looked for across the end of a piece.
const SHORTEST_RUN: usize = 16;
/// A token in up to so many pieces is found whatever stands in the pieces around them.
const NEIGHBOURS: usize = 4;
/// Neighbours that are longer than this together are no pieces of one token, bytes.
const LONGEST_SPLIT: usize = 512;

fn spans(span: &Range<u64>, ends: &[usize]) -> bool {
    let mut ends = ends.iter().filter_map(|end| u64::try_from(*end).ok());
    ends.any(|end| span.start < end && end < span.end)
}

/// What of `text` could be one token over the end of a piece, line by line, and where in that the pieces end: unbroken runs of a
/// token's characters with a digit among them. The words of ordinary fields make none, so ordinary requests cost nothing
/// here.
fn runs_across(text: &[u8], ends: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.%".contains(byte);
    let (mut runs, mut run_ends) = (Vec::new(), Vec::new());
    // How far of `text` is in `runs`, and by how much offsets differ there.
    let (mut taken, mut shift) = (0, 0);
    for &end in ends {
        if end < taken {
            run_ends.push(end - shift);
            continue;
        }
        let (before, after) = text.split_at(end.min(text.len()));
        let left = before.iter().rev().take_while(|byte| part(byte)).count();
        let right = after.iter().take_while(|byte| part(byte)).count();
        let run = text.get(end - left..end + right).unwrap_or_default();
        let crosses = left > 0 && right > 0 && run.len() >= SHORTEST_RUN;
        if crosses && run.iter().any(u8::is_ascii_digit) {
            shift = (end - left).saturating_sub(runs.len());
            run_ends.push(end - shift);
            runs.extend_from_slice(run);
            runs.push(b'\n');
            taken = end + right;
        }
    }
    (runs, run_ends)
}

/// Adds what [`runs_across`] gives of few pieces by themselves: between words a token does not look like one.
fn add_neighbours(text: &[u8], ends: &[usize], runs: &mut Vec<u8>, run_ends: &mut Vec<usize>) {
    let mut marks = vec![0];
    marks.extend_from_slice(ends);
    marks.dedup();
    // All pieces together are looked at anyway.
    for marks in
        (2..=NEIGHBOURS.min(marks.len().saturating_sub(2))).flat_map(|count| marks.windows(count + 1))
    {
        let &[start, ref inner @ .., end] = marks else {
            continue;
        };
        if !(SHORTEST_RUN..=LONGEST_SPLIT).contains(&(end - start)) {
            continue;
        }
        let inner: Vec<usize> = inner.iter().map(|at| at - start).collect();
        let (few, few_ends) = runs_across(text.get(start..end).unwrap_or_default(), &inner);
        run_ends.extend(few_ends.iter().map(|at| at + runs.len()));
        runs.extend_from_slice(&few);
    }
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

    /// Looks for tokens that were encoded to get past, in a whole text that was looked at otherwise.
    pub fn encoded(&self, place: &Place, text: &[u8]) -> Result<(), Refused> {
        self.encoded_by(text, |_| place.clone())
    }

    fn encoded_by(&self, text: &[u8], place: impl Fn(u64) -> Place) -> Result<(), Refused> {
        match hidden::token(text) {
            None => Ok(()),
            Some(at) => self.judge_hidden(place(u64::try_from(at).unwrap_or(u64::MAX))),
        }
    }

    /// Looks at pieces that were put together. `ends` are the offsets at which a piece ends: only what spans one of them
    /// counts, and only what is known by its form, since numbers and words side by side make many things by chance.
    pub fn pieces(&self, place: &Place, text: &[u8], ends: &[usize]) -> Result<(), Refused> {
        if self.known
            && let Some(hit) = self
                .policy
                .known()
                .find_all(text)
                .iter()
                .find(|hit| spans(&hit.span, ends))
        {
            self.judge_known(hit, place.clone())?;
        }
        let (mut runs, mut run_ends) = runs_across(text, ends);
        add_neighbours(text, ends, &mut runs, &mut run_ends);
        let ends = run_ends;
        if runs.is_empty() {
            return Ok(());
        }
        let findings = self
            .policy
            .scanner()
            .scan(&runs, self.policy.options())
            .map_err(|BudgetExceeded| Refused::TooMuchToDecode)?;
        let by_form =
            |finding: &&Finding| self.policy.knows_by_form(&finding.rule) && spans(&finding.span, &ends);
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
            examiner: self.clone(),
            place,
            findings: Vec::new(),
        }
    }

    fn judge(&self, finding: &Finding, place: impl FnOnce() -> Place) -> Result<(), Refused> {
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
        let found = Found {
            rule: ENVIRONMENT_SECRET.into(),
            what: "a value of the agent's environment".into(),
            place,
            decoded: if form == "raw" { String::new() } else { form },
        };
        self.settle(found, true)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_could_be_a_token_over_an_end_is_looked_at_again() {
        let pieces = ["user", "text", "Hello world", "AKIA0123", "45678901234", "x y"];
        let text = pieces.concat();
        let ends: Vec<usize> = pieces
            .iter()
            .scan(0, |end, piece| {
                *end += piece.len();
                Some(*end)
            })
            .collect();
        let (runs, run_ends) = runs_across(text.as_bytes(), &ends);
        assert_eq!(runs, b"worldAKIA012345678901234x\n");
        assert_eq!(run_ends, [5, 13, 24]);
    }

    #[test]
    fn few_pieces_are_looked_at_by_themselves() {
        let pieces = ["bob", "AKIA0123", "45678901", "234yes", "x y"];
        let text = pieces.concat();
        let ends: Vec<usize> = (1..=pieces.len())
            .map(|count| pieces[..count].concat().len())
            .collect();
        let (mut runs, mut run_ends) = (Vec::new(), Vec::new());
        add_neighbours(text.as_bytes(), &ends, &mut runs, &mut run_ends);
        let runs = String::from_utf8(runs).unwrap();
        assert!(runs.lines().any(|line| line == "AKIA012345678901"), "{runs}");
        assert!(
            runs.lines().any(|line| line == "AKIA012345678901234yes"),
            "{runs}"
        );
        assert!(run_ends.iter().all(|end| runs.as_bytes()[*end] != b'\n'));
    }

    proptest! {
        #[test]
        fn ends_stay_where_they_were(pieces in prop::collection::vec("[a-z0-9 ]{0,12}", 0..12)) {
            let text = pieces.concat();
            let mut end = 0;
            let ends: Vec<usize> = pieces.iter().map(|piece| { end += piece.len(); end }).collect();
            let (runs, run_ends) = runs_across(text.as_bytes(), &ends);
            for end in run_ends {
                prop_assert!(end > 0 && end < runs.len());
            }
        }
    }
}
