//! `bottle info`

use crate::cli::Context;
use crate::engine::Users;
use crate::error::Result;
use crate::images::Images;
use crate::images::libexec::Libexec;
use crate::lifecycle::Machine;
use clap::Args;
use serde::Serialize;

/// Show what this program, its engine and its images are.
#[derive(Debug, Args)]
pub struct Info {}

#[derive(Serialize)]
struct Told {
    version: &'static str,
    home: String,
    home_hash: String,
    libexec: String,
    engine: EngineTold,
    compose: Option<ComposeTold>,
    /// Who processes in containers run as.
    container_user: String,
    images: Vec<ImageTold>,
}

#[derive(Serialize)]
struct EngineTold {
    endpoint: String,
    chosen_by: String,
    version: String,
    api_version: String,
    platform: String,
    storage_driver: String,
    users: Users,
    seccomp: bool,
}

#[derive(Serialize)]
struct ComposeTold {
    called: &'static str,
    version: String,
}

#[derive(Serialize)]
struct ImageTold {
    reference: String,
    present: bool,
}

impl Info {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let machine = Machine::connect(context).await?;
        let told = told(&machine).await?;
        if context.printer.wants_json() {
            return context.printer.json(&told);
        }
        for line in lines(&told) {
            context.printer.data(&line);
        }
        if let Err(error) = machine.compose() {
            context.printer.error(&error);
        }
        Ok(())
    }
}

async fn told(machine: &Machine) -> Result<Told> {
    let libexec = Libexec::of_process()?;
    let images = Images {
        engine: &machine.engine,
        libexec: &libexec,
        home: &machine.home,
        printer: &machine.printer,
    };
    let mut list = Vec::new();
    for reference in images.current() {
        let present = machine.engine.image_id(&reference).await?.is_some();
        list.push(ImageTold { reference, present });
    }
    let (facts, endpoint, identity) = (
        machine.engine.facts(),
        machine.engine.endpoint(),
        machine.engine.identity(),
    );
    Ok(Told {
        version: env!("CARGO_PKG_VERSION"),
        home: machine.home.root().display().to_string(),
        home_hash: machine.home.hash(),
        libexec: libexec.folder().display().to_string(),
        engine: EngineTold {
            endpoint: endpoint.to_string(),
            chosen_by: endpoint.chosen_by().to_string(),
            version: facts.version.clone(),
            api_version: facts.api_version.clone(),
            platform: facts.platform.clone(),
            storage_driver: facts.storage_driver.clone(),
            users: facts.users,
            seccomp: facts.seccomp,
        },
        compose: machine.compose().ok().map(|compose| ComposeTold {
            called: compose.name(),
            version: compose.version().to_owned(),
        }),
        container_user: format!("{}:{}", identity.uid, identity.gid),
        images: list,
    })
}

/// A label padded to ten, as preflight writes it.
fn lines(told: &Told) -> Vec<String> {
    let engine = &told.engine;
    let users = match engine.users {
        Users::AsIs => "",
        Users::Rootless => ", rootless",
        Users::Remapped => ", users remapped",
    };
    let mut rows = vec![
        ("bottle", told.version.to_owned()),
        ("home", format!("{} ({})", told.home, told.home_hash)),
        ("libexec", told.libexec.clone()),
        (
            "engine",
            format!(
                "{} (API {}), {}, {}{users}",
                engine.version, engine.api_version, engine.platform, engine.storage_driver
            ),
        ),
        ("", format!("{}, by {}", engine.endpoint, engine.chosen_by)),
        (
            "compose",
            told.compose.as_ref().map_or_else(
                || "none".to_owned(),
                |compose| format!("{} {}", compose.called, compose.version),
            ),
        ),
        ("user", format!("{} in containers", told.container_user)),
    ];
    for (index, image) in told.images.iter().enumerate() {
        let label = if index == 0 { "images" } else { "" };
        let missing = if image.present { "" } else { " (not built yet)" };
        rows.push((label, format!("{}{missing}", image.reference)));
    }
    rows.into_iter()
        .map(|(label, value)| format!("{label:<10}{value}"))
        .collect()
}
