//! What this machine lacks for running bottles, each with its remedy. Changes nothing.

use crate::cli::Context;
use crate::compose::Compose;
use crate::engine::{Endpoint, Engine, Users};
use crate::error::{Error, Result};
use crate::home::Home;
use crate::images::Images;
use crate::images::libexec::Libexec;
use crate::lifecycle::{BottleState, folder, observe};
use crate::manifest;
use crate::naming;
use serde::Serialize;
use std::path::Path;

/// Less free space than this and a start fails half-way: an agent image has about 200 MB, a workspace is copied.
const LEAST_SPACE: u64 = 512 << 20;
/// Less than this is soon too little: a session's build output.
const LITTLE_SPACE: u64 = 4 << 30;
/// What our agent images are built from.
const BASE_IMAGE: &str = "debian:trixie-slim";

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works; worth knowing.
    Mind,
    /// The machine lacks it: exit code 6.
    Lacking,
    /// It is there and wrong: exit code 1.
    Wrong,
}

impl Verdict {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Mind => "mind",
            Self::Lacking => "missing",
            Self::Wrong => "wrong",
        }
    }
}

fn fine(check: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        check,
        verdict: Verdict::Fine,
        detail: detail.into(),
        remedy: None,
    }
}

fn finding(check: &'static str, verdict: Verdict, detail: impl Into<String>, remedy: &str) -> Finding {
    Finding {
        check,
        verdict,
        detail: detail.into(),
        remedy: Some(remedy.to_owned()),
    }
}

fn of_error(check: &'static str, verdict: Verdict, error: &Error) -> Finding {
    Finding {
        check,
        verdict,
        detail: error.to_string().replace('\n', "; "),
        remedy: error.hints().first().cloned(),
    }
}

/// Looks at everything, whatever the first checks found.
pub async fn examine(context: &Context) -> Result<Vec<Finding>> {
    let home = context.home()?;
    let libexec = Libexec::of_process()?;
    let mut findings = Vec::new();
    let engine = match Endpoint::of(&context.environment) {
        Ok(endpoint) => {
            let (engine, compose) = tokio::join!(
                Engine::at(endpoint.clone()),
                Compose::find(&context.environment, &endpoint)
            );
            findings.push(engine.as_ref().map_or_else(
                |error| of_error("engine", Verdict::Lacking, error),
                |engine| fine("engine", format!("{} at {endpoint}", engine.facts().version)),
            ));
            findings.push(compose.map_or_else(
                |error| of_error("compose", Verdict::Lacking, &error),
                |compose| fine("compose", format!("{} {}", compose.name(), compose.version())),
            ));
            engine.ok()
        }
        Err(error) => {
            findings.push(of_error("engine", Verdict::Lacking, &error));
            None
        }
    };
    if let Some(engine) = &engine {
        findings.extend(limits(engine));
    }
    findings.push(binaries(&libexec));
    if let Some(engine) = &engine {
        findings.push(images(context, engine, &home, &libexec).await?);
    }
    findings.push(manifests(&home));
    findings.push(space("disk of the home", home.root()));
    if let Some(engine) = &engine {
        let folder = engine.facts().data_folder.clone();
        if Path::new(&folder).is_dir() {
            findings.push(space("disk of the engine", Path::new(&folder)));
        }
        findings.push(leftovers(engine, &home).await?);
    }
    Ok(findings)
}

fn limits(engine: &Engine) -> Vec<Finding> {
    let facts = engine.facts();
    let mut findings = vec![if facts.seccomp {
        fine("seccomp", "the engine applies profiles")
    } else {
        finding(
            "seccomp",
            Verdict::Lacking,
            "the engine applies no seccomp profiles, so an agent could open vsock and raw sockets",
            "use an engine and a kernel with seccomp",
        )
    }];
    if !facts.limits {
        findings.push(finding(
            "limits",
            Verdict::Mind,
            "the engine cannot limit memory or processes",
            "enable the memory and pids controllers (cgroups)",
        ));
    }
    if facts.users == Users::Remapped {
        findings.push(finding(
            "users",
            Verdict::Mind,
            "the engine remaps users: containers run as a subordinate user",
            "give that user access to the home folder, or use an engine without userns-remap",
        ));
    }
    findings
}

fn binaries(libexec: &Libexec) -> Finding {
    let missing: Vec<&str> = naming::PROGRAMS
        .into_iter()
        .chain(["shim", "probe"])
        .filter(|name| libexec.path(name).is_err())
        .collect();
    let folder = libexec.folder().display();
    if missing.is_empty() {
        return fine("binaries", folder.to_string());
    }
    finding(
        "binaries",
        Verdict::Lacking,
        format!("{} not in {folder}", missing.join(", ")),
        "install bottle again: `make install`",
    )
}

async fn images(context: &Context, engine: &Engine, home: &Home, libexec: &Libexec) -> Result<Finding> {
    let images = Images {
        engine,
        libexec,
        home,
        printer: &context.printer,
    };
    let mut missing = Vec::new();
    for reference in images.current() {
        if engine.image_id(&reference).await?.is_none() {
            missing.push(reference);
        }
    }
    if missing.is_empty() {
        return Ok(fine("images", "all there"));
    }
    let base = match engine.image_id(BASE_IMAGE).await? {
        Some(_) => "",
        None => "; nor is the base image, so the first build pulls it",
    };
    Ok(finding(
        "images",
        Verdict::Mind,
        format!("not built yet: {}{base}", missing.join(", ")),
        "the first start builds what it needs, or `bottle images build --all` now",
    ))
}

fn manifests(home: &Home) -> Finding {
    let mut mistakes = Vec::new();
    let mut count = 0;
    let mut look = || -> Result<()> {
        for name in manifest::agents(home)? {
            count += 1;
            if let Err(error) = manifest::agent(home, &name) {
                mistakes.extend(error.messages().to_vec());
            }
        }
        for name in manifest::bottles(home)? {
            count += 1;
            if let Err(error) = manifest::bottle(home, &name) {
                mistakes.extend(error.messages().to_vec());
            }
        }
        Ok(())
    };
    if let Err(error) = look() {
        mistakes.push(error.to_string());
    }
    match (mistakes.is_empty(), count) {
        (true, 0) => finding(
            "manifests",
            Verdict::Mind,
            format!("there are none in {}", home.root().display()),
            "`bottle init` writes a first agent and bottle",
        ),
        (true, _) => fine("manifests", format!("{count} are right")),
        (false, _) => finding(
            "manifests",
            Verdict::Wrong,
            mistakes.join("; "),
            "`bottle check` shows them line by line",
        ),
    }
}

/// Free space where this folder is, or would be.
fn space(check: &'static str, folder: &Path) -> Finding {
    let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return finding(
            check,
            Verdict::Wrong,
            format!("{} is nowhere", folder.display()),
            "make the folder",
        );
    };
    let free = match nix::sys::statvfs::statvfs(there) {
        Ok(stat) => stat.blocks_available() * stat.fragment_size(),
        Err(error) => {
            return finding(
                check,
                Verdict::Mind,
                format!("{}: {error}", there.display()),
                "look at it with `df`",
            );
        }
    };
    let detail = format!(
        "{:.1} GiB free at {}",
        free as f64 / (1 << 30) as f64,
        there.display()
    );
    if free < LEAST_SPACE {
        finding(check, Verdict::Lacking, detail, "make room")
    } else if free < LITTLE_SPACE {
        finding(check, Verdict::Mind, detail, "make room soon")
    } else {
        fine(check, detail)
    }
}

async fn leftovers(engine: &Engine, home: &Home) -> Result<Finding> {
    let bottles = observe::all(engine, home).await?;
    let damaged: Vec<&str> = bottles
        .iter()
        .filter(|bottle| bottle.state.is_unjudged())
        .map(|bottle| bottle.slug.as_str())
        .collect();
    if !damaged.is_empty() {
        return Ok(finding(
            "leftovers",
            Verdict::Mind,
            format!(
                "state directories that cannot be read, or are gone: {}",
                damaged.join(", ")
            ),
            "`bottle list` says why; `bottle stop SLUG` ends one",
        ));
    }
    let dead: Vec<&str> = bottles
        .iter()
        .filter(|bottle| matches!(bottle.state, BottleState::Crashed | BottleState::Stopped))
        .map(|bottle| bottle.slug.as_str())
        .collect();
    let remains = folder::remains(home)?.len();
    if dead.is_empty() && remains == 0 {
        return Ok(fine("leftovers", "none"));
    }
    let mut parts: Vec<String> = dead.iter().map(|slug| (*slug).to_owned()).collect();
    if remains > 0 {
        parts.push(format!("{remains} half-made folders"));
    }
    Ok(finding(
        "leftovers",
        Verdict::Mind,
        format!("of dead bottles: {}", parts.join(", ")),
        "`bottle cleanup` removes them",
    ))
}
