//! The git upstreams of a plan: which key goes to the gate, and how.
//!
//! A key's value goes the way of every other secret, by name through compose: a container that runs as another user than the operator
//! could not read the file, and a copy of it would lie on disk.

use super::host::{self, Problems};
use super::{GitIdentity, GitRemote, Identity, SecretSource, SecretValue};
use crate::environment::{Environment, SSH_AUTH_SOCK};
use crate::manifest::{BottleManifest, Manifest};
use base64::Engine as _;
use contract::EnvName;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest private key that is read, in bytes. RSA with 16384 bits takes 13 KiB.
const LONGEST_KEY: u64 = 64 * 1024;

/// Each remote; the keys are appended to the secrets.
pub(super) fn remotes(
    bottle: &Manifest<BottleManifest>,
    environment: &Environment,
    identity: Identity,
    secrets: &mut Vec<SecretSource>,
    problems: &Problems,
) -> Vec<GitRemote> {
    let mut remotes = Vec::new();
    for (index, declared) in bottle.value.remotes.iter().enumerate() {
        let identity = match &declared.identity_file {
            Some(written) => {
                let variable = format!("BOTTLE_GIT_KEY_{index}");
                let Ok(name) = variable.parse::<EnvName>() else {
                    continue;
                };
                secrets.push(SecretSource {
                    variable,
                    value: SecretValue::File(bottle.folder.join(environment.expanded(&written.value))),
                    wanted: host::wanted(bottle, written),
                });
                GitIdentity::Key(name)
            }
            None => match agent(environment, identity) {
                Ok(socket) => GitIdentity::Agent(socket),
                Err(problem) => {
                    problems.add(host::wanted(bottle, &declared.upstream).says(&problem));
                    continue;
                }
            },
        };
        remotes.push(GitRemote {
            upstream: declared.upstream.value.clone(),
            identity,
            known_hosts: declared.known_hosts.clone(),
            policy: declared.policy.clone(),
        });
    }
    remotes
}

/// The operator's ssh-agent.
fn agent(environment: &Environment, identity: Identity) -> Result<PathBuf, String> {
    if identity.chown {
        return Err(
            "`identity_agent` cannot be used by root: the gate runs as another user, and an ssh-agent answers only its own; write `identity_file`"
                .to_owned(),
        );
    }
    let socket = environment
        .get(SSH_AUTH_SOCK)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .ok_or("`identity_agent` needs an ssh-agent, and SSH_AUTH_SOCK is not set; write `identity_file`, or start one")?;
    let is_socket = fs_err::metadata(&socket).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket {
        Ok(socket)
    } else {
        Err(format!(
            "SSH_AUTH_SOCK names {}, which is no socket",
            socket.display()
        ))
    }
}

/// A private key that ssh can use without asking anybody.
pub(super) fn key(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let file = fs_err::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(format!("{shown} is not a file"));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST_KEY + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    let has_key = text
        .trim_start()
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY-----"));
    if !has_key || text.len() as u64 > LONGEST_KEY {
        return Err(format!("{shown} is not a private key"));
    }
    if is_encrypted(&text) {
        return Err(format!(
            "{shown} is protected by a passphrase, which nobody could type in there; write `identity_agent: true`, or make a key for this bottle: ssh-keygen -t ed25519 -N '' -f KEY"
        ));
    }
    Ok(text)
}

/// OpenSSH's own form names its cipher behind the magic bytes; the older ones say it in a header.
fn is_encrypted(text: &str) -> bool {
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return true;
    }
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let head = body.get(..64).unwrap_or_default();
    let head = Zeroizing::new(
        base64::engine::general_purpose::STANDARD
            .decode(head)
            .unwrap_or_default(),
    );
    head.strip_prefix(b"openssh-key-v1\0")
        .is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(phrase: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", phrase, "-f"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        (folder, path)
    }

    #[test]
    fn a_key_that_nobody_must_unlock_is_taken() {
        let (_folder, path) = made("");
        assert!(key(&path).unwrap().contains("OPENSSH PRIVATE KEY"));
    }

    #[test]
    fn a_key_with_a_passphrase_and_what_is_no_key_are_refused() {
        let (_folder, path) = made("five words");
        assert!(key(&path).unwrap_err().contains("passphrase"));
        assert!(
            key(&path.with_extension("pub"))
                .unwrap_err()
                .contains("not a private key")
        );
        assert!(key(Path::new("/nonexistent/key")).is_err());
        assert!(key(Path::new("/tmp")).is_err());
    }
}
