//! The measures, one module each, bounded in count. A module names its figures, for the table, and takes them.
//!
//! A guard that wants rows of its own adds a module here, its figures to [`figures`] and its call to [`round`]; a
//! program to be compared is a [`Kind`].

pub mod connections;
pub mod events;
pub mod large;
pub mod latency;
pub mod process;
pub mod throughput;

use crate::bench::client::Client;
use crate::bench::figure::{Figure, Figures};
use crate::bench::peer::{Kind, Peer};
use crate::bench::{Extent, Files, WARM};
use std::time::Duration;

/// Requests before anything is measured.
const WARM_UP: usize = 200;

/// Every figure, in the order of the table.
pub fn figures() -> Vec<Figure> {
    let groups = [
        throughput::FIGURES,
        latency::FIGURES,
        connections::FIGURES,
        events::FIGURES,
        large::FIGURES,
        process::FIGURES,
    ];
    groups.concat()
}

/// One round of one peer.
pub struct Round<'r> {
    /// Who is measured.
    pub peer: &'r Peer,
    /// How it is reached.
    pub client: &'r Client,
    /// How much is done.
    pub extent: &'r Extent,
    /// Which round, from 0.
    pub number: usize,
    figures: Figures,
}

impl Round<'_> {
    /// Who is measured.
    pub fn kind(&self) -> Kind {
        self.peer.kind
    }

    /// Whether it is egress on a route with auth as well.
    pub fn injects(&self) -> bool {
        matches!(self.kind(), Kind::Egress | Kind::EgressShim)
    }

    /// So many for a fast peer, fewer for a slow one.
    pub fn count(&self, of_a_fast_peer: usize) -> usize {
        (of_a_fast_peer / self.kind().slowness()).max(1)
    }

    /// Keeps a value.
    pub fn record(&mut self, figure: Figure, value: f64) {
        self.figures.insert(figure.name, value);
    }
}

/// One round of every measure with one peer, which is started for it and ended after it.
pub async fn round(kind: Kind, files: &Files, extent: &Extent, number: usize) -> anyhow::Result<Figures> {
    let peer = Peer::start(kind, files, extent.rounds)?;
    let client = Client::new(peer.address, files)?;
    let mut round = Round {
        peer: &peer,
        client: &client,
        extent,
        number,
        figures: Figures::new(),
    };
    process::at_rest(&mut round);
    let mut connection = client.connect(WARM).await?;
    for _ in 0..round.count(WARM_UP) {
        connection.get("/").await?;
    }
    latency::measure(&mut round, &mut connection).await?;
    connections::measure(&mut round).await?;
    throughput::measure(&mut round).await?;
    events::measure(&mut round, &mut connection).await?;
    large::measure(&mut round, &mut connection).await?;
    process::in_the_end(&mut round);
    Ok(round.figures)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The value below which `share` of the values lie.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((values.len().saturating_sub(1)) as f64 * share).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}
