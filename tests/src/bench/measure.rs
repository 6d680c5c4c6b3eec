//! The measures, each bounded in count.

use crate::bench::client::{Client, Connection};
use crate::bench::origin::LARGE;
use crate::bench::peer::{Kind, Peer};
use crate::bench::{Extent, Files, NEW_HOSTS, WARM, WITH_AUTH, new_host};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Figures by name, in the order of [`crate::bench::report::FIGURES`].
pub type Figures = BTreeMap<&'static str, f64>;

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// One round of every measure with one peer, which is started for it and ended after it.
pub async fn round(kind: Kind, files: &Files, extent: &Extent, round: usize) -> anyhow::Result<Figures> {
    let peer = Peer::start(kind, files, extent.rounds)?;
    let client = Client::new(peer.address, files)?;
    let mut figures = Figures::new();
    if peer.address.is_some() {
        figures.insert("start ms", micros(peer.start) / 1e3);
        figures.insert("RSS idle MiB", mib(peer.memory().0));
    }
    let mut connection = client.connect(WARM).await?;
    for _ in 0..200 / kind.slowness() {
        connection.get("/").await?;
    }
    latency(
        &mut connection,
        extent.requests / 4 / kind.slowness(),
        &mut figures,
    )
    .await?;
    new_connections(&client, kind, round, &mut figures).await?;
    for (connections, name) in [(16, "req/s c=16"), (64, "req/s c=64")] {
        let before = peer.cpu();
        let rate = throughput(&client, connections, extent.requests / kind.slowness(), WARM).await?;
        figures.insert(name, rate.per_second);
        if connections == 16 && peer.address.is_some() {
            figures.insert(
                "CPU µs/req c=16",
                micros(peer.cpu().saturating_sub(before)) / rate.requests,
            );
        }
    }
    if matches!(kind, Kind::Egress) {
        let before = peer.cpu();
        let rate = throughput(&client, 16, extent.requests, WITH_AUTH).await?;
        figures.insert(
            "CPU µs/req c=16, auth",
            micros(peer.cpu().saturating_sub(before)) / rate.requests,
        );
    }
    first_event(&mut connection, &mut figures).await?;
    large(&mut connection, "down MiB/s", "up MiB/s", &mut figures).await?;
    if matches!(kind, Kind::Egress | Kind::EgressShim) {
        large(
            &mut client.connect(WITH_AUTH).await?,
            "down MiB/s, auth",
            "up MiB/s, auth",
            &mut figures,
        )
        .await?;
    }
    if peer.address.is_some() {
        figures.insert("RSS peak MiB", mib(peer.memory().1));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "kibibytes of memory")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

async fn latency(connection: &mut Connection, requests: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let mut took = Vec::with_capacity(requests);
    let began = Instant::now();
    for _ in 0..requests {
        let sent = Instant::now();
        connection.get("/").await?;
        took.push(micros(sent.elapsed()));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    figures.insert("req/s c=1", requests as f64 / began.elapsed().as_secs_f64());
    took.sort_by(f64::total_cmp);
    figures.insert("p50 µs c=1", percentile(&took, 0.5));
    figures.insert("p99 µs c=1", percentile(&took, 0.99));
    Ok(())
}

async fn new_connections(
    client: &Client,
    kind: Kind,
    round: usize,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let mut warm = Vec::new();
    for _ in 0..100 / kind.slowness().min(4) {
        let began = Instant::now();
        client.connect(WARM).await?.get("/").await?;
        warm.push(micros(began.elapsed()));
    }
    warm.sort_by(f64::total_cmp);
    figures.insert("new connection p50 µs", percentile(&warm, 0.5));
    let mut fresh = Vec::new();
    for number in 0..NEW_HOSTS {
        let began = Instant::now();
        client.connect(&new_host(round, number)).await?.get("/").await?;
        fresh.push(micros(began.elapsed()));
    }
    fresh.sort_by(f64::total_cmp);
    figures.insert("new host p50 µs", percentile(&fresh, 0.5));
    Ok(())
}

struct Rate {
    requests: f64,
    per_second: f64,
}

/// `connections` kept-alive connections share `requests` requests evenly.
async fn throughput(
    client: &Client,
    connections: usize,
    requests: usize,
    host: &str,
) -> anyhow::Result<Rate> {
    let each = (requests / connections).max(1);
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut connection = client.connect(host).await?;
        connection.get("/").await?;
        open.push(connection);
    }
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
    Ok(Rate {
        requests,
        per_second: requests / began.elapsed().as_secs_f64(),
    })
}

async fn first_event(connection: &mut Connection, figures: &mut Figures) -> anyhow::Result<()> {
    let mut took = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let mut after = f64::NAN;
        connection
            .first_piece("/events", || after = micros(began.elapsed()))
            .await?;
        took.push(after);
    }
    took.sort_by(f64::total_cmp);
    figures.insert("first SSE event µs", percentile(&took, 0.5));
    Ok(())
}

async fn large(
    connection: &mut Connection,
    down: &'static str,
    up: &'static str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    const MIB: f64 = 64.0;
    let began = Instant::now();
    let came = connection.get("/down").await?;
    anyhow::ensure!(came == LARGE, "{came} bytes came instead of {LARGE}");
    figures.insert(down, MIB / began.elapsed().as_secs_f64());
    let began = Instant::now();
    connection.post("/up", LARGE).await?;
    figures.insert(up, MIB / began.elapsed().as_secs_f64());
    Ok(())
}
