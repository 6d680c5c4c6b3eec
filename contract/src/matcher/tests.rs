use crate::{Grant, HostName, Refusal, RequestLine, Route, RouteTable};

fn table(yaml: &str) -> RouteTable {
    RouteTable::parse(format!("schema_version: 1\ngeneration: 1\nroutes:\n{yaml}").as_bytes()).unwrap()
}

fn decide<'t>(table: &'t RouteTable, host: &str, method: &str, path: &str) -> Result<&'t Route, Refusal> {
    let host: HostName = host.parse().unwrap();
    table.decide(
        RequestLine {
            host: &host,
            method,
            path: path.as_bytes(),
        },
        |_| true,
    )
}

const FILTERED: &str = "
- host: api.github.com
  path_allowlist: [/repos/acme/, /user]
  methods: [GET, POST]
- host: docs.rs
- host: registry.example
  path_allowlist: ['/@acme/']
";

#[test]
fn host_then_method_then_path() {
    let table = table(FILTERED);
    assert!(matches!(
        decide(&table, "evil.com", "DELETE", "/x"),
        Err(Refusal::Host(_))
    ));
    assert!(matches!(
        decide(&table, "api.github.com", "DELETE", "/x"),
        Err(Refusal::Method { .. })
    ));
    assert!(matches!(
        decide(&table, "api.github.com", "GET", "/x"),
        Err(Refusal::Path { .. })
    ));
    assert!(decide(&table, "api.github.com", "GET", "/repos/acme/app").is_ok());
    assert!(decide(&table, "api.github.com", "GET", "/user").is_ok());
    assert!(decide(&table, "docs.rs", "DELETE", "/anything").is_ok());
}

#[test]
fn methods_are_case_sensitive() {
    assert!(matches!(
        decide(&table(FILTERED), "api.github.com", "get", "/user"),
        Err(Refusal::Method { .. })
    ));
}

#[test]
fn neighbours_of_an_allowed_host_are_not_allowed() {
    let table = table(FILTERED);
    for host in ["notdocs.rs", "docs.rs.evil.com", "a.docs.rs", "rs", "docs-rs"] {
        assert!(
            matches!(decide(&table, host, "GET", "/"), Err(Refusal::Host(_))),
            "{host}"
        );
    }
}

#[test]
fn a_path_passes_only_when_every_reading_does() {
    let table = table(FILTERED);
    assert!(decide(&table, "registry.example", "GET", "/@acme%2Fpkg").is_ok());
    assert!(decide(&table, "registry.example", "GET", "/@acme%2fpkg%2f..%2fother").is_ok());
    for path in [
        "/repos/acme/..%2f..%2fevil",
        "/repos/acme/../evil",
        "/repos/acme%2f..%2fevil",
        "/repos/acme/%2e%2e/evil",
        "/repos/acme/..;/evil",
        "/repos/acme\\..\\evil",
        "/repos//acme/app",
        "/x/../repos/acme/app",
        "/repos/acmeevil",
        "/repos/acme",
        "/REPOS/acme/app",
    ] {
        assert!(
            matches!(
                decide(&table, "api.github.com", "GET", path),
                Err(Refusal::Path { .. })
            ),
            "{path}"
        );
    }
}

#[test]
fn malformed_paths_are_refused_on_unfiltered_routes_too() {
    let table = table(FILTERED);
    for path in ["/%00", "/%", "/a%0d%0aHost:%20x", "/\u{1}", "*", "", "no-slash"] {
        assert!(
            matches!(decide(&table, "docs.rs", "GET", path), Err(Refusal::Malformed(_))),
            "{path}"
        );
    }
}

const GRANTED: &str = "
- host: api.github.com
  methods: [GET]
- host: api.github.com
  methods: [POST]
  grant_id: g-00000001
  once: true
- host: new.example
  grant_id: g-00000002
  expires_at: 2026-11-21T10:00:00.000Z
";

#[test]
fn a_lasting_route_is_used_before_a_grant() {
    let table = table(GRANTED);
    assert!(
        decide(&table, "api.github.com", "GET", "/")
            .unwrap()
            .grant
            .is_none()
    );
    let granted = decide(&table, "api.github.com", "POST", "/").unwrap();
    assert_eq!(granted.grant.as_ref().unwrap().grant_id.as_str(), "g-00000001");
}

#[test]
fn an_ended_grant_admits_nothing_and_says_so() {
    let table = table(GRANTED);
    for (host, method) in [("api.github.com", "POST"), ("new.example", "GET")] {
        let host: HostName = host.parse().unwrap();
        let ended = table.decide(
            RequestLine {
                host: &host,
                method,
                path: b"/",
            },
            |_: &Grant| false,
        );
        assert!(matches!(ended, Err(Refusal::GrantEnded(..))), "{ended:?}");
    }
}

#[test]
fn a_grant_is_asked_about_only_when_it_would_admit() {
    let table = table(GRANTED);
    let host: HostName = "api.github.com".parse().unwrap();
    let mut asked = 0;
    let _ = table.decide(
        RequestLine {
            host: &host,
            method: "GET",
            path: b"/",
        },
        |_| {
            asked += 1;
            true
        },
    );
    assert_eq!(asked, 0);
}
