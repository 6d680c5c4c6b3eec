//! The demo, and the fixture upstream as a program that can run in a container of its own.

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
        What::Upstream {
            https,
            http,
            certificate,
            key,
        } => upstream(https, http, &certificate, &key).map(|()| true),
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

#[tokio::main(flavor = "current_thread")]
async fn upstream(https: SocketAddr, http: SocketAddr, certificate: &Path, key: &Path) -> anyhow::Result<()> {
    let tls = server_config(certificate, key)?;
    serve(Settings { https, http, tls }).await
}
