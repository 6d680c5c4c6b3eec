use super::*;
use proptest::prelude::*;

fn read(path: &str) -> Vec<String> {
    readings(path.as_bytes())
        .unwrap()
        .into_iter()
        .map(|one| String::from_utf8_lossy(&one).into_owned())
        .collect()
}

#[test]
fn a_plain_path_has_one_reading() {
    assert_eq!(read("/repos/acme/app"), ["/repos/acme/app"]);
    assert_eq!(read("/a.b/c"), ["/a.b/c"]);
}

#[test]
fn an_encoded_slash_is_read_as_a_slash() {
    assert_eq!(read("/@acme%2Fpkg"), ["/@acme/pkg"]);
}

#[test]
fn every_disguise_of_a_dot_segment_is_seen() {
    for path in [
        "/repos/acme/../evil",
        "/repos/acme/..%2fevil",
        "/repos/acme/%2e%2e/evil",
        "/repos/acme/%2E./evil",
        "/repos/acme/%252e%252e/evil",
        "/repos/acme/..;/evil",
        "/repos/acme/..;x=1/evil",
        "/repos/acme/..%3b/evil",
        "/repos/acme/..\\evil",
        "/repos/acme/..%5cevil",
        "/repos/acme/..%255cevil",
        "/repos/acme//../../evil",
        "/repos/acme/./../evil",
        "/repos/acme/.%2e%2fevil",
        "/repos/acme/%25252e%25252e/evil",
        "/repos/acme/%c0%ae%c0%ae/evil",
        "/repos/acme/%e0%80%ae%e0%80%ae%c0%afevil",
        "/repos/acme/%ef%bc%8e%ef%bc%8e/evil",
        "/repos/acme/..%ef%bc%8fevil",
        "/repos/acme/..%ef%bc%bcevil",
        "/repos/acme/..%20/evil",
        "/repos/acme/%20../evil",
        "/repos/acme/.../evil",
    ] {
        assert!(
            read(path)
                .iter()
                .any(|one| one == "/repos/evil" || one == "/evil"),
            "{path}: {:?}",
            read(path)
        );
    }
}

#[test]
fn what_decoding_makes_a_delimiter_may_end_the_path() {
    assert!(read("/repos/acme/..%3fx").contains(&"/repos/".to_owned()));
    assert!(read("/repos/acme/..%23").contains(&"/repos/".to_owned()));
}

#[test]
fn ordinary_international_names_have_one_reading() {
    assert_eq!(read("/wiki/%E4%B8%AD%E6%96%87").len(), 1);
    assert_eq!(read("/b%C3%BCcher/caf%C3%A9.html").len(), 1);
}

#[test]
fn malformed_paths_are_refused_by_name() {
    for (path, problem) in [
        (&b""[..], PathProblem::NotAbsolute),
        (b"a", PathProblem::NotAbsolute),
        (b"*", PathProblem::NotAbsolute),
        (b"/\x00", PathProblem::ControlByte),
        (b"/\n", PathProblem::ControlByte),
        (b"/\x7f", PathProblem::ControlByte),
        (b"/%00", PathProblem::ControlByte),
        (b"/%0d%0a", PathProblem::ControlByte),
        (b"/%2500", PathProblem::ControlByte),
        (b"/\xc3\xa4", PathProblem::NotAscii),
        (b"/a b", PathProblem::Space),
        (b"/%", PathProblem::BrokenEncoding),
        (b"/%4", PathProblem::BrokenEncoding),
        (b"/%4g", PathProblem::BrokenEncoding),
        (b"/a#b", PathProblem::Delimiter),
    ] {
        assert_eq!(readings(path), Err(problem), "{}", String::from_utf8_lossy(path));
    }
    assert_eq!(readings(&vec![b'/'; MAX_PATH + 1]), Err(PathProblem::TooLong));
}

#[test]
fn dots_above_the_root_stay_at_the_root() {
    assert_eq!(dots_removed(b"/../../a"), b"/a");
    assert_eq!(dots_removed(b"/a/.."), b"/");
    assert_eq!(dots_removed(b"/a/b/."), b"/a/b/");
}

/// Pieces that tell readers apart, so that random paths hit the interesting cases.
fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("%2e".to_owned()),
        Just("%2f".to_owned()),
        Just("%5c".to_owned()),
        Just("%25".to_owned()),
        Just("2e".to_owned()),
        Just("\\".to_owned()),
        Just(";".to_owned()),
        Just("%3b".to_owned()),
        "[a-c]{1,3}",
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(path in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = readings(&path);
    }

    #[test]
    fn the_readings_are_closed_under_every_operation(path in tricky_path()) {
        if let Ok(set) = readings(path.as_bytes()) {
            for one in &set {
                for operation in OPERATIONS.iter().chain([&(percent_decode as Operation)]) {
                    prop_assert!(set.contains(&operation(one)), "{path}");
                }
            }
        }
    }

    /// An independent model of one common upstream: decode once, fold backslashes, cut parameters,
    /// merge slashes, resolve dots. Whatever it arrives at is among the readings.
    #[test]
    fn what_a_servlet_container_would_serve_is_among_the_readings(path in tricky_path()) {
        if let Ok(set) = readings(path.as_bytes()) {
            let decoded = percent_decode(path.as_bytes());
            let text = String::from_utf8_lossy(&decoded).replace('\\', "/");
            let mut stack: Vec<&str> = Vec::new();
            let mut trailing = false;
            for segment in text.split('/') {
                let name = segment.split(';').next().unwrap_or_default();
                trailing = matches!(name, "" | "." | "..");
                match name {
                    "" | "." => {}
                    ".." => { stack.pop(); }
                    other => stack.push(other),
                }
            }
            let mut served = format!("/{}", stack.join("/"));
            if trailing && served != "/" { served.push('/'); }
            prop_assert!(set.contains(served.as_bytes()), "{path} served as {served}, readings {set:?}");
        }
    }
}
