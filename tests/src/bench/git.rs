//! git-gate: what a push and a clone cost through it, beside the same without it.
//!
//! Everything is real and on loopback: git, sshd, `git http-backend`, `git daemon`. Each way to push has an upstream and a working
//! copy of its own, and all get the same commits in turn, so that what is noisy is noisy for all. A figure is the median.

mod backend;
mod gate;
mod host;
mod memory;
mod peers;
mod report;
mod traced;
mod work;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use backend::Backend;
use gate::Gate;
use host::{Daemon, Host};
use report::Report;
use work::Work;

use super::peer::cpu;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Interleaved rounds.
    pub rounds: usize,
    /// Pushes of one commit in each round, on every way.
    pub pushes: usize,
    /// Objects of the one large push.
    pub objects: usize,
}

/// The pack that is cloned, in bytes.
const PACK: usize = 50 << 20;

/// Clones of it in each round, on every way.
const CLONES: usize = 4;

/// Runs it all; `results` gets the figures as JSON.
pub fn run(extent: &Extent, results: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let mut report = Report::default();
    pushes(extent, &mut report, say)?;
    clones(extent, &mut report, say)?;
    large_push(extent, &mut report, say)?;
    if let Some(folder) = results.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(results, serde_json::to_vec_pretty(&report.json())?)?;
    say(&report.render());
    Ok(())
}

/// One commit at a time: through the gate, to `git http-backend`, and straight over ssh.
fn pushes(extent: &Extent, report: &mut Report, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let host = Host::start()?;
    for name in ["gate", "traced", "backend", "ssh", "kept"] {
        host.repository(name)?;
    }
    let gate = Gate::start(&host, "gate", None)?;
    let traced = traced::Git::new()?;
    let slow_gate = Gate::start(&host, "traced", Some(&traced.folder()))?;
    let backend = Backend::start(host.root())?;
    let ways = [
        ("gate", Work::new(&gate.url(), None)?),
        ("backend", Work::new(&backend.url("backend"), None)?),
        ("ssh", Work::new(&host.url("ssh"), Some(&host.ssh(false)))?),
        ("kept ssh", Work::new(&host.url("kept"), Some(&host.ssh(true)))?),
    ];
    let seen = Work::new(&slow_gate.url(), None)?;
    let peers = peers::found(say);
    // The first push of each opens what is kept.
    for work in ways.iter().map(|(_, work)| work).chain([&seen]) {
        work.commit(0)?;
        work.push()?;
    }
    traced.verdicts()?;
    let before = (cpu(gate.process()), gate.decisions()?.len());
    let mut number = 0;
    for round in 0..extent.rounds {
        for _ in 0..extent.pushes {
            number += 1;
            for (name, work) in &ways {
                work.commit(number)?;
                report.add(name, work.push()?);
            }
            seen.commit(number)?;
            seen.push()?;
        }
        for took in traced.verdicts()? {
            report.add("hook", took);
        }
        for peer in &peers {
            report.add(peer.name, peer.scan(seen.path())?);
        }
        say(&format!("pushes: round {} of {} done", round + 1, extent.rounds));
    }
    let decisions = gate.decisions()?;
    for took in decisions.get(before.1..).unwrap_or_default() {
        report.add("decision", *took);
    }
    let pushed = u32::try_from(number).unwrap_or(u32::MAX).max(1);
    report.add("push cpu", cpu(gate.process()).saturating_sub(before.0) / pushed);
    Ok(())
}

/// A pack that no compression makes smaller, through the gate and from `git daemon`.
fn clones(extent: &Extent, report: &mut Report, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let host = Host::start()?;
    let bare = host.repository("large")?;
    work::import(&bare, &work::noise(PACK))?;
    let gate = Gate::start(&host, "large", None)?;
    let daemon = Daemon::start(host.root())?;
    let ways = [("gate clone", gate.url()), ("daemon clone", daemon.url("large"))];
    // The first clone through the gate is one from the upstream, too.
    for (name, url) in &ways {
        let took = clone(url, Some(&bare))?;
        if *name == "gate clone" {
            report.add("first clone", took);
        }
    }
    let before = cpu(gate.process());
    for round in 0..extent.rounds {
        for _ in 0..CLONES {
            for (name, url) in &ways {
                report.add(name, clone(url, None)?);
            }
        }
        say(&format!("clones: round {} of {} done", round + 1, extent.rounds));
    }
    let cloned = u32::try_from(extent.rounds * CLONES).unwrap_or(u32::MAX).max(1);
    report.add("clone cpu", cpu(gate.process()).saturating_sub(before) / cloned);
    Ok(())
}

/// How long a clone takes; with `like`, it is checked to have what is there.
fn clone(url: &str, like: Option<&PathBuf>) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let into = folder.path().join("clone.git");
    let began = Instant::now();
    work::git(folder.path(), &["clone", "--quiet", "--bare", url, "clone.git"])?;
    let took = began.elapsed();
    if let Some(like) = like {
        let tip = |at: &Path| work::git(at, &["rev-parse", "refs/heads/main"]);
        ensure!(tip(&into)? == tip(like)?, "{url} gave something else");
    }
    Ok(took)
}

/// Many objects in one push: what the gate and the git that it runs need for it in memory.
fn large_push(extent: &Extent, report: &mut Report, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let host = Host::start()?;
    let bare = host.repository("many")?;
    let gate = Gate::start(&host, "many", None)?;
    let work = Work::new(&gate.url(), None)?;
    work::import(&work.path().join(".git"), &work::many(extent.objects))?;
    let watch = memory::Watch::start(gate.process())?;
    let took = work.push().context("the large push")?;
    let peak = watch.end();
    let count = work::git(&bare, &["rev-list", "--objects", "--count", "refs/heads/main"])?;
    report.large(count.parse()?, took, peak);
    say(&format!("the large push: {count} objects are upstream"));
    Ok(())
}
