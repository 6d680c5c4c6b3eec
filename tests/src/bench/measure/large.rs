//! Bodies of 64 MiB, each way.

use super::Round;
use crate::bench::WITH_AUTH;
use crate::bench::client::Connection;
use crate::bench::figure::Figure;
use crate::bench::origin::LARGE;
use crate::bench::peer::Kind;
use std::time::Instant;

pub const DOWN: Figure = Figure::new("down MiB/s", Kind::Tunnel);
pub const UP: Figure = Figure::new("up MiB/s", Kind::Tunnel);
/// Where the answer is looked through for the credential.
pub const DOWN_WITH_AUTH: Figure = Figure::new("down MiB/s, auth", Kind::Tunnel);
pub const UP_WITH_AUTH: Figure = Figure::new("up MiB/s, auth", Kind::Tunnel);

pub const FIGURES: &[Figure] = &[DOWN, UP, DOWN_WITH_AUTH, UP_WITH_AUTH];

pub async fn measure(round: &mut Round<'_>, connection: &mut Connection) -> anyhow::Result<()> {
    both_ways(round, connection, DOWN, UP).await?;
    if round.injects() {
        let mut connection = round.client.connect(WITH_AUTH).await?;
        both_ways(round, &mut connection, DOWN_WITH_AUTH, UP_WITH_AUTH).await?;
    }
    Ok(())
}

async fn both_ways(
    round: &mut Round<'_>,
    connection: &mut Connection,
    down: Figure,
    up: Figure,
) -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "64")]
    const MIB: f64 = (LARGE / 1024 / 1024) as f64;
    let began = Instant::now();
    let came = connection.get("/down").await?;
    anyhow::ensure!(came == LARGE, "{came} bytes came instead of {LARGE}");
    round.record(down, MIB / began.elapsed().as_secs_f64());
    let began = Instant::now();
    connection.post("/up", LARGE).await?;
    round.record(up, MIB / began.elapsed().as_secs_f64());
    Ok(())
}
