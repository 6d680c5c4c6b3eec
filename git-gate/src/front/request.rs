//! Which of the known requests this is. Strict: a path that could be read in two ways is none of ours.

use contract::DenialReason;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, Uri};

/// The longest path, in bytes.
const LONGEST: usize = 600;

/// The path by which the gate says that it is there.
pub(super) const HEALTH: &str = "/_gate/health";

/// One of git's two services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Fetch, clone.
    UploadPack,
    /// Push.
    ReceivePack,
}

/// A request of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Is a gate there?
    Health,
    /// The refs, before anything else.
    Refs {
        service: Service,
        route: String,
        protocol: Option<String>,
    },
    /// A fetch or a push.
    Exchange {
        service: Service,
        route: String,
        protocol: Option<String>,
        gzip: bool,
    },
}

/// None of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) reason: DenialReason,
    pub(super) told: String,
}

impl Service {
    /// Its name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// git's subcommand.
    pub(super) fn subcommand(self) -> &'static str {
        match self {
            Self::UploadPack => "upload-pack",
            Self::ReceivePack => "receive-pack",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack]
            .into_iter()
            .find(|service| service.name() == name)
    }
}

impl Asked {
    /// `host/path.git`
    pub(super) fn route(&self) -> &str {
        match self {
            Self::Health => "",
            Self::Refs { route, .. } | Self::Exchange { route, .. } => route,
        }
    }
}

/// Reads a request's head.
pub(super) fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Asked, Refused> {
    let path = uri.path();
    if *method == Method::GET && path == HEALTH && uri.query().is_none() {
        return Ok(Asked::Health);
    }
    if uri.scheme().is_some() || !is_plain(path) {
        return Err(refused(
            StatusCode::BAD_REQUEST,
            DenialReason::PathMalformed,
            "a repository's path has letters, digits and ._~+:- in names between slashes, none of them `.` or `..`",
        ));
    }
    if path.contains("/info/lfs") {
        return Err(refused(
            StatusCode::FORBIDDEN,
            DenialReason::LfsPointer,
            "Git LFS does not pass through the gate; commit the file itself",
        ));
    }
    let unknown = || {
        refused(
            StatusCode::NOT_FOUND,
            DenialReason::MalformedRequest,
            "only smart HTTP is spoken here: clone, fetch and push http://git-gate:9418/HOST/PATH.git",
        )
    };
    let protocol = protocol(headers);
    if let Some(repository) = path.strip_suffix("/info/refs") {
        let service = uri
            .query()
            .and_then(|query| query.strip_prefix("service="))
            .and_then(Service::named)
            .filter(|_| *method == Method::GET)
            .ok_or_else(unknown)?;
        let route = route(repository).ok_or_else(unknown)?;
        return Ok(Asked::Refs {
            service,
            route,
            protocol,
        });
    }
    let (repository, name) = path.rsplit_once('/').ok_or_else(unknown)?;
    let service = Service::named(name)
        .filter(|_| *method == Method::POST && uri.query().is_none())
        .ok_or_else(unknown)?;
    let content_type = format!("application/x-{name}-request");
    if headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) != Some(content_type.as_str()) {
        return Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            DenialReason::MalformedRequest,
            &format!("the content type must be {content_type}"),
        ));
    }
    let encodings: Vec<_> = headers.get_all(CONTENT_ENCODING).iter().collect();
    let gzip = match encodings.as_slice() {
        [] => false,
        [one] if *one == "gzip" || *one == "x-gzip" => true,
        [one] if *one == "identity" => false,
        _ => {
            return Err(refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                DenialReason::ContentEncoding,
                "a body comes plain or in gzip",
            ));
        }
    };
    let route = route(repository).ok_or_else(unknown)?;
    Ok(Asked::Exchange {
        service,
        route,
        protocol,
        gzip,
    })
}

fn refused(status: StatusCode, reason: DenialReason, told: &str) -> Refused {
    Refused {
        status,
        reason,
        told: format!("git-gate: {told}"),
    }
}

/// No percent-encoding, no control character, no empty name, no `.` and `..`: one reading.
fn is_plain(path: &str) -> bool {
    path.len() <= LONGEST
        && path.strip_prefix('/').is_some_and(|names| {
            names
                .split('/')
                .all(|name| !matches!(name, "" | "." | "..") && !name.starts_with('-'))
        })
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._~+:-".contains(&byte))
}

/// `/Host/path[.git]` → `host/path.git`
fn route(repository: &str) -> Option<String> {
    let (host, path) = repository.strip_prefix('/')?.split_once('/')?;
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| format!("{}/{path}.git", host.to_ascii_lowercase()))
}

/// `Git-Protocol`, if it is one: git reads it from its environment.
fn protocol(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all("git-protocol").iter();
    let value = values.next()?.to_str().ok()?;
    let plain = value.len() <= 64
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"=:.-".contains(&byte));
    (plain && values.next().is_none()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(path: &str) -> Result<Asked, Refused> {
        read(&Method::GET, &path.parse().unwrap(), &HeaderMap::new())
    }

    #[test]
    fn the_refs_of_a_repository_are_asked_for_with_or_without_git() {
        for path in [
            "/github.com/acme/app.git/info/refs?service=git-upload-pack",
            "/GitHub.com/acme/app/info/refs?service=git-upload-pack",
        ] {
            assert_eq!(get(path).unwrap().route(), "github.com/acme/app.git", "{path}");
        }
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        for path in [
            "/github.com/../x/info/refs?service=git-upload-pack",
            "/github.com/%2e%2e/x/info/refs?service=git-upload-pack",
            "/github.com/a%00b/info/refs?service=git-upload-pack",
            "/github.com//a/info/refs?service=git-upload-pack",
            "/github.com/./a/info/refs?service=git-upload-pack",
            "/github.com/-a/info/refs?service=git-upload-pack",
            "/github.com/a;b/info/refs?service=git-upload-pack",
            "/github.com/a\\b/info/refs?service=git-upload-pack",
        ] {
            let Ok(uri) = path.parse::<Uri>() else { continue };
            let refused = read(&Method::GET, &uri, &HeaderMap::new()).unwrap_err();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
        }
    }

    #[test]
    fn nothing_but_smart_http_is_known() {
        for path in [
            "/",
            "/github.com/a.git/HEAD",
            "/github.com/a.git/info/refs",
            "/github.com/a.git/info/refs?service=git-archive",
            "/github.com/a.git/info/refs?service=git-upload-pack&x=1",
            "/github.com/a.git/objects/info/packs",
            "/github.com/a.git/git-upload-pack",
            "/info/refs?service=git-upload-pack",
        ] {
            assert!(get(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_push_comes_with_its_own_type_plain_or_in_gzip() {
        let post = |kind: &'static str, encoding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            if let Some(encoding) = encoding {
                headers.insert(CONTENT_ENCODING, encoding.parse().unwrap());
            }
            read(
                &Method::POST,
                &"/h.example/a.git/git-receive-pack".parse().unwrap(),
                &headers,
            )
        };
        assert!(post("application/x-git-receive-pack-request", Some("gzip")).is_ok());
        assert!(post("application/x-git-receive-pack-request", None).is_ok());
        assert!(post("application/x-git-upload-pack-request", None).is_err());
        assert!(post("application/x-git-receive-pack-request", Some("br")).is_err());
    }

    #[test]
    fn only_a_plain_protocol_reaches_git() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("git-protocol", value.parse().unwrap());
            protocol(&headers)
        };
        assert_eq!(with("version=2").as_deref(), Some("version=2"));
        assert_eq!(with("version=2; rm"), None);
    }

    proptest! {
        #[test]
        fn a_route_never_leaves_its_folder(path in "/[a-zA-Z0-9./~+:-]{0,60}") {
            if let Ok(uri) = format!("{path}/info/refs?service=git-upload-pack").parse::<Uri>()
                && let Ok(asked) = read(&Method::GET, &uri, &HeaderMap::new()) {
                prop_assert!(asked.route().split('/').all(|name| !matches!(name, "" | "." | "..")));
            }
        }
    }
}
