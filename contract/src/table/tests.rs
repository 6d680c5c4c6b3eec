use super::*;
use crate::testing::{route, table};
use proptest::prelude::*;

fn parse(routes: &str) -> Result<RouteTable, TableError> {
    RouteTable::parse(format!("schema_version: 1\ngeneration: 1\nroutes:\n{routes}").as_bytes())
}

#[test]
fn two_lasting_routes_for_one_host_are_refused() {
    assert_eq!(
        parse("- host: a.example\n- host: A.example.\n").unwrap_err(),
        TableError::TwoRoutes("a.example".parse().unwrap())
    );
}

#[test]
fn unknown_and_duplicate_fields_are_refused() {
    for routes in [
        "- host: a.example\n  hosst: b\n",
        "- host: a.example\n  host: b.example\n",
        "- host: a.example\n  auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0, value: x}\n",
        "- host: a.example\n  once: true\n",
        "- host: a.example\n  grant_id: g-0001\n",
        "- host: a.example\n  methods: []\n",
        "- host: a.example\n  path_allowlist: []\n",
        "- host: a.example\n  inspect: maybe\n",
    ] {
        assert!(matches!(parse(routes), Err(TableError::Parse(_))), "{routes}");
    }
}

#[test]
fn a_private_network_is_private() {
    for cidr in [
        "10.1.2.0/24",
        "192.168.0.0/16",
        "172.31.0.7/32",
        "100.64.0.0/10",
        "fd12::/48",
    ] {
        assert!(
            parse(&format!("- host: a.example\n  private_cidr: {cidr}\n")).is_ok(),
            "{cidr}"
        );
    }
    for cidr in [
        "0.0.0.0/0",
        "127.0.0.0/8",
        "169.254.169.254/32",
        "8.8.8.0/24",
        "::/0",
        "fd00:ec2::254/128",
        "100.100.100.200/32",
        "10.0.0.0/7",
        "10.0.0.300/24",
    ] {
        assert!(
            parse(&format!("- host: a.example\n  private_cidr: {cidr}\n")).is_err(),
            "{cidr}"
        );
    }
}

#[test]
fn another_schema_version_is_refused() {
    assert_eq!(
        RouteTable::parse(b"schema_version: 2\ngeneration: 1\nroutes: []\n"),
        Err(TableError::SchemaVersion(2))
    );
}

#[test]
fn one_slot_holds_one_credential() {
    let auth = |host: &str, token: &str| {
        format!("- host: {host}\n  auth: {{scheme: Bearer, token_ref: {token}, token_env: EGRESS_TOKEN_0}}\n")
    };
    assert!(parse(&(auth("a.example", "A") + &auth("b.example", "A"))).is_ok());
    assert_eq!(
        parse(&(auth("a.example", "A") + &auth("b.example", "B"))),
        Err(TableError::SlotShared(TokenSlot::new(0)))
    );
}

#[test]
fn the_golden_table_reads_and_writes_itself() {
    let golden = include_str!("../../golden/routes.yaml");
    assert_eq!(
        RouteTable::parse(golden.as_bytes()).unwrap().render().unwrap(),
        golden
    );
}

#[test]
fn what_is_in_force_has_one_hash_whatever_the_layout() {
    let plain = parse("- host: a.example\n  methods: [GET]\n").unwrap();
    let other = parse("# a comment\n- {methods: [get], host: A.EXAMPLE}\n").unwrap();
    assert_eq!(plain.effective_sha256(), other.effective_sha256());
    let wider = parse("- host: a.example\n").unwrap();
    assert_ne!(plain.effective_sha256(), wider.effective_sha256());
}

proptest! {
    #[test]
    fn parse_of_render_is_the_identity(table in table()) {
        prop_assert_eq!(RouteTable::parse(table.render().unwrap().as_bytes()).unwrap(), table);
    }

    #[test]
    fn json_of_a_route_reads_back(route in route()) {
        let json = serde_json::to_string(&route).unwrap();
        prop_assert_eq!(serde_json::from_str::<crate::Route>(&json).unwrap(), route);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = RouteTable::parse(&bytes);
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[-a-z:{}\\[\\]&*!|>'\"%@` \n#0-9?,]{0,200}") {
        let _ = RouteTable::parse(text.as_bytes());
    }
}

#[test]
fn a_hosts_routes_come_lasting_first() {
    let table = RouteTable::parse(
        b"schema_version: 1
generation: 1
routes:
- {host: a.example, grant_id: g-0001, once: true}
- {host: b.example}
- {host: a.example, methods: [GET]}
- {host: a.example, grant_id: g-0002, once: true}
",
    )
    .unwrap();
    let host = "a.example".parse().unwrap();
    let grants: Vec<Option<String>> = table
        .routes_of(&host)
        .map(|route| route.grant.as_ref().map(|grant| grant.grant_id.to_string()))
        .collect();
    assert_eq!(
        grants,
        [None, Some("g-0001".to_owned()), Some("g-0002".to_owned())]
    );
    assert_eq!(table.routes_of(&"c.example".parse().unwrap()).count(), 0);
    assert_eq!(table.known_host("a.example"), Some(&host));
    assert_eq!(table.known_host("c.example"), None);
    for (at, route) in table.routes().iter().enumerate() {
        assert_eq!(table.position(route), Some(at));
    }
    assert_eq!(table.position(&table.routes()[0].clone()), None);
}
