//! Which compose there is.

use super::{Compose, Flavour};
use crate::engine::Endpoint;
use crate::engine::endpoint::client_folder;
use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How long `version` may take; v1 takes half a second on a busy machine.
const VERSION: Duration = Duration::from_secs(20);

/// The oldest compose that knows `--ansi` and the file format without `version`.
const OLDEST: (u32, u32) = (1, 28);

impl Compose {
    /// The plugin where it works, else the program.
    pub async fn find(environment: &Environment, endpoint: &Endpoint) -> Result<Self> {
        let path = environment
            .get(environment::PATH)
            .cloned()
            .unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
        let mut tried = Vec::new();
        for (flavour, name) in [
            (Flavour::Plugin, "docker"),
            (Flavour::Standalone, "docker-compose"),
        ] {
            let Some(program) = on_path(&path, name) else {
                tried.push(format!("there is no `{name}` on the PATH"));
                continue;
            };
            match version(&program, flavour, environment, &path).await {
                Ok(version) => {
                    refuse_what_is_too_old(&program, &version)?;
                    return Ok(Self {
                        program,
                        flavour,
                        version,
                        docker_host: endpoint.docker_host(),
                        home: environment.get(environment::HOME).cloned(),
                        plugins: client_folder(environment)
                            .map(|folder| folder.join("cli-plugins"))
                            .filter(|folder| folder.is_dir()),
                        path,
                    });
                }
                Err(said) => tried.push(said),
            }
        }
        Err(Error::environment("there is no working compose on this machine")
            .because(anyhow::anyhow!(tried.join("; ")))
            .hinted("install it: `sudo apt-get install docker-compose-plugin` (Docker's packages) or `docker-compose` (Debian's)"))
    }
}

/// The first executable file of this name.
fn on_path(path: &OsStr, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| {
            fs_err::metadata(file)
                .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        })
}

/// What it says its version is, or why it does not.
async fn version(
    program: &Path,
    flavour: Flavour,
    environment: &Environment,
    path: &OsStr,
) -> Result<String, String> {
    let words: &[&str] = match flavour {
        Flavour::Plugin => &["compose", "version", "--short"],
        Flavour::Standalone => &["version", "--short"],
    };
    let called = format!("`{} {}`", program.display(), words.join(" "));
    let mut command = tokio::process::Command::new(program);
    command
        .args(words)
        .env_clear()
        .env("PATH", path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in [environment::HOME, environment::DOCKER_CONFIG] {
        if let Some(value) = environment.get(variable) {
            command.env(variable.name, value);
        }
    }
    let output = tokio::time::timeout(VERSION, command.output())
        .await
        .map_err(|_| format!("{called} does not end"))?
        .map_err(|error| format!("{called}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.trim().trim_start_matches('v');
    if output.status.success() && number(version).is_some() {
        return Ok(version.to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no version");
    Err(format!("{called}: {}", contract::text::harmless(words)))
}

fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}

fn refuse_what_is_too_old(program: &Path, version: &str) -> Result<()> {
    if number(version).is_some_and(|number| number >= OLDEST) {
        return Ok(());
    }
    Err(Error::environment(format!(
        "{} is compose {version}; a bottle needs 1.28 or newer",
        program.display()
    ))
    .hinted("install the v2 plugin: `sudo apt-get install docker-compose-plugin`"))
}
