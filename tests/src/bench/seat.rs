//! The pipelock seat: what looking at everything costs, alone and behind egress.
//!
//! The figures are those of the seat's bars: what a POST of JSON and a GET take longer than without it, and the CPU of both
//! hops against that of one. Bodies are JSON as an agent sends it: a conversation with source text in it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use pipelock_config::{CredentialKey, Engine, Model, place, render};

use super::client::{Client, Connection};
use super::namespaces::{self, Namespaces};
use super::{Files, WARM, bare, hosts};
use crate::prefix::Prefix;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Direct,
    Egress,
    Seat,
    /// Egress, and the seat behind it.
    Both,
}

const WAYS: [Way; 4] = [Way::Direct, Way::Egress, Way::Seat, Way::Both];
const EGRESS: &str = "127.0.0.1:18080";
const SEAT: &str = "127.0.0.1:18081";

/// A figure: its name, the size of its body, whether it is sent, and by how many milliseconds the seat may lengthen it.
const FIGURES: [(&str, usize, bool, f64); 3] = [
    ("POST JSON 17 KB", 17_000, true, 0.5),
    ("POST JSON 1.1 MB", 1_100_000, true, 10.0),
    ("GET 1 MB", super::origin::MEGABYTE, false, 3.0),
];
/// Both hops may cost so many times the CPU of egress alone.
const BOTH_HOPS: f64 = 2.2;
/// Milliseconds from its start until the seat listens.
const START: f64 = 10.0;

/// One round of one way: median milliseconds of each figure, CPU microseconds per request, milliseconds to start.
struct Round {
    way: Way,
    took: Vec<f64>,
    cpu: f64,
    start: f64,
}

/// Sets up, and runs [`load`] inside the namespace.
pub fn run(rounds: usize) -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the benchmark makes network namespaces, which needs root"
    );
    let prefix = Prefix::find()?;
    let folder = tempfile::tempdir()?;
    Files::write(folder.path())?;
    let namespaces = Namespaces::new(&hosts(0))?;
    let own = std::env::current_exe()?;
    let mut origin = namespaces
        .far(&own)
        .args(["bench-origin", "--listen", &format!("{}:443", namespaces::ORIGIN)])
        .arg("--files")
        .arg(folder.path())
        .stdin(Stdio::null())
        .spawn()?;
    let mut load = namespaces.near(&own);
    load.args(["bench-seat-load", "--rounds", &rounds.to_string(), "--files"])
        .arg(folder.path());
    load.env("BOTTLE_TEST_PREFIX", prefix.path());
    let ended = load.status().context("running the load");
    let _ = origin.kill();
    let _ = origin.wait();
    let status = ended?;
    ensure!(status.success(), "the load ended with {status}");
    Ok(())
}

/// Every way in turn, then again; prints the medians.
pub async fn load(files: &Files, rounds: usize, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    wait_for(&format!("{}:443", namespaces::ORIGIN)).await?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        for way in WAYS {
            let round = tokio::time::timeout(Duration::from_secs(120), round(way, files)).await;
            all.push(round.with_context(|| format!("{way:?} took too long"))??);
        }
    }
    say(&table(&all));
    Ok(())
}

async fn round(way: Way, files: &Files) -> anyhow::Result<Round> {
    let place = tempfile::tempdir()?;
    let mut processes = Vec::new();
    let began = Instant::now();
    if matches!(way, Way::Seat | Way::Both) {
        processes.push(Process::start(seat(place.path(), files)?)?);
        wait_for(SEAT).await?;
    }
    let start = began.elapsed().as_secs_f64() * 1e3;
    if matches!(way, Way::Egress | Way::Both) {
        processes.push(Process::start(egress(place.path(), files, way == Way::Both)?)?);
        wait_for(EGRESS).await?;
    }
    let proxy = match way {
        Way::Direct => None,
        Way::Egress | Way::Both => Some(EGRESS.parse()?),
        Way::Seat => Some(SEAT.parse()?),
    };
    let client = Client::new(proxy, files)?;
    let cpu = cpu_per_request(&client, &processes).await?;
    let mut connection = client.connect(WARM).await?;
    let mut took = Vec::new();
    for (_, bytes, sent, _) in FIGURES {
        took.push(figure(&mut connection, bytes, sent).await?);
    }
    Ok(Round {
        way,
        took,
        cpu,
        start,
    })
}

/// CPU microseconds of all processes for one POST of 1 KiB, on as many connections as keep both cores busy: on fewer, the cost of
/// waking an idle core is what would be compared.
async fn cpu_per_request(client: &Client, processes: &[Process]) -> anyhow::Result<f64> {
    const CONNECTIONS: usize = 16;
    const EACH: u32 = 400;
    let small = conversation(1024);
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = client.connect(WARM).await?;
        for _ in 0..20 {
            connection.post_json("/", small.clone()).await?;
        }
        open.push(connection);
    }
    let spent = || -> Duration {
        processes
            .iter()
            .map(|process| super::peer::cpu(process.0.id()))
            .sum()
    };
    let before = spent();
    let mut tasks = tokio::task::JoinSet::new();
    let mut requests = 0;
    for mut connection in open {
        let small = small.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                connection.post_json("/", small.clone()).await?;
            }
            anyhow::Ok(())
        });
        requests += EACH;
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(spent().saturating_sub(before).as_secs_f64() * 1e6 / f64::from(requests))
}

/// Median milliseconds of one request with a body of so many bytes, up or down.
async fn figure(connection: &mut Connection, bytes: usize, sent: bool) -> anyhow::Result<f64> {
    let body = conversation(bytes);
    let mut took = Vec::new();
    for _ in 0..40 {
        let began = Instant::now();
        if sent {
            connection.post_json("/", body.clone()).await?;
        } else {
            let came = connection.get("/megabyte").await?;
            ensure!(came == bytes, "{came} bytes came instead of {bytes}");
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(median(took))
}

/// JSON as an agent sends it, of about so many bytes.
fn conversation(bytes: usize) -> Bytes {
    let source = include_str!("seat.rs");
    let mut text = String::from("{\"messages\":[");
    while text.len() + 64 < bytes {
        let left = (bytes - text.len()).min(2000);
        let part: String = source.chars().take(left.saturating_sub(64).max(16)).collect();
        let value = serde_json::json!({"role": "user", "content": [{"type": "text", "text": part}]});
        let _ = write!(text, "{value},");
    }
    text.push_str("{}]}");
    Bytes::from(text)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(rounds: &[Round]) -> String {
    let of = |way: Way, value: &dyn Fn(&Round) -> f64| {
        median(
            rounds
                .iter()
                .filter(|round| round.way == way)
                .map(value)
                .collect(),
        )
    };
    let mut text =
        String::from("                        direct   egress     seat     both   added by the seat\n");
    for (index, (name, _, _, most)) in FIGURES.iter().enumerate() {
        let took = |way| {
            of(way, &|round: &Round| {
                round.took.get(index).copied().unwrap_or(f64::NAN)
            })
        };
        let added = took(Way::Seat) - took(Way::Direct);
        let [direct, egress, seat, both] = WAYS.map(took);
        let _ = writeln!(
            text,
            "{name:<20} {direct:>6.2} ms {egress:>6.2} {seat:>8.2} {both:>8.2}   {added:.2} ms, at most {most}: {}",
            met(added <= *most)
        );
    }
    let cpu = |way| of(way, &|round: &Round| round.cpu);
    let ratio = cpu(Way::Both) / cpu(Way::Egress);
    let _ = writeln!(
        text,
        "CPU µs per 1 KiB POST, 16 connections: egress {:.1}, seat {:.1}, both {:.1}: {ratio:.2} times one hop, at most {BOTH_HOPS}: {}",
        cpu(Way::Egress),
        cpu(Way::Seat),
        cpu(Way::Both),
        met(ratio <= BOTH_HOPS)
    );
    let start = of(Way::Seat, &|round: &Round| round.start);
    let _ = write!(
        text,
        "start: {start:.1} ms, at most {START}: {}",
        met(start <= START)
    );
    text
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "MISSED" }
}

/// Ended by the id it was started with.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self(spawned.with_context(|| format!("starting {command:?}"))?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn wait_for(address: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = std::net::TcpStream::connect(address) {
        ensure!(Instant::now() < deadline, "{address} does not listen: {error}");
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}

fn guard(name: &str, place: &Path, files: &Files, listen: &str) -> anyhow::Result<Command> {
    let (config, run) = (place.join(name).join("config"), place.join(name).join("run"));
    fs_err::create_dir_all(&config)?;
    fs_err::create_dir_all(&run)?;
    for (from, to) in [
        ("ca.pem", "ca.pem"),
        ("ca-key.pem", "ca-key.pem"),
        ("upstream-ca.pem", "extra-ca.pem"),
    ] {
        fs_err::copy(files.path(from), config.join(to))?;
    }
    let mut command = bare(&Prefix::find()?.libexec(name));
    command
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg("--run")
        .arg(run);
    command.args(["--listen", listen, "--launch-nonce", "n-benchmark"]);
    Ok(command)
}

fn seat(place: &Path, files: &Files) -> anyhow::Result<Command> {
    let command = guard("dlp", place, files, SEAT)?;
    let model = Model::of_routes(&routes()?, CredentialKey::new([1; 32]), |_| None);
    let rendered = render(&model, Engine::Builtin);
    let config = place.join("dlp/config");
    fs_err::write(config.join(place::PIPELOCK), rendered.pipelock_yaml)?;
    fs_err::write(config.join(place::DLP), rendered.dlp_yaml.unwrap_or_default())?;
    Ok(command)
}

fn egress(place: &Path, files: &Files, through_seat: bool) -> anyhow::Result<Command> {
    let mut command = guard("egress", place, files, EGRESS)?;
    fs_err::write(place.join("egress/config/routes.yaml"), routes()?.render()?)?;
    if through_seat {
        // Both sign with one authority here, which costs neither more nor less.
        command
            .args(["--upstream-proxy", SEAT, "--upstream-proxy-ca"])
            .arg(files.path("ca.pem"));
    }
    Ok(command)
}

fn routes() -> anyhow::Result<contract::RouteTable> {
    let text = format!(
        "schema_version: 1\ngeneration: 1\nroutes:\n- {{host: {WARM}, private_cidr: {}}}\n",
        namespaces::ORIGIN_NETWORK
    );
    Ok(contract::RouteTable::parse(text.as_bytes())?)
}
