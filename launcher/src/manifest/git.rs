//! `git.remotes`: repositories behind git-gate. Read and checked already, and refused as a whole while there is no gate: a
//! missing guard is a hole.

use super::walk::{At, Cursor};
use contract::HostName;
use contract::text::harmless;

/// One upstream as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// `ssh://[user@]host[:port]/path`
    pub upstream: At<String>,
    /// A private key on the host, as written; `None`: the operator's ssh-agent.
    pub identity_file: Option<At<String>>,
    /// Lines of a known_hosts file.
    pub known_hosts: Option<String>,
}

const KEYS: &[&str] = &["identity_agent", "identity_file", "known_hosts", "upstream"];

pub(super) fn walk(cursor: &Cursor<'_>) -> Vec<Remote> {
    let Some(items) = cursor.list() else {
        return Vec::new();
    };
    if !items.is_empty() {
        cursor.complain(
            "the git-gate guard is not part of this version; leave `git` out, and push from the host",
        );
    }
    let mut remotes: Vec<Remote> = Vec::new();
    for item in &items {
        let Some(remote) = one(item) else { continue };
        if remotes
            .iter()
            .any(|known| known.upstream.value == remote.upstream.value)
        {
            item.complain("this upstream is there twice");
        } else {
            remotes.push(remote);
        }
    }
    remotes
}

fn one(cursor: &Cursor<'_>) -> Option<Remote> {
    let fields = cursor.mapping(KEYS, &[])?;
    let upstream = fields
        .required("upstream", "write it as ssh://git@github.com/acme/app.git")
        .and_then(|cursor| upstream(&cursor));
    let identity_file = fields
        .get("identity_file")
        .and_then(|cursor| Some(cursor.at(cursor.text()?.to_owned())));
    let agent = fields
        .get("identity_agent")
        .and_then(|cursor| cursor.truth())
        .unwrap_or_default();
    if agent == identity_file.is_some() {
        cursor.complain("write either `identity_file: ~/.ssh/key` or `identity_agent: true`");
    }
    let known_hosts = fields
        .get("known_hosts")
        .and_then(|cursor| cursor.text().map(str::to_owned));
    Some(Remote {
        upstream: upstream?,
        identity_file,
        known_hosts,
    })
}

fn upstream(cursor: &Cursor<'_>) -> Option<At<String>> {
    let text = cursor.text()?;
    if well_formed(text) {
        return Some(cursor.at(text.to_owned()));
    }
    cursor.complain(format!(
        "`{}` is not an SSH upstream; write it as ssh://git@github.com/acme/app.git",
        harmless(text)
    ));
    None
}

/// `ssh://[user@]host[:port]/path`, in characters that neither a shell nor ssh's option parser could read otherwise.
fn well_formed(text: &str) -> bool {
    let Some((authority, path)) = text.strip_prefix("ssh://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let (user, host_port) = authority.rsplit_once('@').unwrap_or(("git", authority));
    let (host, port) = host_port.split_once(':').unwrap_or((host_port, "22"));
    let plain = |text: &str, more: &[u8]| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    plain(user, b"._-")
        && host.parse::<HostName>().is_ok()
        && port.parse::<u16>().is_ok_and(|port| port > 0)
        && plain(path, b"._-/~+")
        && !path.split('/').any(|segment| segment == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_plain_ssh_url() {
        for good in [
            "ssh://git@github.com/acme/app.git",
            "ssh://github.com:2222/~me/app",
            "ssh://git@git.corp.example:22/a/b.git",
        ] {
            assert!(well_formed(good), "{good}");
        }
        for bad in [
            "git@github.com:acme/app.git",
            "https://github.com/acme/app",
            "ssh://",
            "ssh://github.com",
            "ssh://-oProxyCommand=x/a",
            "ssh://a@-b/c",
            "ssh://git@github.com/-x",
            "ssh://git@github.com/a b",
            "ssh://git@github.com/../x",
            "ssh://git@1.2.3.4/x",
            "ssh://git@github.com:0/x",
            "ssh://g$(id)@github.com/x",
        ] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}
