//! A guard in this process, its seat beside it, and what it logged.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::guard::event_log::EventLog;
use contract::AccessEvent;
use contract::place::config::{CA_CERTIFICATE, CA_KEY, EXTRA_CA, ROUTES};
use egress::credential::CredentialStore;
use egress::service::{Options, Service};
use egress::upstream::WayOut;
use mitm::{Limits, ListenAddress, ProxyAddress};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent::{Ask, Connection, Got, Way};
use crate::seat::{self, Seat};

/// What egress injects in these tests.
pub(crate) const TOKEN: &str = "live-Zk3vR8pQ2wX7tB5n";

pub(crate) struct Bottle {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) seat: Seat,
    pub(crate) socket: PathBuf,
    pub(crate) authority: String,
    log: Log,
    shutdown: CancellationToken,
}

/// Collects log lines, and wakes whoever waits for one.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    more: Arc<Notify>,
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().extend_from_slice(bytes);
        self.more.notify_waiters();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Routes with a header line before them.
pub(crate) fn table(generation: u64, routes: &str) -> String {
    format!("schema_version: 1\ngeneration: {generation}\nroutes:\n{routes}")
}

/// Config and run directories for a guard.
pub(crate) fn lay_out(directory: &std::path::Path, routes: &str) -> String {
    let config = directory.join("config");
    fs_err::create_dir(&config).unwrap();
    fs_err::create_dir(directory.join("run")).unwrap();
    let (_, certificate, key) = seat::authority("the bottle");
    fs_err::write(config.join(ROUTES), table(1, routes)).unwrap();
    fs_err::write(config.join(CA_CERTIFICATE), &certificate).unwrap();
    fs_err::write(config.join(CA_KEY), key).unwrap();
    certificate
}

impl Bottle {
    pub(crate) fn start(routes: &str) -> Self {
        Self::start_with(routes, false)
    }

    pub(crate) fn start_with(routes: &str, supervise: bool) -> Self {
        let mut bottle = Self::lay_out(routes);
        bottle.run(supervise, bottle.through_seat());
        bottle
    }

    pub(crate) fn start_direct(routes: &str) -> Self {
        let mut bottle = Self::lay_out(routes);
        let own_networks = mitm::interface_networks().unwrap();
        bottle.run(false, WayOut::Direct { own_networks });
        bottle
    }

    fn through_seat(&self) -> WayOut {
        WayOut::Seat {
            address: ProxyAddress::Unix(self.seat.socket.clone()),
            authorities: self.seat.authority.clone(),
        }
    }

    fn lay_out(routes: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = lay_out(directory.path(), routes);
        let seat = Seat::start(directory.path());
        fs_err::write(
            directory.path().join("config").join(EXTRA_CA),
            &seat.upstream_authority,
        )
        .unwrap();
        Self {
            socket: directory.path().join("door.sock"),
            directory,
            seat,
            authority,
            log: Log::default(),
            shutdown: CancellationToken::new(),
        }
    }

    fn run(&mut self, supervise: bool, way_out: WayOut) {
        let (log, _writer) = EventLog::to(self.log.clone(), CancellationToken::new()).unwrap();
        let credentials = CredentialStore::from_variables([
            ("EGRESS_TOKEN_0".into(), TOKEN.into()),
            ("EGRESS_TOKEN_1".into(), format!("deploy:{TOKEN}-basic").into()),
        ]);
        let options = Options {
            config: self.directory.path().join("config"),
            run: self.directory.path().join("run"),
            listen: ListenAddress::Unix {
                path: self.socket.clone(),
                mode: 0o600,
            },
            launch_nonce: "n-0001".parse().unwrap(),
            supervise,
            way_out,
            limits: Limits::default(),
        };
        let service = Service::open(options, credentials, log).unwrap();
        self.shutdown = CancellationToken::new();
        tokio::spawn(service.serve(self.shutdown.clone()));
    }

    /// The same bottle with a new guard, as after a crash.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.cancel();
        while self.socket.exists() {
            tokio::task::yield_now().await;
        }
        self.run(false, self.through_seat());
    }

    pub(crate) async fn send(&self, way: Way, ask: &Ask) -> Got {
        match Connection::open(&self.socket, &self.authority, way, &ask.host).await {
            Ok(mut connection) => connection.send(ask).await,
            Err(refused) => *refused,
        }
    }

    /// The access events, once there are so many.
    pub(crate) async fn events(&self, count: usize) -> Vec<AccessEvent> {
        let enough = async {
            loop {
                let more = self.log.more.notified();
                let events = self.logged();
                if events.len() >= count {
                    return events;
                }
                more.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .unwrap_or_else(|_| panic!("no {count} events: {:#?}", self.logged()))
    }

    fn logged(&self) -> Vec<AccessEvent> {
        self.log_text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn log_text(&self) -> String {
        String::from_utf8(self.log.text.lock().clone()).unwrap()
    }

    /// Writes routes as the launcher does, and waits until the guard has acknowledged them.
    pub(crate) async fn write_routes(&self, text: &str) -> contract::Applied {
        ::guard::durable::replace(&self.directory.path().join("config"), ROUTES, text.as_bytes()).unwrap();
        let sha256 = contract::Sha256Hex::of(text.as_bytes());
        let acknowledged = async {
            loop {
                let applied = self.applied();
                if applied.file_sha256 == sha256 {
                    return applied;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), acknowledged)
            .await
            .expect("the guard acknowledges what it read")
    }

    /// Whether the use of a single-use grant is on disk.
    pub(crate) fn spent(&self) -> bool {
        let ledger = fs_err::read(self.directory.path().join("run/grants.json")).unwrap();
        let ledger: contract::GrantLedger = serde_json::from_slice(&ledger).unwrap();
        ledger.grants.iter().any(|record| record.end.is_some())
    }

    pub(crate) fn applied(&self) -> contract::Applied {
        let path = self.directory.path().join("run/applied.json");
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    }
}

impl Drop for Bottle {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
