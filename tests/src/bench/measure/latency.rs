//! One request after the other on one connection: the rate, and how long each takes.

use super::{Round, micros, percentile};
use crate::bench::client::Connection;
use crate::bench::figure::Figure;
use crate::bench::peer::Kind;
use std::time::Instant;

/// Half of the requests took no longer.
pub const MEDIAN: Figure = Figure::new("p50 µs c=1", Kind::Tunnel);
/// All but one in a hundred took no longer.
pub const SLOW: Figure = Figure::new("p99 µs c=1", Kind::Tunnel);
/// [`MEDIAN`] without what the same round took directly.
pub const ADDED_MEDIAN: Figure = Figure::new("added p50 µs", Kind::Tunnel);
/// [`SLOW`] without what the same round took directly.
pub const ADDED_SLOW: Figure = Figure::new("added p99 µs", Kind::Tunnel);

/// Figures that are what a way through a proxy adds to another figure.
pub const ADDED: [(Figure, Figure); 2] = [(ADDED_MEDIAN, MEDIAN), (ADDED_SLOW, SLOW)];

pub const FIGURES: &[Figure] = &[MEDIAN, SLOW, ADDED_MEDIAN, ADDED_SLOW];

/// Also gives [`super::throughput::ONE`].
pub async fn measure(round: &mut Round<'_>, connection: &mut Connection) -> anyhow::Result<()> {
    let requests = round.count(round.extent.requests / 4);
    let mut took = Vec::with_capacity(requests);
    let began = Instant::now();
    for _ in 0..requests {
        let sent = Instant::now();
        connection.get("/").await?;
        took.push(micros(sent.elapsed()));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let rate = requests as f64 / began.elapsed().as_secs_f64();
    round.record(super::throughput::ONE, rate);
    round.record(MEDIAN, percentile(&mut took, 0.5));
    round.record(SLOW, percentile(&mut took, 0.99));
    Ok(())
}
