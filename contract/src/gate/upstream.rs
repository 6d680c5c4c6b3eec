//! An upstream: `ssh://[user@]host[:port]/path`, and nothing else.

use crate::HostName;
use crate::text::harmless;
use std::fmt;
use std::str::FromStr;

/// The longest upstream, in bytes.
const MAX: usize = 512;

/// ssh's own port.
const SSH_PORT: u16 = 22;

/// One repository on a host that is reached over SSH.
#[derive(Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upstream {
    user: String,
    host: HostName,
    port: u16,
    /// Without the leading `/`, as written.
    path: String,
}

/// Why a text is no upstream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// a URL of another scheme
    #[error(
        "`{0}` is not reached over SSH, and the gate speaks nothing else; write ssh://git@github.com/acme/app.git"
    )]
    NotSsh(String),
    /// the short form
    #[error("`{0}` is the short form; write it as {1}")]
    ShortForm(String, String),
    /// anything else
    #[error(
        "`{0}` is not an SSH upstream; write ssh://git@github.com/acme/app.git (letters, digits and ._-~+ in the path, a host name and no address)"
    )]
    Malformed(String),
}

impl Upstream {
    /// The user who signs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The host.
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host/path.git`, with the port where it is not ssh's own: how the gate's own URLs name this repository.
    pub fn route(&self) -> String {
        format!("{}/{}.git", self.authority(), self.stem())
    }

    /// What `git` is given, complete: user and port are always there.
    pub fn url(&self) -> String {
        format!("ssh://{}@{}:{}/{}", self.user, self.host, self.port, self.path)
    }

    /// How people write this repository's URL, each without a final `.git`: a prefix for `url.<base>.insteadOf`, so it
    /// covers both.
    pub fn spellings(&self) -> Vec<String> {
        let (host, port, stem) = (&self.host, self.port, self.stem());
        let mut all = Vec::new();
        let mut users = vec![self.user.clone()];
        if self.user != "git" {
            users.push("git".to_owned());
        }
        for scheme in ["ssh", "git+ssh", "ssh+git"] {
            for at in users.iter().map(|user| format!("{user}@")).chain([String::new()]) {
                all.push(format!("{scheme}://{at}{host}:{port}/{stem}"));
                if port == SSH_PORT {
                    all.push(format!("{scheme}://{at}{host}/{stem}"));
                }
            }
        }
        if port == SSH_PORT {
            for at in users.iter().map(|user| format!("{user}@")).chain([String::new()]) {
                all.push(format!("{at}{host}:{stem}"));
                all.push(format!("{at}{host}:/{stem}"));
            }
        }
        for scheme in ["https", "http", "git"] {
            all.push(format!("{scheme}://{host}/{stem}"));
        }
        all.push(format!("https://{}@{host}/{stem}", self.user));
        all
    }

    /// `host` or `host:port`.
    fn authority(&self) -> String {
        if self.port == SSH_PORT {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The path without a final `.git` or `/`.
    fn stem(&self) -> &str {
        let path = self.path.trim_end_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }
}

impl FromStr for Upstream {
    type Err = UpstreamError;
    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let malformed = || UpstreamError::Malformed(harmless(text));
        let Some(rest) = text.strip_prefix("ssh://") else {
            return Err(not_ssh(text));
        };
        let (authority, path) = rest.split_once('/').ok_or_else(malformed)?;
        let (user, host_port) = authority.rsplit_once('@').unwrap_or(("git", authority));
        let (host, port) = host_port.split_once(':').unwrap_or((host_port, "22"));
        let segments = path.strip_suffix('/').unwrap_or(path).split('/');
        let good = text.len() <= MAX
            && is_plain(user, b"._-")
            && is_plain(path, b"._-/~+")
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && segments
                .clone()
                .all(|segment| !matches!(segment, "" | "." | ".." | ".git") && !segment.starts_with('-'));
        if !good {
            return Err(malformed());
        }
        let host: HostName = host.parse().map_err(|_| malformed())?;
        // A name may begin with any label character; an option begins with one of them.
        if host.as_str().starts_with('-') {
            return Err(malformed());
        }
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(malformed)?;
        Ok(Self {
            user: user.to_owned(),
            host,
            port,
            path: path.to_owned(),
        })
    }
}

/// Begins with a letter, digit or one of `._~+`, and has only those characters and `more`.
fn is_plain(text: &str, more: &[u8]) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
}

fn not_ssh(text: &str) -> UpstreamError {
    if text.contains("://") || text.contains("::") {
        return UpstreamError::NotSsh(harmless(text));
    }
    let long = text
        .split_once(':')
        .map(|(host, path)| format!("ssh://{host}/{}", path.trim_start_matches('/')));
    match long {
        Some(long) if long.parse::<Upstream>().is_ok() => UpstreamError::ShortForm(harmless(text), long),
        _ => UpstreamError::Malformed(harmless(text)),
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://{}@{}/{}", self.user, self.authority(), self.path)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Upstream {
    type Error = UpstreamError;
    fn try_from(text: String) -> Result<Self, UpstreamError> {
        text.parse()
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> Self {
        upstream.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upstream(text: &str) -> Upstream {
        text.parse().unwrap()
    }

    #[test]
    fn an_upstream_is_a_plain_ssh_url() {
        for good in [
            "ssh://git@github.com/acme/app.git",
            "ssh://git@github.com:2222/~me/app",
            "ssh://git@git.corp.example/group/sub/b.git",
        ] {
            assert_eq!(upstream(good).to_string(), good);
        }
        for bad in [
            "",
            "ssh://",
            "ssh://github.com",
            "ssh://github.com/",
            "ssh://-oProxyCommand=x/a",
            "ssh://a@-b/c",
            "ssh://git@github.com/-x",
            "ssh://git@github.com/a/-x",
            "ssh://git@github.com/a b",
            "ssh://git@github.com/../x",
            "ssh://git@github.com/a//b",
            "ssh://git@github.com/a/%2e%2e/b",
            "ssh://git@github.com/a\0b",
            "ssh://git@1.2.3.4/x",
            "ssh://git@github.com:0/x",
            "ssh://git@github.com:+22/x",
            "ssh://g$(id)@github.com/x",
            "ssh://git@github.com/.git",
        ] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[test]
    fn another_protocol_is_told_from_a_wrong_url() {
        for other in [
            "https://github.com/acme/app",
            "git://github.com/acme/app",
            "file:///srv/x.git",
            "ext::sh -c id",
            "file::/srv/x.git",
        ] {
            assert!(
                matches!(other.parse::<Upstream>(), Err(UpstreamError::NotSsh(_))),
                "{other}"
            );
        }
        let short = "git@github.com:acme/app.git".parse::<Upstream>().unwrap_err();
        assert!(
            short.to_string().contains("ssh://git@github.com/acme/app.git"),
            "{short}"
        );
    }

    #[test]
    fn the_route_is_one_however_the_upstream_is_written() {
        for same in [
            "ssh://git@github.com/acme/app.git",
            "ssh://GitHub.com:22/acme/app",
            "ssh://me@github.com/acme/app/",
        ] {
            assert_eq!(upstream(same).route(), "github.com/acme/app.git", "{same}");
        }
        assert_eq!(
            upstream("ssh://git@h.example:2222/x.git").route(),
            "h.example:2222/x.git"
        );
    }

    #[test]
    fn every_spelling_in_use_is_rewritten() {
        let all = upstream("ssh://git@github.com/acme/app.git").spellings();
        for spelling in [
            "ssh://git@github.com/acme/app",
            "ssh://github.com/acme/app",
            "ssh://git@github.com:22/acme/app",
            "git@github.com:acme/app",
            "github.com:acme/app",
            "https://github.com/acme/app",
            "git://github.com/acme/app",
        ] {
            assert!(all.iter().any(|known| known == spelling), "{spelling}");
        }
        let elsewhere = upstream("ssh://git@h.example:2222/x.git").spellings();
        assert!(
            elsewhere
                .iter()
                .any(|known| known == "ssh://git@h.example:2222/x")
        );
        assert!(
            !elsewhere.iter().any(|known| known == "git@h.example:x"),
            "that is port 22"
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_holds_no_option_and_no_shell_character(text in "(ssh://)?[-a-zA-Z0-9@:/._~+$%` \\\\;|&]{0,40}") {
            if let Ok(upstream) = text.parse::<Upstream>() {
                let url = upstream.url();
                prop_assert!(!url.contains(|c: char| " $`;|&\\%\0".contains(c)), "{}", url);
                prop_assert!(!upstream.user().starts_with('-') && !upstream.host().as_str().starts_with('-'));
                prop_assert_eq!(upstream.to_string().parse::<Upstream>().unwrap(), upstream);
            }
        }
    }
}
