//! What git itself can show its user of a refusal.

use contract::{Denial, DenialReason};

use crate::agent::{EVERY_WAY, get};
use crate::bottle::Bottle;

const ROUTES: &str = "
- {host: open.example}
- {host: filtered.example, path_allowlist: [/acme/]}
";

#[tokio::test]
async fn git_gets_every_refusal_as_plain_text_and_in_the_common_form() {
    let bottle = Bottle::start(ROUTES);
    for (host, target, reason) in [
        (
            "open.example",
            "/acme/app.git/info/refs?service=git-receive-pack",
            DenialReason::UseGitGate,
        ),
        (
            "filtered.example",
            "/other/app.git/info/refs?service=git-upload-pack",
            DenialReason::PathNotAllowed,
        ),
    ] {
        for way in EVERY_WAY {
            let ask = get(host, target).header("user-agent", "git/2.47.3");
            let got = bottle.send(way, &ask).await;
            assert_eq!(got.status.as_u16(), 403, "{way:?}");
            assert_eq!(
                got.headers["content-type"], "text/plain; charset=utf-8",
                "{way:?}"
            );
            let denial: Denial = serde_json::from_slice(&got.body).unwrap();
            assert_eq!(denial.reason, reason, "{way:?}");
        }
    }
}
