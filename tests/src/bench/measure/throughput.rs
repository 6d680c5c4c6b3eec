//! Many kept-alive connections at once: requests per second, and what one costs the proxy.

use super::{Round, micros};
use crate::bench::client::{Client, Connection};
use crate::bench::figure::Figure;
use crate::bench::peer::Kind;
use crate::bench::{WARM, WITH_AUTH};
use std::time::{Duration, Instant};

/// On one connection, one request after the other; [`super::latency`] takes it.
pub const ONE: Figure = Figure::new("req/s c=1", Kind::Tunnel);
/// On 16 connections.
pub const SIXTEEN: Figure = Figure::new("req/s c=16", Kind::Tunnel);
/// On 64 connections.
pub const SIXTY_FOUR: Figure = Figure::new("req/s c=64", Kind::Tunnel);
/// Of the proxy's processes together, once their connections are open.
pub const CPU: Figure = Figure::new("CPU µs/req c=16", Kind::Hudsucker);
/// The same on a route where a credential goes in and the answer is looked through for it.
pub const CPU_WITH_AUTH: Figure = Figure::new("CPU µs/req c=16, auth", Kind::Hudsucker);
/// What of [`CPU`] is the shim's.
pub const CPU_OF_SHIM: Figure = Figure::new("of which the shim", Kind::Hudsucker);

pub const FIGURES: &[Figure] = &[ONE, SIXTEEN, SIXTY_FOUR, CPU, CPU_WITH_AUTH, CPU_OF_SHIM];

struct Load {
    per_second: f64,
    /// CPU time of each of the proxy's processes per request, µs.
    cpu: Vec<f64>,
}

pub async fn measure(round: &mut Round<'_>) -> anyhow::Result<()> {
    let sixteen = load(round, 16, WARM).await?;
    round.record(SIXTEEN, sixteen.per_second);
    if round.peer.address.is_some() {
        round.record(CPU, sixteen.cpu.iter().sum());
    }
    if let (Kind::EgressShim, Some(shim)) = (round.kind(), sixteen.cpu.last()) {
        round.record(CPU_OF_SHIM, *shim);
    }
    let sixty_four = load(round, 64, WARM).await?;
    round.record(SIXTY_FOUR, sixty_four.per_second);
    if round.injects() {
        let with_auth = load(round, 16, WITH_AUTH).await?;
        round.record(CPU_WITH_AUTH, with_auth.cpu.iter().sum());
    }
    Ok(())
}

/// `connections` kept-alive connections share the requests evenly.
async fn load(round: &Round<'_>, connections: usize, host: &str) -> anyhow::Result<Load> {
    let each = (round.count(round.extent.requests) / connections).max(1);
    let open = open(round.client, connections, host).await?;
    let before = round.peer.cpu();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        tasks.spawn(async move {
            for _ in 0..each {
                connection.get("/").await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let requests = (each * connections) as f64;
    let per_second = requests / began.elapsed().as_secs_f64();
    let spent = |(after, before): (Duration, Duration)| micros(after.saturating_sub(before)) / requests;
    let cpu = round.peer.cpu().into_iter().zip(before).map(spent).collect();
    Ok(Load { per_second, cpu })
}

/// Each has had one answer.
async fn open(client: &Client, connections: usize, host: &str) -> anyhow::Result<Vec<Connection>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = client.connect(host).await?;
        connection.get("/").await?;
        open.push(connection);
    }
    Ok(open)
}
