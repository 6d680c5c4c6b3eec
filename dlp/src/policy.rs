//! The policy in force, made ready: what both files say, with the scanner that looks for it.

use std::collections::HashSet;
use std::sync::Arc;

use ::guard::clock::Now;
use ::guard::shown::Hides;
use contract::Sha256Hex;
use mitm::Upstream;
use parking_lot::RwLock;
use pipelock_config::{DlpFile, Exemption, OnFinding, ResponseScanning, Seat};
use secrets::known::KnownValues;
use secrets::{Judge, Options, RuleSet, Scanner, Setting};

use crate::refused::{ENVIRONMENT_SECRET, HOST_NAME_DATA};
use crate::upstream::Upstreams;

/// The rule that finds recovery phrases, which the file can switch off.
const RECOVERY_PHRASE: secrets::Detector = secrets::Detector::RecoveryPhrase;

/// What stays the same across reloads.
#[derive(Debug)]
pub struct Parts {
    /// The values of the agent's environment.
    pub environment: KnownValues,
    /// The ways out.
    pub upstreams: Upstreams,
}

/// One version of the policy. Immutable; a reload makes another.
pub struct CompiledPolicy {
    seat: Seat,
    dlp: DlpFile,
    effective_sha256: Sha256Hex,
    scanner: Scanner,
    options: Options,
    known: KnownValues,
    /// Ends of exemptions on the clock that nobody can set, in the order of `dlp.exemptions`; none for one without an end.
    boot_deadlines: Vec<Option<u64>>,
    recovery_phrase_rules: Vec<Arc<str>>,
    /// Rules whose matches speak for themselves by their form.
    by_form: HashSet<Arc<str>>,
    /// The rules of the operator's own patterns, in the order of `seat.patterns`.
    own: Vec<String>,
    /// What matches of rules in `by_form` begin with.
    keywords: regex::bytes::Regex,
    /// Hosts whose names were judged and are in order: the same few are asked for again and again.
    named_well: RwLock<HashSet<String>>,
}

/// So many of them are remembered.
const NAMES: usize = 1024;

/// Why files that parse cannot come into force.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// a pattern of the operator's own
    #[error("dlp.patterns: {0}")]
    Pattern(String),
    /// the built-in rules
    #[error("{0}")]
    Scanner(#[from] secrets::ScannerError),
}

// === impl CompiledPolicy ===

impl CompiledPolicy {
    /// Makes the files ready.
    ///
    /// # Errors
    /// A pattern of the operator's cannot be used.
    pub fn compile(seat: Seat, dlp: DlpFile, environment: &KnownValues) -> Result<Self, CompileError> {
        let mut rules = RuleSet::built_in().map_err(secrets::ScannerError::from)?;
        let recovery_phrase_rules = rules
            .rules()
            .iter()
            .filter(|rule| rule.detector == Some(RECOVERY_PHRASE))
            .map(|rule| rule.id.as_str().into())
            .collect();
        let by_form = || {
            let has_form = |rule: &&secrets::Rule| {
                rule.detector.is_none() && rule.judge == Judge::Form && !rule.keywords.is_empty()
            };
            rules.rules().iter().filter(has_form)
        };
        let keywords = one_of(by_form().flat_map(|rule| &rule.keywords))?;
        let by_form = by_form().map(|rule| rule.id.as_str().into()).collect();
        let own = own_names(&seat, &rules);
        rules
            .extend(own_rules(&seat, &own)?)
            .map_err(|error| CompileError::Pattern(error.to_string()))?;
        let now = Now::read();
        let boot_deadlines = dlp
            .exemptions
            .iter()
            .map(|exemption| exemption.expires_at.map(|end| boot_deadline(&now, end)))
            .collect();
        let known = if seat.scan_env {
            environment.clone()
        } else {
            KnownValues::builder().build()
        };
        Ok(Self {
            effective_sha256: effective_sha256(&seat, &dlp),
            scanner: Scanner::new(rules)?,
            options: Options {
                known: Some(known.clone()),
                ..Options::new(Setting::Traffic)
            },
            known,
            boot_deadlines,
            recovery_phrase_rules,
            by_form,
            own,
            keywords,
            named_well: RwLock::default(),
            seat,
            dlp,
        })
    }

    /// What `pipelock.yaml` says.
    pub fn seat(&self) -> &Seat {
        &self.seat
    }

    /// The generation in force; 0 without a `dlp.yaml`.
    pub fn generation(&self) -> u64 {
        self.dlp.generation
    }

    /// Hash of what is in force.
    pub fn effective_sha256(&self) -> &Sha256Hex {
        &self.effective_sha256
    }

    /// What finds secrets by their form.
    pub fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// How it is used.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What finds the values of the agent's environment.
    pub fn known(&self) -> &KnownValues {
        &self.known
    }

    /// Whether findings are refused, not only told.
    pub fn blocks(&self) -> bool {
        self.seat.action == OnFinding::Block
    }

    /// Whether responses are looked at.
    pub fn response_scanning(&self) -> ResponseScanning {
        self.seat.response_scanning
    }

    /// Whether a rule does not apply to a host now.
    pub fn is_exempt(&self, rule: &str, host: &str) -> bool {
        if !self.seat.recovery_phrases && self.recovery_phrase_rules.iter().any(|other| &**other == rule) {
            return true;
        }
        if self
            .own_pattern(rule)
            .is_some_and(|pattern| pattern.exempt.iter().any(|exempt| exempt.matches(host, true)))
        {
            return true;
        }
        let named = |exemption: &Exemption| exemption.rule == rule && exemption.host.as_str() == host;
        let mut named = self
            .dlp
            .exemptions
            .iter()
            .zip(&self.boot_deadlines)
            .filter(|(exemption, _)| named(exemption))
            .peekable();
        if named.peek().is_none() {
            return false;
        }
        let now = Now::read();
        named.any(|(exemption, deadline)| {
            exemption.expires_at.is_none_or(|end| now.wall < end)
                && deadline.is_none_or(|deadline| now.boot_millis < deadline)
        })
    }

    /// Whether a rule knows what it finds by its form alone.
    pub fn knows_by_form(&self, rule: &str) -> bool {
        self.by_form.contains(rule)
    }

    /// Where in a text something stands with which a match of such a rule begins, ascending.
    pub fn keywords_in(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let found = self.keywords.find_at(text, from)?.start();
            from = found + 1;
            Some(found)
        })
    }

    /// Whether a finding of a rule of the operator's own is only told.
    pub fn only_warns(&self, rule: &str) -> bool {
        self.own_pattern(rule)
            .is_some_and(|pattern| pattern.action == OnFinding::Warn)
    }

    fn own_pattern(&self, rule: &str) -> Option<&pipelock_config::CustomPattern> {
        let at = self.own.iter().position(|own| own == rule)?;
        self.seat.patterns.get(at)
    }

    /// Whether the name of a host is judged for carried data.
    pub fn judges_name(&self, host: &str) -> bool {
        !self
            .seat
            .unjudged_names
            .iter()
            .any(|name| name.matches(host, true))
            && !self.is_exempt(HOST_NAME_DATA, host)
    }

    /// Whether the name of a host was judged by this policy, and is in order.
    pub fn is_named_well(&self, host: &str) -> bool {
        self.named_well.read().contains(host)
    }

    /// Remembers that the name of a host is in order. An exemption may end, so what needs one is judged again.
    pub fn remember_name(&self, host: &str) {
        let exempt = self
            .dlp
            .exemptions
            .iter()
            .any(|exemption| exemption.host.as_str() == host);
        let mut named_well = self.named_well.write();
        if !exempt && named_well.len() < NAMES {
            named_well.insert(host.to_owned());
        }
    }

    /// Whether values of the environment are looked for in what goes to a host.
    pub fn looks_for_environment(&self, host: &str) -> bool {
        !self.known.is_empty() && !self.is_exempt(ENVIRONMENT_SECRET, host)
    }

    /// Whether this header of a request to this host is what egress injects there.
    pub fn is_injected(&self, host: &str, header: &str, value: &[u8]) -> bool {
        let mut expected = self
            .dlp
            .injected
            .iter()
            .filter(|one| one.host.as_str() == host && one.header.as_str() == header)
            .peekable();
        if expected.peek().is_none() {
            return false;
        }
        let digest = self
            .dlp
            .credential_key
            .as_ref()
            .map(|key| key.digest(host, header, value));
        expected.any(|one| Some(one.digest) == digest)
    }

    /// How a host is dialled.
    pub fn upstream(&self, host: &str, upstreams: &Upstreams) -> Arc<Upstream> {
        let permitted = self.seat.permitted_networks.iter().filter(|network| {
            let bound = self
                .dlp
                .private_networks
                .iter()
                .filter(|one| one.network == **network);
            let mut hosts = bound.peekable();
            hosts.peek().is_none() || hosts.any(|one| one.host.as_str() == host)
        });
        upstreams.of(permitted.copied().collect(), &self.dlp.refused_networks)
    }
}

/// Where on the boot clock an end on the wall clock lies, seen from now.
fn boot_deadline(now: &Now, end: contract::Timestamp) -> u64 {
    let left = end.as_millis().saturating_sub(now.wall.as_millis());
    now.boot_millis.saturating_add(u64::try_from(left).unwrap_or(0))
}

/// Everything that decides, in one fixed form.
fn effective_sha256(seat: &Seat, dlp: &DlpFile) -> Sha256Hex {
    let decides = format!(
        "{:?}",
        (
            (&seat.allow, &seat.refuse, &seat.passthrough, &seat.unjudged_names),
            (
                &seat.permitted_networks,
                seat.max_url_length,
                seat.scan_bodies,
                seat.scan_headers
            ),
            (
                &seat.ignore_headers,
                seat.action,
                seat.recovery_phrases,
                seat.scan_env
            ),
            (&seat.patterns, seat.response_scanning),
            (dlp.generation, &dlp.injected, &dlp.exemptions),
            (&dlp.private_networks, &dlp.refused_networks),
        )
    );
    Sha256Hex::of(decides.as_bytes())
}

/// A pattern that matches each of these words, whatever the case of its letters.
fn one_of<'w>(words: impl Iterator<Item = &'w String>) -> Result<regex::bytes::Regex, CompileError> {
    let words: Vec<String> = words.map(|word| regex::escape(word)).collect();
    regex::bytes::RegexBuilder::new(&words.join("|"))
        .case_insensitive(true)
        .unicode(false)
        .build()
        .map_err(|error| CompileError::Pattern(error.to_string()))
}

/// A pattern's name as a rule's.
fn rule_name(name: &str) -> String {
    let mut rule = String::new();
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            rule.push(character.to_ascii_lowercase());
        } else if !rule.ends_with('-') {
            rule.push('-');
        }
    }
    rule.trim_matches('-').to_owned()
}

/// What the operator's own patterns are called as rules. Another engine has other names for its own, so a pattern may be called
/// as a rule of ours is; it does not take its place.
fn own_names(seat: &Seat, built_in: &RuleSet) -> Vec<String> {
    let mut taken: HashSet<String> = built_in.rules().iter().map(|rule| rule.id.clone()).collect();
    let free = |pattern: &pipelock_config::CustomPattern| {
        let name = rule_name(&pattern.name);
        let own = format!("own-{name}");
        let numbered = (2..).map(|number| format!("own-{name}-{number}"));
        let mut names = [name.clone(), own]
            .into_iter()
            .filter(|name| !name.is_empty())
            .chain(numbered);
        names.find(|name| taken.insert(name.clone())).unwrap_or_default()
    };
    seat.patterns.iter().map(free).collect()
}

/// The operator's own patterns as rules of the scanner.
fn own_rules(seat: &Seat, names: &[String]) -> Result<RuleSet, CompileError> {
    #[derive(serde::Serialize)]
    struct Rules {
        rules: Vec<Own>,
    }
    #[derive(serde::Serialize)]
    struct Own {
        id: String,
        description: String,
        regex: String,
    }
    let rules: Vec<Own> = seat
        .patterns
        .iter()
        .zip(names)
        .map(|(pattern, name)| Own {
            id: name.clone(),
            description: "a pattern of the operator's".to_owned(),
            regex: format!("(?i){}", pattern.regex),
        })
        .collect();
    if rules.is_empty() {
        return Ok(RuleSet::default());
    }
    let text = toml::to_string(&Rules { rules }).map_err(|error| CompileError::Pattern(error.to_string()))?;
    let imported =
        secrets::gitleaks::parse(&text).map_err(|error| CompileError::Pattern(error.to_string()))?;
    match imported.refused.first() {
        Some((name, why)) => Err(CompileError::Pattern(format!("`{name}`: {why}"))),
        None => Ok(imported.rules),
    }
}

impl Hides for CompiledPolicy {
    fn hides(&self, text: &[u8]) -> bool {
        self.known.find(text).is_some()
    }

    /// A host may also be what carries data out.
    fn hides_host(&self, host: &str) -> bool {
        crate::head::carries_data(host) || self.hides(host.as_bytes())
    }
}

impl std::fmt::Debug for CompiledPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledPolicy")
            .field("generation", &self.dlp.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
