//! The seat's part of a change: the hosts of the routes mirrored into `pipelock.yaml`, and what only our own engine is told into
//! `dlp.yaml`.
//!
//! A bottle without the file has no seat; whoever asks is told so and goes on, and the audit says it.

use super::Target;
use super::change::{Change, FileStep, GuardStep};
use crate::environment::{Environment, Named};
use crate::error::{Doing as _, Error, Result};
use contract::place::run;
use contract::{GrantId, Guard, HostName, PipelockAsk, RouteAuth, RouteTable, Sha256Hex, Timestamp};
use pipelock_config::{CredentialKey, DlpFile, Exemption, Model, PipelockFile, files_sha256, place};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// The seat's files, before and after.
#[derive(Debug)]
pub struct Files {
    /// `pipelock.yaml`.
    pub pipelock: FileStep,
    /// `dlp.yaml`; none with the real pipelock.
    pub dlp: Option<FileStep>,
}

/// The seat's part in a change of the routes.
pub struct Mirrored {
    /// To be done before egress' own.
    pub step: GuardStep,
    /// For the operator.
    pub notes: Vec<String>,
}

impl Files {
    /// Of this bottle; `None` where it has no seat.
    pub fn read(target: &Target) -> Result<Option<Self>> {
        let folder = target.state.pipelock_config();
        let path = folder.join(place::PIPELOCK);
        if !path.is_file() {
            return Ok(None);
        }
        let dlp = folder.join(place::DLP);
        Ok(Some(Self {
            pipelock: FileStep::read(place::PIPELOCK, path)?,
            dlp: match dlp.is_file() {
                true => Some(FileStep::read(place::DLP, dlp)?),
                false => None,
            },
        }))
    }

    /// The same, refused by name where there is none.
    pub fn of(target: &Target) -> Result<Self> {
        Self::read(target)?.ok_or_else(|| Error::failed(format!("{} has no pipelock", target.slug)))
    }

    /// The step that makes them so.
    pub fn step(self, target: &Target) -> GuardStep {
        let hash = |pipelock: &[u8], dlp: Option<&[u8]>| -> Sha256Hex { files_sha256(pipelock, dlp) };
        let (pipelock, dlp) = (&self.pipelock, self.dlp.as_ref());
        GuardStep {
            guard: Guard::Pipelock,
            before_sha256: hash(&pipelock.before, dlp.map(|dlp| dlp.before.as_slice())),
            after_sha256: hash(&pipelock.after, dlp.map(|dlp| dlp.after.as_slice())),
            // The real pipelock acknowledges nothing.
            applied: dlp.map(|_| target.state.pipelock_run().join(run::APPLIED)),
            // What is only permitted there comes first; the file that hosts are listed in makes it reachable.
            files: self.dlp.into_iter().chain([self.pipelock]).collect(),
            probes: Vec::new(),
        }
    }

    fn change_dlp(&mut self, changing: impl FnOnce(&mut DlpFile)) -> Result<()> {
        let Some(file) = &mut self.dlp else { return Ok(()) };
        let before = DlpFile::parse(&file.before).doing(|| "dlp.yaml cannot be read".to_owned())?;
        let mut after = before.clone();
        changing(&mut after);
        if after != before {
            after.generation = before.generation.saturating_add(1);
            file.after = after
                .render()
                .doing(|| "dlp.yaml cannot be written".to_owned())?
                .into_bytes();
        }
        Ok(())
    }
}

/// The routes' hosts, from one table to another.
pub fn mirror(
    target: &Target,
    environment: &Environment,
    before: &RouteTable,
    after: &RouteTable,
) -> Result<Option<Mirrored>> {
    let Some(mut files) = Files::read(target)? else {
        return Ok(None);
    };
    let mirrored = pipelock_config::mirror(files.pipelock.text()?, before, after).doing(|| {
        format!(
            "the routes cannot be mirrored into {}",
            files.pipelock.path.display()
        )
    })?;
    let mut notes = mirrored.notes;
    files.pipelock.after = mirrored.text.into_bytes();
    let (was, is) = (of_routes(before, environment), of_routes(after, environment));
    let mut unknown = Vec::new();
    files.change_dlp(|dlp| {
        let key = dlp.credential_key.clone().unwrap_or(is.key.clone());
        let (was, is) = (was.with(&key, &mut Vec::new()), is.with(&key, &mut unknown));
        // What is there already stays as it is: its value may not be to be had any more.
        dlp.injected
            .retain(|one| after_has(after, &one.host, one.header.as_str()));
        dlp.injected.extend(
            is.injected.into_iter().filter(|one| {
                !was.injected.contains(one) && !after_has(before, &one.host, one.header.as_str())
            }),
        );
        if !dlp.injected.is_empty() {
            dlp.credential_key = Some(key);
        }
        dlp.private_networks
            .retain(|one| is.private_networks.contains(one) || !was.private_networks.contains(one));
        let fresh: Vec<_> = is
            .private_networks
            .into_iter()
            .filter(|one| !dlp.private_networks.contains(one))
            .collect();
        dlp.private_networks.extend(fresh);
    })?;
    unknown.retain(|auth: &RouteAuth| {
        before
            .routes()
            .iter()
            .all(|route| route.auth.as_ref() != Some(auth))
    });
    notes.extend(unknown.iter().map(|auth| {
        format!(
            "{} is not set here, so the seat does not know that credential and may refuse requests that carry it",
            auth.token_ref
        )
    }));
    Ok(Some(Mirrored {
        step: files.step(target),
        notes,
    }))
}

/// Whether a table injects into this host's header.
fn after_has(table: &RouteTable, host: &HostName, header: &str) -> bool {
    table.routes_of(host).any(|route| {
        route
            .auth
            .as_ref()
            .is_some_and(|auth| auth.scheme.header() == header)
    })
}

/// What a table means to the seat, for a key that is known later.
struct OfRoutes<'a> {
    table: &'a RouteTable,
    environment: &'a Environment,
    key: CredentialKey,
}

fn of_routes<'a>(table: &'a RouteTable, environment: &'a Environment) -> OfRoutes<'a> {
    OfRoutes {
        table,
        environment,
        key: CredentialKey::new(rand::random()),
    }
}

impl OfRoutes<'_> {
    fn with(&self, key: &CredentialKey, unknown: &mut Vec<RouteAuth>) -> Model {
        Model::of_routes(self.table, key.clone(), |auth| {
            match self.environment.named(&auth.token_ref) {
                Named::Set(value) => Some(Zeroizing::new(value.as_bytes().to_vec())),
                Named::Unset | Named::NotUtf8 => {
                    unknown.push(auth.clone());
                    None
                }
            }
        })
    }
}

/// What approving a `pipelock-block` would change: a host for good, or a named exemption that ends.
pub fn block(
    target: &Target,
    ask: &PipelockAsk,
    id: &GrantId,
    expires_at: Option<Timestamp>,
) -> Result<Change> {
    let mut files = Files::of(target)?;
    let mut change = Change::default();
    let host = &ask.host;
    match (&ask.rule, expires_at) {
        (None, _) => {
            let text = pipelock_config::allow_host(files.pipelock.text()?, host)
                .doing(|| format!("{} cannot be changed", files.pipelock.path.display()))?;
            files.pipelock.after = text.into_bytes();
            change.statement = format!("{host} is in the seat's allowlist");
            change.notes.push(format!(
                "the seat is not the only one: egress lets nothing through to {host} without a route for it"
            ));
        }
        (Some(_), None) => {
            return Err(Error::usage(
                "an exemption from a rule must end; say when, as in `--for 2h`",
            ));
        }
        (Some(rule), Some(expires_at)) => {
            if files.dlp.is_none() {
                return Err(Error::failed(format!(
                    "{} runs the real pipelock, which knows no exemption that ends",
                    target.slug
                ))
                .hinted("`bottle pipelock edit` changes its own file"));
            }
            let exemption = Exemption {
                id: id.clone(),
                rule: rule.clone(),
                host: host.clone(),
                expires_at: Some(expires_at),
            };
            let now = Timestamp::from(SystemTime::now());
            files.change_dlp(|dlp| {
                let over = |one: &Exemption| one.expires_at.is_some_and(|at| at < now) && one.id != *id;
                dlp.exemptions.retain(|one| !over(one));
                if !dlp.exemptions.iter().any(|one| one.id == *id) {
                    dlp.exemptions.push(exemption);
                }
            })?;
            change.statement = format!("the rule {rule} does not apply to {host}");
            change.until = format!(", until {expires_at}");
        }
    }
    change.guards.push(files.step(target));
    change.probes(std::slice::from_ref(host));
    Ok(change)
}

/// The change that ends an exemption; `None` when there is none of this id.
pub fn without_exemption(target: &Target, id: &GrantId) -> Result<Option<(HostName, Change)>> {
    let Some(mut files) = Files::read(target)? else {
        return Ok(None);
    };
    let mut host = None;
    files.change_dlp(|dlp| {
        host = dlp
            .exemptions
            .iter()
            .find(|one| one.id == *id)
            .map(|one| one.host.clone());
        dlp.exemptions.retain(|one| one.id != *id);
    })?;
    let Some(host) = host else { return Ok(None) };
    let change = Change {
        guards: vec![files.step(target)],
        statement: format!("the exemption for {host} is revoked"),
        ..Change::default()
    };
    Ok(Some((host, change)))
}

/// The exemptions of a bottle.
pub fn exemptions(target: &Target) -> Result<Vec<Exemption>> {
    let Some(Files { dlp: Some(dlp), .. }) = Files::read(target)? else {
        return Ok(Vec::new());
    };
    let file = DlpFile::parse(&dlp.before).doing(|| "dlp.yaml cannot be read".to_owned())?;
    Ok(file.exemptions)
}

/// What an edited `pipelock.yaml` would change; it is refused where it does not parse.
pub fn edited(target: &Target, text: &str) -> Result<Change> {
    let mut files = Files::of(target)?;
    PipelockFile::parse(text.as_bytes())
        .map_err(|error| Error::usage("this is no pipelock.yaml").because(error))?;
    files.pipelock.after = text.as_bytes().to_vec();
    Ok(Change {
        guards: vec![files.step(target)],
        statement: "pipelock.yaml is in force".to_owned(),
        ..Change::default()
    })
}
