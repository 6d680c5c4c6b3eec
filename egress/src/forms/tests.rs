use super::*;
use contract::RouteTable;
use proptest::prelude::*;

const URLENCODED: &str = "application/x-www-form-urlencoded; charset=utf-8";
const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/form-data; boundary=b";

fn form(kind: &'static str) -> FormMethod {
    let table = b"schema_version: 1\ngeneration: 1\nroutes:\n- {host: a.example, methods: [GET, POST]}\n";
    let route = RouteTable::parse(table).unwrap().routes()[0].clone();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind.parse().unwrap());
    FormMethod {
        route,
        method: "POST".to_owned(),
        path: b"/x".to_vec(),
        reader: reader(&headers).unwrap(),
        written: Written::of(&headers),
    }
}

fn verdict(kind: &'static str, body: &str, size: usize) -> Result<(), Refusal> {
    verdict_of(form(kind), body.as_bytes(), size)
}

fn verdict_of(mut form: FormMethod, body: &[u8], size: usize) -> Result<(), Refusal> {
    for piece in body.chunks(size.max(1)) {
        form.push(piece)?;
    }
    form.finish()
}

fn encoded(kind: &'static str, encoding: &'static str) -> FormMethod {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::CONTENT_ENCODING, encoding.parse().unwrap());
    FormMethod {
        written: Written::of(&headers),
        ..form(kind)
    }
}

fn part(head: &str, value: &str) -> String {
    let more = "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n";
    format!("{more}--b\r\n{head}\r\n\r\n{value}\r\n--b--\r\n")
}

#[test]
fn a_method_in_a_form_is_judged_like_one_in_the_request_line() {
    for body in [
        "_method=DELETE",
        "a=b&_method=delete&c=d",
        "a=b;_METHOD=DELETE",
        "%5fmethod=%44ELETE",
        "%5F%6D%65%74%68%6F%64=PUT",
        "+_method=DELETE",
        ".method=DELETE",
        "_method%00=DELETE",
        "_method=DELETE DELETE",
        "_method=POST&_method=DELETE",
    ] {
        for size in [1, 3, 1000] {
            let refused = verdict(URLENCODED, body, size);
            assert!(matches!(refused, Err(Refusal::Method { .. })), "{body}");
        }
    }
    for body in [
        "",
        "_method=post",
        "_method=",
        "method=DELETE",
        "a_method=DELETE",
        "a=_method&b=DELETE",
    ] {
        assert!(verdict(URLENCODED, body, 2).is_ok(), "{body}");
    }
    let long = format!("_method={}", "x".repeat(10_000));
    assert!(verdict(URLENCODED, &long, 100).is_err());
}

#[test]
fn a_method_in_a_multipart_form_is_too() {
    for head in [
        "Content-Disposition: form-data; name=\"_method\"",
        "content-disposition:form-data;name=_method",
        "Content-Disposition: form-data; name='_method'; x=y",
        "Content-Disposition: form-data; name=\"\\_method\"",
        "Content-Disposition: form-data;\r\n name=\"_method\"",
        "Content-Disposition: form-data; name = \"_method\"\r\nContent-Type: text/plain",
        "Content-Disposition: form-data; name=\"%5Fmethod\"",
    ] {
        for size in [1, 7, 1000] {
            assert!(verdict(MULTIPART, &part(head, "DELETE"), size).is_err(), "{head}");
            assert!(verdict(MULTIPART, &part(head, "post"), size).is_ok(), "{head}");
        }
    }
    let other = part("Content-Disposition: form-data; name=\"note\"", "_method=DELETE");
    assert!(verdict(MULTIPART, &other, 5).is_ok());
}

#[test]
fn a_method_in_json_is_too() {
    for body in [
        r#"{"_method":"DELETE"}"#,
        r#" { "a" : {"b": ["_method"]}, "_METHOD" : "delete" }"#,
        r#"{"a":1,"\u005fmethod":"D\u0045LETE"}"#,
        r#"{"a":"\\","_method":"PUT","_method":"POST"}"#,
        r#"{"_method":"POST","_method":"PUT"}"#,
        r#"{"a":"\"}", "_method":"DELETE"}"#,
        r#"{/* " */"_method":"DELETE"}"#,
        r#"{/* "**/"_method"/**/:"DELETE"}"#,
        "{// it's \"\n\"_method\":\"DELETE\"}",
        "\u{feff}{\"_method\":\"DELETE\"}",
        "  {\"a\":1}\n{\"_method\":\"DELETE\"}",
        r#"{"é":"\ud83d","_method":"DELETE"}"#,
    ] {
        for size in [1, 3, 1000] {
            let refused = verdict(JSON, body, size);
            assert!(matches!(refused, Err(Refusal::Method { .. })), "{body}");
        }
    }
    for body in [
        "",
        r#"{"_method":"post"}"#,
        r#"{"_method":1,"a":"DELETE"}"#,
        r#"{"a":"_method","b":"DELETE"}"#,
        r#"{"a":{"_method":"DELETE"}}"#,
        r#"["_method","DELETE"]"#,
        r#"{"a":"\"_method\":\"DELETE\""}"#,
        r#"{"a":"/*","b":1,"c":"*/"}"#,
        r#"{"a":"http://x/y","b":"//"}"#,
    ] {
        assert!(verdict(JSON, body, 2).is_ok(), "{body}");
    }
    let long = format!("{{\"_method\":\"{}\"}}", "x".repeat(10_000));
    assert!(verdict(JSON, &long, 100).is_err());
}

#[test]
fn a_method_in_json_is_found_in_every_encoding_that_some_reader_takes() {
    // Half of U+2220 and of U+2F2A is a quote, a slash and an asterisk.
    let with = |method: &str| format!("{{\"a\":\"\u{2220}\u{2f2a}\u{22}, \"_method\":\"{method}\"}}");
    let utf_16 = |text: &str, big: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        let bytes = units.flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        });
        bytes.collect()
    };
    let utf_32 = |text: &str, big: bool| -> Vec<u8> {
        let units = text.chars().map(u32::from);
        let bytes = units.flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        });
        bytes.collect()
    };
    for mark in ["", "\u{feff}"] {
        for big in [true, false] {
            for size in [1, 3, 1000] {
                let bad = format!("{mark}{}", with("DELETE"));
                let good = format!("{mark}{}", with("post"));
                for (bad, good) in [
                    (utf_16(&bad, big), utf_16(&good, big)),
                    (utf_32(&bad, big), utf_32(&good, big)),
                ] {
                    assert!(verdict_of(form(JSON), &bad, size).is_err(), "{bad:?}");
                    assert!(verdict_of(form(JSON), &good, size).is_ok(), "{good:?}");
                }
            }
        }
    }
    let utf_7 = "application/json; charset=UTF-7";
    assert!(verdict(utf_7, "{\"+AF8-method\":\"DELETE\"}", 3).is_err());
}

#[test]
fn a_method_in_a_body_that_some_framework_undoes_is_found() {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write as _;
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zlib = |text: &str| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let bare = |text: &str| {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let (bad, good) = (r#"{"_method":"DELETE"}"#, r#"{"_method":"POST"}"#);
    for size in [1, 7, 1000] {
        for (encoding, bad, good) in [
            ("gzip", gzip(bad), gzip(good)),
            ("GZIP", gzip(bad), [gzip("{"), gzip("}")].concat()),
            ("x-gzip", [gzip("{"), gzip(&bad[1..])].concat(), gzip(good)),
            ("deflate", zlib(bad), zlib(good)),
            ("deflate", bare(bad), bare(good)),
            ("identity", bad.into(), good.into()),
        ] {
            assert!(
                verdict_of(encoded(JSON, encoding), &bad, size).is_err(),
                "{encoding}"
            );
            assert!(
                verdict_of(encoded(JSON, encoding), &good, size).is_ok(),
                "{encoding}"
            );
        }
    }
    assert!(verdict_of(encoded(URLENCODED, "gzip"), &gzip("_method=PUT"), 5).is_err());
    assert!(
        verdict_of(encoded(JSON, "br"), b"anything", 5).is_err(),
        "not undone here"
    );
    // Nobody undoes these, or reads what does not decode.
    assert!(verdict_of(encoded(JSON, "zstd"), b"anything", 5).is_ok());
    assert!(verdict_of(encoded(JSON, "gzip, gzip"), b"anything", 5).is_ok());
    assert!(verdict_of(encoded(JSON, "gzip"), b"no gzip", 5).is_ok());
    let swelling = gzip(&" ".repeat(32 << 20));
    assert!(verdict_of(encoded(JSON, "gzip"), &swelling, 1000).is_err());
}

proptest! {
    #[test]
    fn where_a_body_is_cut_changes_nothing(body in "[a-z_=&;%\r\n\"-]{0,80}(_method=DELETE)?", size in 1usize..90, multipart: bool) {
        let kind = if multipart { MULTIPART } else { URLENCODED };
        prop_assert_eq!(verdict(kind, &body, size).is_ok(), verdict(kind, &body, 1000).is_ok());
    }
}
