//! What our engine obeys of a `pipelock.yaml`: checked values, and a note for every line that it does not act on.
//!
//! Fails closed: what would open the seat (`enforce: false`, `mode: audit`, no interception) is refused, and where
//! pipelock's own default is laxer than a bottle's, the file must not rely on it in silence: a note says what holds.

use contract::text::harmless;
use ipnet::IpNet;

use crate::model::ResponseScanning;
use crate::pattern::{HostPattern, readable};
use crate::pipelock_file::{Others, PipelockFile, PipelockFileError};

/// pipelock's own default for `max_url_length`, bytes.
const MAX_URL_LENGTH: usize = 2048;

/// What becomes of a request in which a rule finds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFinding {
    /// It passes, and its access event names the rule.
    Warn,
    /// It is refused.
    Block,
}

/// A pattern of the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CustomPattern {
    /// As the file calls it.
    pub name: String,
    /// In the syntax of RE2, matched without regard to case.
    pub regex: String,
    /// Hosts that it is not for.
    #[serde(skip)]
    pub exempt: Vec<HostPattern>,
    /// What a match does.
    pub action: OnFinding,
}

/// The seat's policy, as far as `pipelock.yaml` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Hosts that may be reached.
    pub allow: Vec<HostPattern>,
    /// Hosts that are refused whatever `allow` says.
    pub refuse: Vec<HostPattern>,
    /// Hosts that are tunnelled without a look inside.
    pub passthrough: Vec<HostPattern>,
    /// Hosts whose names are not judged for carried data.
    pub unjudged_names: Vec<HostPattern>,
    /// Networks that are not public and may be reached.
    pub permitted_networks: Vec<IpNet>,
    /// Bytes of the longest URL.
    pub max_url_length: usize,
    /// Whether bodies and URLs are looked at.
    pub scan_bodies: bool,
    /// Whether header values are looked at.
    pub scan_headers: bool,
    /// Headers that are not, in lower case.
    pub ignore_headers: Vec<String>,
    /// What a finding does.
    pub action: OnFinding,
    /// Whether recovery phrases are looked for.
    pub recovery_phrases: bool,
    /// Whether values of the agent's environment are looked for.
    pub scan_env: bool,
    /// Patterns of the operator's own.
    pub patterns: Vec<CustomPattern>,
    /// Whether responses are looked at.
    pub response_scanning: ResponseScanning,
    /// What the file says and this engine does not do, for the operator.
    pub notes: Vec<String>,
}

// === impl PipelockFile ===

impl PipelockFile {
    /// What our engine obeys.
    ///
    /// # Errors
    /// The file asks for a seat that lets through what it should not.
    pub fn seat(&self) -> Result<Seat, PipelockFileError> {
        let refused = |text: &str| Err(PipelockFileError::Refused(text.to_owned()));
        if self.version != 1 {
            return refused("version must be 1");
        }
        if !self.enforce || self.mode == "audit" {
            return refused("a seat that only watches is none: write `enforce: true` and `mode: strict`");
        }
        if !self.tls_interception.enabled {
            return refused("without `tls_interception.enabled: true` nothing of a tunnel can be looked at");
        }
        if !self.dlp.include_defaults {
            return refused(
                "`dlp.include_defaults: false` would switch the built-in rules off; name hosts in exemptions instead",
            );
        }
        let mut notes = Vec::new();
        if self.mode != "strict" {
            notes.push(format!(
                "mode {}: this engine enforces the allowlist in every mode",
                harmless(&self.mode)
            ));
        }
        let mut hosts = |list: &str, entries: &[String]| {
            let (patterns, unread) = readable(list, entries.iter().map(String::as_str));
            notes.extend(unread);
            patterns
        };
        let monitoring = &self.fetch_proxy.monitoring;
        let allow = hosts("api_allowlist", &self.api_allowlist);
        let refuse = hosts("blocklist", &monitoring.blocklist);
        let passthrough = hosts("passthrough_domains", &self.tls_interception.passthrough_domains);
        let unjudged_names = hosts(
            "subdomain_entropy_exclusions",
            &monitoring.subdomain_entropy_exclusions,
        );
        let patterns = self.patterns(&mut hosts)?;
        self.note_unused(&mut notes);
        Ok(Seat {
            allow,
            refuse,
            passthrough,
            unjudged_names,
            permitted_networks: self.networks()?,
            max_url_length: monitoring.max_url_length.unwrap_or(MAX_URL_LENGTH),
            scan_bodies: self.request_body_scanning.enabled,
            scan_headers: self.request_body_scanning.scan_headers,
            ignore_headers: self
                .request_body_scanning
                .ignore_headers
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            action: action("request_body_scanning.action", &self.request_body_scanning.action)?,
            recovery_phrases: self.seed_phrase_detection.enabled,
            scan_env: self.dlp.scan_env,
            patterns,
            response_scanning: match (
                self.response_scanning.enabled,
                self.response_scanning.action.as_str(),
            ) {
                (false, _) => ResponseScanning::Off,
                (true, "warn") => ResponseScanning::Warn,
                (true, "block") => ResponseScanning::Block,
                (true, _) => {
                    return refused("response_scanning.action must be warn or block for this engine");
                }
            },
            notes,
        })
    }

    fn networks(&self) -> Result<Vec<IpNet>, PipelockFileError> {
        let network = |text: &String| {
            let network: Option<IpNet> = text.parse().ok();
            network
                .filter(|network| network.trunc() == *network && network.prefix_len() > 0)
                .ok_or_else(|| {
                    PipelockFileError::Refused(format!(
                        "ssrf.ip_allowlist: `{}` is not a network such as 10.1.2.0/24 (no bare address, no host bits, no /0)",
                        harmless(text)
                    ))
                })
        };
        self.ssrf.ip_allowlist.iter().map(network).collect()
    }

    fn patterns(
        &self,
        hosts: &mut impl FnMut(&str, &[String]) -> Vec<HostPattern>,
    ) -> Result<Vec<CustomPattern>, PipelockFileError> {
        let pattern = |pattern: &crate::pipelock_file::DlpPattern| {
            if pattern.validator.is_some() {
                return Err(PipelockFileError::Refused(format!(
                    "dlp.patterns: `{}` has a validator, which this engine does not run",
                    harmless(&pattern.name)
                )));
            }
            Ok(CustomPattern {
                name: pattern.name.clone(),
                regex: pattern.regex.clone(),
                exempt: hosts("dlp.patterns.exempt_domains", &pattern.exempt_domains),
                action: action(
                    "dlp.patterns.action",
                    pattern.action.as_deref().unwrap_or("block"),
                )?,
            })
        };
        self.dlp.patterns.iter().map(pattern).collect()
    }

    /// Fields that change nothing in our engine are not worth a note; the others are.
    fn note_unused(&self, notes: &mut Vec<String>) {
        const HARMLESS: [&str; 9] = [
            "explain_blocks",
            "forward_proxy",
            "logging",
            "metrics_listen",
            "sentry",
            "websocket_proxy",
            "media_policy",
            "internal",
            "flight_recorder",
        ];
        let named = |section: &str, others: &Others, harmless_fields: &[&str], notes: &mut Vec<String>| {
            for key in others
                .keys()
                .filter(|key| !harmless_fields.contains(&key.as_str()))
            {
                notes.push(format!(
                    "{section}{}: this engine does not act on it",
                    harmless(key)
                ));
            }
        };
        named("", &self.others, &HARMLESS, notes);
        let fetch = ["listen", "timeout_seconds", "max_response_mb", "user_agent"];
        named("fetch_proxy.", &self.fetch_proxy.others, &fetch, notes);
        let monitoring = [
            "entropy_threshold",
            "subdomain_entropy_threshold",
            "max_requests_per_minute",
            "max_data_per_minute",
        ];
        named(
            "fetch_proxy.monitoring.",
            &self.fetch_proxy.monitoring.others,
            &monitoring,
            notes,
        );
        let tls = [
            "ca_cert",
            "ca_key",
            "cert_ttl",
            "cert_cache_size",
            "max_response_bytes",
        ];
        named("tls_interception.", &self.tls_interception.others, &tls, notes);
        let bodies = ["max_body_bytes", "header_mode", "sensitive_headers"];
        named(
            "request_body_scanning.",
            &self.request_body_scanning.others,
            &bodies,
            notes,
        );
        named("dlp.", &self.dlp.others, &["min_env_secret_length"], notes);
        let phrases = ["min_words", "verify_checksum"];
        named(
            "seed_phrase_detection.",
            &self.seed_phrase_detection.others,
            &phrases,
            notes,
        );
        named(
            "response_scanning.",
            &self.response_scanning.others,
            &["sse_streaming", "include_defaults"],
            notes,
        );
        named("ssrf.", &self.ssrf.others, &[], notes);
    }
}

fn action(field: &str, text: &str) -> Result<OnFinding, PipelockFileError> {
    match text {
        "block" => Ok(OnFinding::Block),
        "warn" => Ok(OnFinding::Warn),
        other => Err(PipelockFileError::Refused(format!(
            "{field}: `{}` is neither warn nor block",
            harmless(other)
        ))),
    }
}

// === impl Seat ===

impl Seat {
    /// Whether the allowlist names this host and the blocklist does not.
    pub fn admits(&self, host: &str) -> bool {
        let named = |list: &[HostPattern]| list.iter().any(|pattern| pattern.matches(host, true));
        named(&self.allow) && !named(&self.refuse)
    }

    /// Whether this host is tunnelled without a look inside.
    pub fn passes_through(&self, host: &str) -> bool {
        self.passthrough
            .iter()
            .any(|pattern| pattern.matches(host, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str =
        "mode: strict\napi_allowlist: [docs.rs, '*.example.com']\ntls_interception: {enabled: true}\n";

    fn seat(more: &str) -> Result<Seat, PipelockFileError> {
        PipelockFile::parse(format!("{LEAST}{more}").as_bytes())?.seat()
    }

    #[test]
    fn a_host_is_admitted_when_it_is_allowed_and_not_refused() {
        let seat = seat("fetch_proxy: {monitoring: {blocklist: [evil.example.com]}}\n").unwrap();
        assert!(seat.admits("docs.rs") && seat.admits("a.example.com") && seat.admits("example.com"));
        assert!(!seat.admits("evil.example.com") && !seat.admits("docs.rs.evil.com"));
    }

    #[test]
    fn what_would_open_the_seat_is_refused() {
        for bad in [
            "enforce: false\n",
            "dlp: {include_defaults: false}\n",
            "version: 2\n",
            "ssrf: {ip_allowlist: [10.0.0.1]}\n",
            "ssrf: {ip_allowlist: [10.0.0.1/8]}\n",
            "ssrf: {ip_allowlist: [0.0.0.0/0]}\n",
            "request_body_scanning: {action: allow}\n",
            "response_scanning: {action: strip}\n",
        ] {
            assert!(seat(bad).is_err(), "{bad}");
        }
        let without = LEAST.replace("true", "false");
        assert!(PipelockFile::parse(without.as_bytes()).unwrap().seat().is_err());
        let audit = LEAST.replace("strict", "audit");
        assert!(PipelockFile::parse(audit.as_bytes()).unwrap().seat().is_err());
    }

    #[test]
    fn what_is_not_acted_on_is_told_and_kept() {
        let seat =
            seat("kill_switch: {enabled: true}\ndlp: {secrets_file: x}\nlogging: {format: json}\n").unwrap();
        assert_eq!(
            seat.notes,
            [
                "kill_switch: this engine does not act on it",
                "dlp.secrets_file: this engine does not act on it",
            ]
        );
    }

    #[test]
    fn pipelocks_defaults_hold_where_the_file_is_silent() {
        let seat = seat("").unwrap();
        assert_eq!(seat.action, OnFinding::Warn);
        assert_eq!(seat.response_scanning, ResponseScanning::Warn);
        assert!(seat.scan_headers && seat.scan_env && seat.recovery_phrases);
    }

    #[test]
    fn keys_that_stand_twice_and_second_documents_are_refused() {
        for bad in [
            "mode: strict\n",
            "dlp: {scan_env: true, scan_env: false}\n",
            "x: {y: 1, y: 2}\n",
            "---\nmode: strict\n",
        ] {
            assert!(seat(bad).is_err(), "{bad}");
        }
    }
}
