//! The demo, and the fixture upstream as a program that can run in a container of its own.

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use system_tests::bench::{self, Extent, Files};
use system_tests::upstream::{Settings, serve, server_config};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Bring up a real bottle and try what an agent would try
    Demo,
    /// The real Claude Code asks in a real bottle, with a scripted model (installs it from npm)
    Claude {
        /// Certificates that the image's build trusts besides the public ones, PEM
        #[arg(long)]
        extra_ca: Option<PathBuf>,
    },
    /// Compare the proxies, side by side in one run (needs root)
    Bench {
        /// Interleaved rounds; the median of them is reported
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Requests of one throughput measure
        #[arg(long, default_value_t = 20_000)]
        requests: usize,
        /// Only this peer; may be given several times
        #[arg(long)]
        only: Vec<String>,
        /// Where the figures go as JSON
        #[arg(long)]
        results: PathBuf,
    },
    /// How long an approval takes to be enforced, and what waiting costs (needs an engine)
    BenchAsking {
        /// Approvals
        #[arg(long, default_value_t = 100)]
        approvals: usize,
        /// Where the figures go as JSON
        #[arg(long)]
        results: PathBuf,
    },
    /// What the pipelock seat costs, alone and behind egress (needs root)
    BenchSeat {
        /// Interleaved rounds; the median of them is reported
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// Pushes and clones through git-gate, beside the same without it
    BenchGit {
        /// Interleaved rounds
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Pushes of one commit in each round, on every way
        #[arg(long, default_value_t = 10)]
        pushes: usize,
        /// Files of the one large push
        #[arg(long, default_value_t = 100_000)]
        objects: usize,
        /// Where the figures go as JSON
        #[arg(long)]
        results: PathBuf,
    },
    /// Its load, inside its namespace
    #[command(hide = true)]
    BenchSeatLoad {
        #[arg(long)]
        files: PathBuf,
        #[arg(long)]
        rounds: usize,
    },
    /// The benchmark's load, inside its namespace
    #[command(hide = true)]
    BenchLoad {
        #[arg(long)]
        files: PathBuf,
        #[arg(long)]
        rounds: usize,
        #[arg(long)]
        requests: usize,
        #[arg(long)]
        only: Vec<String>,
        #[arg(long)]
        results: PathBuf,
    },
    /// The benchmark's origin
    #[command(hide = true)]
    BenchOrigin {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        files: PathBuf,
    },
    /// The benchmark's blind tunnel
    #[command(hide = true)]
    BenchTunnel {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Stand in for the real pipelock, as `run` of its image
    Pipelock {
        /// Its configuration
        #[arg(short, long)]
        config: PathBuf,
        /// Where it listens
        #[arg(short, long, default_value = "0.0.0.0:8888")]
        listen: SocketAddr,
    },
    /// Serve the fixture internet
    Upstream {
        /// TLS listener
        #[arg(long, default_value = "0.0.0.0:443")]
        https: SocketAddr,
        /// Plain listener
        #[arg(long, default_value = "0.0.0.0:80")]
        http: SocketAddr,
        /// Certificate chain, PEM
        #[arg(long)]
        certificate: PathBuf,
        /// Private key, PEM
        #[arg(long)]
        key: PathBuf,
    },
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program's one place of output"
)]
fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Demo => system_tests::demo::run(&mut |line| println!("{line}")),
        What::Claude { extra_ca } => {
            system_tests::claude::run(extra_ca.as_deref(), &mut |line| println!("{line}"))
        }
        What::Bench {
            rounds,
            requests,
            only,
            results,
        } => bench::run(
            &Extent {
                rounds,
                requests,
                only,
            },
            &results,
        )
        .map(|()| true),
        What::BenchLoad {
            files,
            rounds,
            requests,
            only,
            results,
        } => {
            let extent = Extent {
                rounds,
                requests,
                only,
            };
            let mut say = |line: &str| println!("{line}");
            block_on(bench::load(&Files::at(&files), &extent, &results, &mut say)).map(|()| true)
        }
        What::BenchAsking { approvals, results } => {
            bench::asking::run(approvals, &results, &mut |line| println!("{line}")).map(|()| true)
        }
        What::BenchSeat { rounds } => bench::seat::run(rounds).map(|()| true),
        What::BenchGit {
            rounds,
            pushes,
            objects,
            results,
        } => {
            let extent = bench::git::Extent {
                rounds,
                pushes,
                objects,
            };
            bench::git::run(&extent, &results, &mut |line| println!("{line}")).map(|()| true)
        }
        What::BenchSeatLoad { files, rounds } => {
            let mut say = |line: &str| println!("{line}");
            block_on(bench::seat::load(&Files::at(&files), rounds, &mut say)).map(|()| true)
        }
        What::BenchOrigin { listen, files } => {
            block_on(bench::origin::serve(listen, &Files::at(&files))).map(|()| true)
        }
        What::BenchTunnel { listen } => block_on(bench::tunnel::serve(listen)).map(|()| true),
        What::Pipelock { config, listen } => block_on(system_tests::pipelock::run(
            &config,
            mitm::ListenAddress::Tcp(listen),
        ))
        .map(|()| true),
        What::Upstream {
            https,
            http,
            certificate,
            key,
        } => block_on(upstream(https, http, &certificate, &key)).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn upstream(https: SocketAddr, http: SocketAddr, certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let tls = server_config(certificate, key)?;
    serve(Settings { https, http, tls }).await
}

/// Two workers, as every peer has.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(future)
}
