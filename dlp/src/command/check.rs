//! `dlp check`: reads a config directory as `run` would, and prints what would be in force; or judges a URL or a body by it.
//!
//! A verdict names the rule, where it matched and what was undone to see it, never what was found. Values of the environment are
//! looked for as in `run`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use contract::place::config::EXTRA_CA;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};
use pipelock_config::{HostPattern, ResponseScanning};

use super::Failure;
use crate::body::{self, Kind};
use crate::examiner::Examiner;
use crate::policy::{CompiledPolicy, Parts};
use crate::refused::Refused;
use crate::upstream::Upstreams;
use crate::{config, environment, head, reload, service};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The config directory: pipelock.yaml, dlp.yaml, ca.pem, ca-key.pem, extra-ca.pem
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Judge this URL
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Judge this file as a request's body
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The Content-Type of the body
    #[arg(long, value_name = "TYPE", requires = "file")]
    content_type: Option<HeaderValue>,
    /// The Content-Encoding of the body
    #[arg(long, value_name = "CODING", requires = "file")]
    content_encoding: Option<HeaderValue>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = &arguments.config;
    let files = config::seat(directory)?;
    let environment = environment::read(std::env::vars_os());
    let extra = config::extra_authorities(directory)?;
    let tls = mitm::trust::public_roots(&extra).map_err(|why| Failure::Trust {
        file: directory.join(EXTRA_CA),
        why,
    })?;
    let parts = Parts {
        environment: environment.values,
        upstreams: Upstreams::new(tls, Arc::new(mitm::SystemResolver), Vec::new()),
    };
    let sha256 = files.sha256.clone();
    let policy = Arc::new(reload::compile(files.said, &parts)?);
    if arguments.url.is_none() && arguments.file.is_none() {
        service::authority(directory)?;
        return super::print(&describe(&policy, &sha256, &environment.too_short));
    }
    let host = arguments.url.as_ref().and_then(Uri::host).unwrap_or_default();
    let examiner = Examiner::new(policy, &host.trim_end_matches('.').to_ascii_lowercase());
    let judged = judge(arguments, &examiner)?;
    match (judged, examiner.warned()) {
        (Err(refused), _) => Err(Failure::refused(format!(
            "refused ({}): {}",
            refused.reason(),
            refused.message(crate::refused::Telling {
                host: None,
                supervise: false
            })
        ))),
        (Ok(()), Some(found)) => super::print(&format!("passes, and is told: {found}\n")),
        (Ok(()), None) => super::print("passes\n"),
    }
}

fn judge(arguments: &Arguments, examiner: &Examiner) -> Result<Result<(), Refused>, Failure> {
    if let Some(url) = &arguments.url
        && let Err(refused) = judge_url(url, examiner)?
    {
        return Ok(Err(refused));
    }
    match &arguments.file {
        Some(file) => judge_file(arguments, file, examiner),
        None => Ok(Ok(())),
    }
}

fn judge_url(url: &Uri, examiner: &Examiner) -> Result<Result<(), Refused>, Failure> {
    let Some(host) = url.host() else {
        return Err(Failure::Usage(
            "--url: write the whole URL, such as https://docs.rs/regex".to_owned(),
        ));
    };
    if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
        return Ok(Err(Refused::IpLiteral));
    }
    if !examiner.policy().seat().admits(examiner.host()) {
        return Ok(Err(Refused::Host));
    }
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    Ok(head::host(examiner).and_then(|()| head::url(examiner, target.as_bytes())))
}

fn judge_file(
    arguments: &Arguments,
    file: &Path,
    examiner: &Examiner,
) -> Result<Result<(), Refused>, Failure> {
    let content = fs_err::read(file).map_err(Failure::system("the body"))?;
    let mut headers = HeaderMap::new();
    if let Some(value) = &arguments.content_type {
        headers.insert(CONTENT_TYPE, value.clone());
    }
    if let Some(value) = &arguments.content_encoding {
        headers.insert(CONTENT_ENCODING, value.clone());
    }
    let kind = match Kind::of(&headers) {
        Ok(kind) => kind,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(body::judge(examiner, kind, content.into()))
}

fn describe(policy: &CompiledPolicy, sha256: &contract::Sha256Hex, too_short: &[String]) -> String {
    let seat = policy.seat();
    let mut text = format!(
        "generation {}, {} rules, files {sha256}, policy {}\n",
        policy.generation(),
        policy.scanner().rules(),
        policy.effective_sha256()
    );
    let mut hosts = |what: &str, list: &[HostPattern]| {
        for host in list {
            let _ = writeln!(text, "{what} {host}");
        }
    };
    hosts("allowed", &seat.allow);
    hosts("refused", &seat.refuse);
    hosts("not looked into", &seat.passthrough);
    if !policy.blocks() {
        text.push_str("findings in requests are told and not refused\n");
    }
    match policy.response_scanning() {
        ResponseScanning::Off => {}
        ResponseScanning::Warn => text.push_str("responses are looked at, findings are told\n"),
        ResponseScanning::Block => text.push_str("responses are looked at, findings are cut\n"),
    }
    for note in seat.notes.iter().chain(too_short) {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
