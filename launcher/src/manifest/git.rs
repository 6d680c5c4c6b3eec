//! `git.remotes`: repositories behind git-gate.

use super::walk::{At, Cursor, Fields};
use contract::gate::{Caps, GatePolicy, Upstream};
use std::str::FromStr;

/// One upstream as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is.
    pub upstream: At<Upstream>,
    /// A private key on the host, as written; `None`: the operator's ssh-agent.
    pub identity_file: Option<At<String>>,
    /// Lines of a known_hosts file.
    pub known_hosts: String,
    /// What may be pushed.
    pub policy: GatePolicy,
}

/// ssh's own port.
const SSH: u16 = 22;

const KEYS: &[&str] = &[
    "identity_agent",
    "identity_file",
    "known_hosts",
    "policy",
    "upstream",
];

const POLICY_KEYS: &[&str] = &[
    "delete",
    "force",
    "lfs",
    "max_file_bytes",
    "max_mirror_bytes",
    "max_objects",
    "max_push_bytes",
    "max_refs",
    "max_seconds",
    "max_stall_seconds",
    "protected_paths",
    "refs",
];

pub(super) fn walk(cursor: &Cursor<'_>) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for item in &cursor.list().unwrap_or_default() {
        let Some(remote) = one(item) else { continue };
        let same = |known: &&Remote| known.upstream.value.route() == remote.upstream.value.route();
        match remotes.iter().find(same) {
            Some(first) => item.complain(format!(
                "this repository is there twice; the first is on line {}",
                first.upstream.line
            )),
            None => remotes.push(remote),
        }
    }
    remotes
}

fn one(cursor: &Cursor<'_>) -> Option<Remote> {
    let fields = cursor.mapping(KEYS, &[])?;
    let upstream: Option<At<Upstream>> = fields
        .required("upstream", "write it as ssh://git@github.com/acme/app.git")
        .and_then(|cursor| cursor.parse());
    let identity_file = fields
        .get("identity_file")
        .and_then(|cursor| Some(cursor.at(cursor.text()?.to_owned())));
    let agent = fields
        .get("identity_agent")
        .and_then(|cursor| cursor.truth())
        .unwrap_or_default();
    if agent == fields.get("identity_file").is_some() {
        cursor.complain("write either `identity_file: ~/.ssh/key` or `identity_agent: true`");
    }
    let scan = upstream
        .as_ref()
        .map_or("ssh-keyscan -t ed25519 HOST".to_owned(), |upstream| {
            scan(&upstream.value)
        });
    let known_hosts = fields
        .required(
            "known_hosts",
            &format!(
                "write the line of the host's own key (compare it with what the host publishes): {scan}"
            ),
        )
        .and_then(|cursor| known_hosts(&cursor, upstream.as_ref().map(|upstream| &upstream.value)));
    let policy = fields
        .get("policy")
        .map_or_else(GatePolicy::default, |cursor| policy(&cursor));
    Some(Remote {
        upstream: upstream?,
        identity_file,
        known_hosts: known_hosts?,
        policy,
    })
}

/// Lines of `host type key`, none of which could turn the check off.
fn known_hosts(cursor: &Cursor<'_>, upstream: Option<&Upstream>) -> Option<String> {
    let text = cursor.text()?;
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let well_formed = |line: &&str| line.split_ascii_whitespace().count() >= 3;
    if lines.is_empty() || !lines.iter().all(well_formed) {
        cursor.complain("a line of known_hosts is `host type key`, such as `github.com ssh-ed25519 AAAA…`");
        return None;
    }
    if let Some(upstream) = upstream
        && !lines.iter().any(|line| may_name(line, upstream))
    {
        let host = upstream.host();
        let scan = scan(upstream);
        cursor.complain(format!(
            "no line is {host}'s; write the line of its own key (compare it with what the host publishes): {scan}"
        ));
        return None;
    }
    Some(text.to_owned())
}

/// The command that asks the upstream for its key: another port is another server's.
fn scan(upstream: &Upstream) -> String {
    let port = match upstream.port() {
        SSH => String::new(),
        port => format!("-p {port} "),
    };
    format!("ssh-keyscan {port}-t ed25519 {}", upstream.host())
}

/// Whether a line may be the upstream's: of a hashed name or a pattern only ssh can tell. One that revokes a key names none to take.
fn may_name(line: &str, upstream: &Upstream) -> bool {
    let mut words = line.split_ascii_whitespace();
    let names = words.find(|word| !word.starts_with('@')).unwrap_or_default();
    if line.starts_with("@revoked") {
        return false;
    }
    let (host, with_port) = (
        upstream.host().as_str(),
        format!("[{}]:{}", upstream.host(), upstream.port()),
    );
    names.split(',').any(|name| {
        name.starts_with('|')
            || name.contains(['*', '?'])
            || name.eq_ignore_ascii_case(host)
            // For its own port ssh looks for the bare name alone.
            || (upstream.port() != SSH && name.eq_ignore_ascii_case(&with_port))
    })
}

fn policy(cursor: &Cursor<'_>) -> GatePolicy {
    let mut policy = GatePolicy::default();
    let Some(fields) = cursor.mapping(POLICY_KEYS, &[]) else {
        return policy;
    };
    list(&fields, "refs", &mut policy.refs);
    list(&fields, "force", &mut policy.force);
    list(&fields, "delete", &mut policy.delete);
    list(&fields, "protected_paths", &mut policy.protected_paths);
    if let Some(lfs) = fields.get("lfs").and_then(|cursor| cursor.truth()) {
        policy.lfs = lfs;
    }
    let Caps {
        push_bytes,
        file_bytes,
        objects,
        refs,
        seconds,
        mirror_bytes,
        stall_seconds,
    } = &mut policy.caps;
    for (key, cap) in [
        ("max_push_bytes", push_bytes),
        ("max_file_bytes", file_bytes),
        ("max_objects", objects),
        ("max_refs", refs),
        ("max_seconds", seconds),
        ("max_mirror_bytes", mirror_bytes),
        ("max_stall_seconds", stall_seconds),
    ] {
        let Some(cursor) = fields.get(key) else { continue };
        match cursor
            .text()
            .and_then(|text| text.parse::<u64>().ok())
            .filter(|number| *number > 0)
        {
            Some(number) => *cap = number,
            None => cursor.complain("write a whole number above 0"),
        }
    }
    policy
}

/// A list that takes the place of the default one; it may be empty.
fn list<T: FromStr<Err: std::fmt::Display>>(fields: &Fields<'_>, key: &str, to: &mut Vec<T>) {
    if let Some(items) = fields.get(key).and_then(|cursor| cursor.list()) {
        *to = items
            .iter()
            .filter_map(|item| item.parse::<T>().map(|at| at.value))
            .collect();
    }
}
