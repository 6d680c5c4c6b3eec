//! Without a seat: straight to public addresses, and to nothing else.

use contract::DenialReason;

use crate::agent::{EVERY_WAY, get};
use crate::bottle::Bottle;

#[tokio::test]
async fn a_name_that_resolves_to_this_machine_is_not_dialled() {
    let bottle = Bottle::start_direct("- {host: localhost}\n");
    for way in EVERY_WAY {
        let got = bottle.send(way, &get("localhost", "/x")).await;
        assert_eq!(
            (got.status.as_u16(), got.denial().reason),
            (403, DenialReason::AddressNotAllowed),
            "{way:?}"
        );
    }
}
