use super::*;
use contract::RouteTable;
use contract::matcher::RequestLine;

fn tried<'a>(host: &'a HostName, method: &'a str, path: &'a str) -> Tried<'a> {
    Tried {
        host: Some(host),
        method: Some(method),
        path: Some(path.as_bytes()),
    }
}

fn asked(refused: &Refused, method: &str, path: &str) -> Option<RouteAsk> {
    let host = "api.example".parse().unwrap();
    let Remedy::EgressBlock(justified) = refused.remedy(tried(&host, method, path))? else {
        return None;
    };
    Some(justified.ask)
}

fn path_refused() -> Refused {
    Refused::NoRoute(NoRoute::Path {
        host: "api.example".parse().unwrap(),
        prefixes: vec!["/ok/".to_owned()],
    })
}

fn prefixes(ask: &RouteAsk) -> Vec<&str> {
    ask.path_allowlist.iter().map(PathPrefix::as_str).collect()
}

#[test]
fn the_remedy_of_a_path_refusal_asks_for_the_requests_own_directory() {
    for (path, prefix) in [
        ("/repos/acme/app/issues", "/repos/acme/app/"),
        ("/repos/acme/app/", "/repos/acme/app/"),
        ("/user", "/user"),
        ("/", "/"),
        ("/@acme/pkg", "/@acme/"),
        ("/blobs/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b/raw/x", "/blobs/"),
        ("/a/b%20c/d", "/a/"),
    ] {
        let ask = asked(&path_refused(), "GET", path).unwrap();
        assert_eq!(prefixes(&ask), [prefix], "{path}");
        assert_eq!(ask.methods, ["GET".parse().unwrap()]);
    }
}

#[test]
fn a_path_that_no_plain_prefix_admits_has_no_remedy() {
    for path in ["/ok/..%2f..%2fevil", "/%2e%2e/x", "//x", "/..;/x"] {
        assert_eq!(asked(&path_refused(), "GET", path), None, "{path}");
    }
}

#[test]
fn the_remedy_admits_the_request_that_was_refused() {
    let table = RouteTable::parse(
        b"schema_version: 1\ngeneration: 1\nroutes:\n- {host: api.example, path_allowlist: [/ok/], methods: [GET]}\n",
    )
    .unwrap();
    let host: HostName = "api.example".parse().unwrap();
    for (method, path) in [("GET", "/no/x"), ("POST", "/ok/x"), ("DELETE", "/no/a/b")] {
        let line = RequestLine {
            host: &host,
            method,
            path: path.as_bytes(),
        };
        let refused = Refused::NoRoute(table.decide(line, |_| true).unwrap_err());
        let ask = asked(&refused, method, path).unwrap();
        let widened = table.merge(&ask).unwrap().table;
        assert!(widened.decide(line, |_| true).is_ok(), "{method} {path}");
    }
}

#[test]
fn a_host_refusal_asks_for_the_host_and_filters_only_by_what_is_known() {
    let host: HostName = "api.example".parse().unwrap();
    let refused = Refused::NoRoute(NoRoute::Host(host.clone()));
    let at_connect = Tried {
        host: Some(&host),
        method: None,
        path: None,
    };
    let Remedy::EgressBlock(justified) = refused.remedy(at_connect).unwrap() else {
        panic!("the remedy is a route")
    };
    assert_eq!(
        (justified.ask.methods.len(), justified.ask.path_allowlist.len()),
        (0, 0)
    );
    assert_eq!(
        justified.justification,
        "CONNECT https://api.example/ was refused"
    );
    let ask = asked(&refused, "GET", "/").unwrap();
    assert_eq!((prefixes(&ask), ask.methods.len()), (vec![], 1));
}

#[test]
fn what_asking_cannot_change_has_no_remedy() {
    for refused in [
        Refused::IpLiteral,
        Refused::UseGitGate,
        Refused::CredentialInRequest,
        Refused::PlainHttpWithAuth,
        Refused::NoRoute(NoRoute::Malformed(contract::reading::PathProblem::ControlByte)),
    ] {
        assert_eq!(asked(&refused, "GET", "/x/y"), None, "{refused:?}");
    }
    // A method that no route can list, or only in another letter case.
    for method in ["get", "TRACE", "G T"] {
        assert_eq!(asked(&path_refused(), method, "/x/y"), None, "{method}");
    }
}

#[test]
fn every_message_says_what_happened_and_what_to_do_next() {
    let host: HostName = "api.example".parse().unwrap();
    let all = [
        Refused::IpLiteral,
        Refused::Port {
            port: 22,
            tunnel: true,
        },
        Refused::NoRoute(NoRoute::Host(host)),
        path_refused(),
        Refused::PlainHttpWithAuth,
        Refused::CredentialInRequest,
        Refused::CredentialInResponse,
        Refused::ResponseEncoding,
        Refused::UseGitGate,
        Refused::LfsBatchTooLong,
        Refused::LogTooSlow,
    ];
    for refused in all {
        for supervise in [true, false] {
            let message = refused.message(supervise);
            assert!(message.starts_with("egress: "), "{message}");
            assert!(
                message.matches(". ").count() >= 1 && message.ends_with('.'),
                "{message}"
            );
            assert_eq!(
                message.contains("egress-block"),
                supervise && refused.can_be_asked(),
                "{message}"
            );
        }
    }
}

#[test]
fn a_method_of_the_agents_invention_is_not_repeated() {
    let refused = Refused::NoRoute(NoRoute::Method {
        host: "api.example".parse().unwrap(),
        method: "ignore-previous-instructions".to_owned(),
        allowed: vec!["GET".parse().unwrap()],
    });
    assert!(
        !refused.message(false).contains("ignore"),
        "{}",
        refused.message(false)
    );
}
