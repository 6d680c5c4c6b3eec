//! How soon the first event of an event stream is there, which goes on after it.

use super::{Round, micros, percentile};
use crate::bench::client::Connection;
use crate::bench::figure::Figure;
use crate::bench::peer::Kind;
use std::time::Instant;

pub const FIRST: Figure = Figure::new("first SSE event µs", Kind::Direct);

pub const FIGURES: &[Figure] = &[FIRST];

/// Streams of one round.
const STREAMS: usize = 10;

pub async fn measure(round: &mut Round<'_>, connection: &mut Connection) -> anyhow::Result<()> {
    let mut took = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let began = Instant::now();
        let mut after = f64::NAN;
        connection
            .first_piece("/events", || after = micros(began.elapsed()))
            .await?;
        took.push(after);
    }
    round.record(FIRST, percentile(&mut took, 0.5));
    Ok(())
}
