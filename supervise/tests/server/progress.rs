//! A call that waits hears of it again and again. In this process, where the clock of that can be set.

use std::time::Duration;

use guard::event_log::EventLog;
use guard::listen::ListenAddress;
use serde_json::json;
use supervise::service::{Options, Service};
use tokio_util::sync::CancellationToken;

use crate::served::{Era, ask, call, post_to};

#[test]
fn while_nobody_decides_the_client_is_told_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for part in ["proposals", "responses", "run"] {
        fs_err::create_dir(path(part)).unwrap();
    }
    let listen: ListenAddress = format!("unix:{}", path("door.sock").display()).parse().unwrap();
    let options = Options {
        proposals: path("proposals"),
        responses: path("responses"),
        run: path("run"),
        egress: path("egress.sock"),
        listen: vec![listen],
        launch_nonce: "n-0011".parse().unwrap(),
        progress_every: Duration::from_millis(20),
    };
    let shutdown = CancellationToken::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = {
        let _inside = runtime.enter();
        Service::open(options, EventLog::none().0, shutdown.clone()).unwrap()
    };
    let serving = runtime.spawn(service.serve());
    for era in [Era::Legacy, Era::Modern] {
        let message = call(
            era,
            "egress-block",
            ask("a.example"),
            json!({"progressToken": "t"}),
        );
        let body = message.to_string();
        let mut answer = post_to(&path("door.sock"), era, &[], &message, body.as_bytes());
        let told: Vec<f64> = (0..4)
            .map(|_| answer.message()["params"]["progress"].as_f64().unwrap())
            .collect();
        assert_eq!(told, [1.0, 2.0, 3.0, 4.0]);
    }
    shutdown.cancel();
    runtime.block_on(serving).unwrap();
    assert_eq!(supervise::server::PROGRESS_EVERY, Duration::from_secs(20));
}
