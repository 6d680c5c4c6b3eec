//! What an engine says of itself.

use super::endpoint::Endpoint;
use crate::error::{Error, Result};
use bollard::models::{SystemInfo, SystemVersion};

/// The oldest API that has all that a bottle uses: Docker 20.10's.
const OLDEST_API: (u32, u32) = (1, 41);

/// What matters of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its own version, such as `28.2.2`.
    pub version: String,
    /// The newest API version that it speaks, such as `1.50`.
    pub api_version: String,
    /// Its operating system and architecture, such as `linux/amd64`.
    pub platform: String,
    /// How it stores images, such as `overlay2`.
    pub storage_driver: String,
    /// Where its data lies, on its own machine.
    pub data_folder: String,
    /// How it numbers users.
    pub users: Users,
    /// Whether it can apply a seccomp profile.
    pub seccomp: bool,
    /// Whether it can limit memory and processes.
    pub limits: bool,
    /// `docker info`'s own warnings.
    pub warnings: Vec<String>,
}

/// How uids inside of containers relate to uids on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Users {
    /// They are the same.
    AsIs,
    /// Container uid 0 is the operator: the engine runs without root.
    Rootless,
    /// Container uid 0 is a subordinate uid (`userns-remap`).
    Remapped,
}

impl Facts {
    pub(super) fn of(version: SystemVersion, info: SystemInfo) -> Self {
        let options = info.security_options.unwrap_or_default();
        let has = |name: &str| {
            options
                .iter()
                .any(|option| option.split(',').any(|part| part == format!("name={name}")))
        };
        let users = if has("rootless") {
            Users::Rootless
        } else if has("userns") {
            Users::Remapped
        } else {
            Users::AsIs
        };
        Self {
            version: version.version.unwrap_or_default(),
            api_version: version.api_version.unwrap_or_default(),
            platform: format!(
                "{}/{}",
                version.os.unwrap_or_default(),
                version.arch.unwrap_or_default()
            ),
            storage_driver: info.driver.unwrap_or_default(),
            data_folder: info.docker_root_dir.unwrap_or_default(),
            users,
            seccomp: has("seccomp"),
            limits: info.memory_limit == Some(true) && info.pids_limit == Some(true),
            warnings: info.warnings.unwrap_or_default(),
        }
    }

    pub(super) fn refuse_what_is_too_old(&self, endpoint: &Endpoint) -> Result<()> {
        if api(&self.api_version).is_some_and(|api| api >= OLDEST_API) {
            return Ok(());
        }
        Err(Error::environment(format!(
            "the engine at {endpoint} is version {} (API {}); a bottle needs Docker 20.10 (API 1.41) or newer",
            self.version, self.api_version
        ))
        .hinted("update Docker, or name another engine with DOCKER_HOST"))
    }
}

fn api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    fn facts(version: &str, api: &str, security: &[&str]) -> Facts {
        Facts::of(
            SystemVersion {
                version: Some(version.to_owned()),
                api_version: Some(api.to_owned()),
                ..Default::default()
            },
            SystemInfo {
                security_options: Some(security.iter().map(|option| (*option).to_owned()).collect()),
                ..Default::default()
            },
        )
    }

    #[test]
    fn an_engine_older_than_20_10_is_refused() {
        let endpoint = Endpoint::of(&Environment::default()).unwrap();
        for (version, api, fit) in [
            ("20.10.24", "1.41", true),
            ("29.1.0", "1.52", true),
            ("19.03.15", "1.40", false),
            ("1.9", "1.9", false),
            ("", "", false),
        ] {
            let verdict = facts(version, api, &[]).refuse_what_is_too_old(&endpoint);
            assert_eq!(verdict.is_ok(), fit, "{version}");
            if let Err(error) = verdict {
                assert_eq!(error.kind().exit_code(), 6);
            }
        }
    }

    #[test]
    fn how_users_are_numbered_is_read_from_the_security_options() {
        let users = |security: &[&str]| facts("28.0", "1.48", security).users;
        let seccomp = "name=seccomp,profile=builtin";
        assert_eq!(users(&[seccomp, "name=cgroupns"]), Users::AsIs);
        assert_eq!(users(&[seccomp, "name=rootless"]), Users::Rootless);
        assert_eq!(users(&["name=userns"]), Users::Remapped);
        assert!(facts("28.0", "1.48", &[seccomp]).seccomp);
        assert!(!facts("28.0", "1.48", &[]).seccomp);
    }
}
