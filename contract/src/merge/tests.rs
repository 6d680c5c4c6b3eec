use super::*;
use crate::RequestLine;
use crate::testing::{ask, table};
use proptest::prelude::*;

fn parse(routes: &str) -> RouteTable {
    RouteTable::parse(format!("schema_version: 1\ngeneration: 1\nroutes:\n{routes}").as_bytes()).unwrap()
}

fn asked(host: &str, paths: &[&str], methods: &[&str]) -> RouteAsk {
    RouteAsk {
        host: host.parse().unwrap(),
        path_allowlist: paths.iter().map(|path| path.parse().unwrap()).collect(),
        methods: methods.iter().map(|method| method.parse().unwrap()).collect(),
        auth: None,
    }
}

fn with_auth(mut ask: RouteAsk, token_ref: &str) -> RouteAsk {
    ask.auth = Some(AskedAuth {
        scheme: AuthScheme::Bearer,
        token_ref: token_ref.parse().unwrap(),
    });
    ask
}

#[test]
fn a_new_host_is_appended() {
    let merged = parse("- host: a.example\n")
        .merge(&asked("b.example", &["/x/"], &["GET"]))
        .unwrap();
    assert_eq!(merged.change, Change::Appended);
    assert_eq!(
        merged.table,
        parse("- host: a.example\n- host: b.example\n  path_allowlist: [/x/]\n  methods: [GET]\n")
    );
}

#[test]
fn new_paths_and_methods_come_after_the_old_without_repeats() {
    let before = parse("- host: a.example\n  path_allowlist: [/x/, /y/]\n  methods: [GET]\n");
    let merged = before
        .merge(&asked("a.example", &["/y/", "/z/"], &["POST", "GET"]))
        .unwrap();
    assert_eq!(merged.change, Change::Widened);
    assert_eq!(
        merged.table,
        parse("- host: a.example\n  path_allowlist: [/x/, /y/, /z/]\n  methods: [GET, POST]\n")
    );
}

#[test]
fn an_unfiltered_route_stays_unfiltered() {
    let before = parse("- host: a.example\n");
    let merged = before.merge(&asked("a.example", &["/x/"], &["GET"])).unwrap();
    assert_eq!((merged.change, merged.table), (Change::Unchanged, before));
}

#[test]
fn a_filtered_route_never_becomes_unfiltered() {
    let before = parse("- host: a.example\n  path_allowlist: [/x/]\n  methods: [GET]\n");
    let merged = before.merge(&asked("a.example", &[], &[])).unwrap();
    assert_eq!((merged.change, merged.table), (Change::Unchanged, before));
}

#[test]
fn the_auth_of_a_known_host_is_left_alone() {
    let before =
        parse("- host: a.example\n  auth: {scheme: Basic, token_ref: OLD, token_env: EGRESS_TOKEN_0}\n");
    let merged = before
        .merge(&with_auth(asked("a.example", &[], &[]), "NEW"))
        .unwrap();
    assert!(merged.ignored_auth);
    assert_eq!((merged.new_slot, merged.table), (None, before));
}

#[test]
fn new_auth_takes_the_next_free_slot_and_a_known_token_its_own() {
    let before =
        parse("- host: a.example\n  auth: {scheme: Basic, token_ref: OLD, token_env: EGRESS_TOKEN_3}\n");
    let fresh = before
        .merge(&with_auth(asked("b.example", &[], &[]), "NEW"))
        .unwrap();
    assert_eq!(fresh.new_slot, Some(TokenSlot::new(4)));
    let known = before
        .merge(&with_auth(asked("b.example", &[], &[]), "OLD"))
        .unwrap();
    assert_eq!(known.new_slot, None);
    assert_eq!(
        known.table.slot_of(&"OLD".parse().unwrap()),
        Some(TokenSlot::new(3))
    );
}

#[test]
fn a_grant_lies_beside_the_lasting_route_and_carries_its_credential() {
    let before = parse(
        "- host: a.example\n  path_allowlist: [/x/]\n  auth: {scheme: Basic, token_ref: T, token_env: EGRESS_TOKEN_0}\n",
    );
    let grant = Grant {
        grant_id: "g-0001".parse().unwrap(),
        expires_at: None,
        once: true,
    };
    let merged = before
        .merge_grant(&asked("a.example", &["/y/"], &[]), grant.clone())
        .unwrap();
    let [lasting, granted] = merged.table.routes() else {
        panic!("{:?}", merged.table)
    };
    assert_eq!(lasting, before.lasting(&"a.example".parse().unwrap()).unwrap());
    assert_eq!(
        (granted.auth.clone(), granted.grant.clone()),
        (lasting.auth.clone(), Some(grant))
    );
    assert_eq!(granted.path_allowlist, Some(vec!["/y/".parse().unwrap()]));
}

#[test]
fn what_a_proposal_added_is_written_down_and_goes_back_to_it_alone() {
    let proposals: [ProposalId; 3] = ["p-0001", "p-0002", "p-0003"].map(|id| id.parse().unwrap());
    let merged = |table: RouteTable, at: usize, ask| {
        let merged = table.merge_proposal(&proposals[at], &ask, None);
        merged.unwrap().table
    };
    let table = parse("- host: a.example\n  path_allowlist: [/x/]\n  methods: [GET]\n");
    let table = merged(table, 0, asked("a.example", &["/y/"], &["GET"]));
    let table = merged(table, 1, asked("a.example", &["/y/"], &["POST"]));
    let table = merged(table, 2, asked("b.example", &["/z/"], &[]));
    let again = merged(table.clone(), 2, asked("b.example", &["/z/"], &[]));
    assert_eq!(again, table, "the same once more adds nothing");
    for (host, method, path, proposal) in [
        ("a.example", "GET", "/x/1", None),
        ("a.example", "GET", "/y/1", Some(0)),
        ("a.example", "POST", "/x/1", Some(1)),
        ("a.example", "POST", "/y/1", Some(1)),
        ("b.example", "GET", "/z/1", Some(2)),
    ] {
        let host = host.parse().unwrap();
        let request = RequestLine {
            host: &host,
            method,
            path: path.as_bytes(),
        };
        let route = table.decide(request, |_| true).unwrap();
        let expected = proposal.map(|at: usize| &proposals[at]);
        assert_eq!(route.proposal_of(request), expected, "{method} {path}");
    }
    let text = table.render().unwrap();
    assert_eq!(RouteTable::parse(text.as_bytes()).unwrap(), table);
}

#[test]
fn a_grant_names_its_proposal_and_leaves_the_lasting_route_alone() {
    let proposal: ProposalId = "p-0001".parse().unwrap();
    let before = parse("- host: a.example\n  path_allowlist: [/x/]\n");
    let grant = Grant {
        grant_id: proposal.grant(),
        expires_at: None,
        once: true,
    };
    let merged = before
        .merge_proposal(&proposal, &asked("a.example", &["/y/"], &[]), Some(grant))
        .unwrap();
    let [lasting, granted] = merged.table.routes() else {
        panic!("{:?}", merged.table)
    };
    assert_eq!(lasting.added_by, []);
    assert_eq!(granted.added_by[0].proposal_id, proposal);
    assert_eq!(proposal.grant().proposal(), proposal);
}

/// Requests that tell apart what small tables admit.
fn probes(host: &HostName) -> Vec<(HostName, &'static str, &'static str)> {
    let mut probes = Vec::new();
    for method in ["GET", "POST", "DELETE"] {
        for path in ["/", "/a/x", "/b/x", "/c/x"] {
            probes.push((host.clone(), method, path));
        }
    }
    probes
}

fn admits(table: &RouteTable, host: &HostName, method: &str, path: &str) -> bool {
    table
        .decide(
            RequestLine {
                host,
                method,
                path: path.as_bytes(),
            },
            |_| true,
        )
        .is_ok()
}

proptest! {
    #[test]
    fn a_merge_takes_nothing_away(table in table(), ask in ask()) {
        let merged = table.merge(&ask).unwrap().table;
        for route in table.routes() {
            for (host, method, path) in probes(&route.host) {
                if admits(&table, &host, method, path) {
                    prop_assert!(admits(&merged, &host, method, path));
                }
            }
        }
    }

    #[test]
    fn a_merge_touches_no_other_host(table in table(), ask in ask()) {
        let merged = table.merge(&ask).unwrap().table;
        for route in table.routes().iter().filter(|route| route.host != ask.host) {
            prop_assert!(merged.routes().contains(route));
        }
        let others = |table: &RouteTable| table.routes().iter().filter(|route| route.host != ask.host).count();
        prop_assert_eq!(others(&table), others(&merged));
    }

    #[test]
    fn merging_twice_is_merging_once(table in table(), ask in ask()) {
        let once = table.merge(&ask).unwrap().table;
        let twice = once.merge(&ask).unwrap();
        prop_assert_eq!(twice.change, Change::Unchanged);
        prop_assert_eq!(twice.table, once);
    }

    #[test]
    fn a_filter_of_a_lasting_route_is_never_dropped(table in table(), ask in ask()) {
        let merged = table.merge(&ask).unwrap().table;
        if let (Some(before), Some(after)) = (table.lasting(&ask.host), merged.lasting(&ask.host)) {
            prop_assert_eq!(before.path_allowlist.is_some(), after.path_allowlist.is_some());
            prop_assert_eq!(before.methods.is_some(), after.methods.is_some());
            prop_assert_eq!(&before.auth, &after.auth);
        }
    }

    #[test]
    fn a_slot_is_never_renumbered(table in table(), ask in ask()) {
        let merged = table.merge(&ask).unwrap().table;
        for route in table.routes() {
            if let Some(auth) = &route.auth {
                prop_assert_eq!(merged.slot_of(&auth.token_ref), Some(auth.token_env));
            }
        }
    }
}
