//! From nothing to the first answer: TCP, CONNECT, TLS, one request.

use super::{Round, micros, percentile};
use crate::bench::figure::Figure;
use crate::bench::peer::Kind;
use crate::bench::{NEW_HOSTS, WARM, new_host};
use std::time::Instant;

/// To a host that the proxy has been asked for before.
pub const CONNECTION: Figure = Figure::new("new connection p50 µs", Kind::Tunnel);
/// To a host that nobody has asked this process for: an upstream connection is made, and where no route names
/// the host beforehand a leaf is minted. (Ours mints the leaves of its exact routes when it starts, as it does in
/// a bottle; the peers know no hosts beforehand.)
pub const HOST: Figure = Figure::new("new host p50 µs", Kind::Tunnel);

pub const FIGURES: &[Figure] = &[CONNECTION, HOST];

/// Connections of one round.
const CONNECTIONS: usize = 100;

pub async fn measure(round: &mut Round<'_>) -> anyhow::Result<()> {
    let warm = CONNECTIONS / round.kind().slowness().min(4);
    let mut took = Vec::with_capacity(warm);
    for _ in 0..warm {
        took.push(first_answer(round, WARM).await?);
    }
    round.record(CONNECTION, percentile(&mut took, 0.5));
    took.clear();
    for number in 0..NEW_HOSTS {
        took.push(first_answer(round, &new_host(round.number, number)).await?);
    }
    round.record(HOST, percentile(&mut took, 0.5));
    Ok(())
}

/// Microseconds.
async fn first_answer(round: &Round<'_>, host: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    round.client.connect(host).await?.get("/").await?;
    Ok(micros(began.elapsed()))
}
