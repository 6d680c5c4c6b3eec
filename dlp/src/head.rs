//! The parts of a request's head: the host's name, the method, the URL, the header values.
//!
//! Each is looked at as it stands; the pieces of a URL and the values of headers are looked at once more put together, since a
//! secret in two pieces is found in neither. What egress injects is known by its digest and left out.

use http::{HeaderMap, HeaderName, Method, header};
use secrets::hostname;

use crate::examiner::Examiner;
use crate::joined::{Joined, Name, Values, Writing};
use crate::refused::{Place, Refused};

/// So many characters of a name that look like data are too many.
const SUSPICIOUS_DATA: usize = 26;

/// Judges the name of a host: does it carry data? A list or an exemption may allow that, and never a secret in it.
pub fn host(examiner: &Examiner) -> Result<(), Refused> {
    let (host, policy) = (examiner.host(), examiner.policy());
    if policy.is_named_well(host) {
        return Ok(());
    }
    if policy.blocks() && policy.judges_name(host) && carries_data(host) {
        return Err(Refused::HostName);
    }
    examiner.whole(&Place::Host, host.as_bytes())?;
    let labels: Vec<&[u8]> = host.split('.').map(str::as_bytes).collect();
    put_together(examiner, &Place::Host, &labels)?;
    if examiner.warned().is_none() {
        examiner.policy().remember_name(host);
    }
    Ok(())
}

/// Whether more of a name looks like data than an identifier that a cloud gives a host has (8 to 20 characters).
pub fn carries_data(host: &str) -> bool {
    let score = hostname::score(host);
    score.is_suspicious() || score.data >= SUSPICIOUS_DATA
}

/// Looks at a method that HTTP does not define: any token may be one, and an upstream reads it as it was sent.
pub fn method(examiner: &Examiner, method: &Method) -> Result<(), Refused> {
    const DEFINED: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ];
    if DEFINED.contains(method) {
        return Ok(());
    }
    examiner.whole(&Place::Method, method.as_str().as_bytes())
}

/// Looks at path and query.
pub fn url(examiner: &Examiner, target: &[u8]) -> Result<(), Refused> {
    let limit = examiner.policy().seat().max_url_length;
    if target.len() > limit {
        return Err(Refused::LongUrl(limit));
    }
    if target.len() <= 1 {
        return Ok(());
    }
    examiner.whole(&Place::Url, target)?;
    let mut halves = target.splitn(2, |byte| *byte == b'?');
    let path: Vec<&[u8]> = halves
        .next()
        .unwrap_or_default()
        .split(|byte| *byte == b'/')
        .collect();
    put_together(examiner, &Place::UrlPieces, &path)?;
    let query = halves.next().unwrap_or_default();
    put_together_by_name(examiner, &Place::UrlPieces, pairs(query, b"&;"))
}

/// The names and values of pairs. One without a name is a value.
fn pairs<'t>(text: &'t [u8], between: &[u8]) -> impl Iterator<Item = (Name, &'t [u8])> {
    text.split(|byte| between.contains(byte)).map(|pair| {
        let pair = pair.trim_ascii();
        match memchr::memchr(b'=', pair) {
            Some(at) => {
                let (name, value) = pair.split_at(at);
                (Name::of(name), value.get(1..).unwrap_or_default())
            }
            None => (Name::new(), pair),
        }
    })
}

/// Looks at the headers.
pub fn headers(examiner: &Examiner, headers: &HeaderMap) -> Result<(), Refused> {
    let policy = examiner.policy();
    let mut text = Vec::with_capacity(1024);
    let mut lines: Vec<(usize, &HeaderName)> = Vec::with_capacity(headers.len());
    let mut own: Vec<(Name, &[u8])> = Vec::new();
    let mut cookies: Vec<&[u8]> = Vec::new();
    for (name, value) in headers {
        let ignored = policy
            .seat()
            .ignore_headers
            .iter()
            .any(|other| other == name.as_str());
        if ignored || policy.is_injected(examiner.host(), name.as_str(), value.as_bytes()) {
            continue;
        }
        lines.push((text.len(), name));
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
        if *name == header::COOKIE {
            cookies.push(value.as_bytes());
        }
        if !is_standard(name) {
            own.push((Name::of(name.as_str().as_bytes()), value.as_bytes()));
        }
    }
    examiner.whole_by(&text, |offset| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let line = lines.iter().rev().find(|(start, _)| *start <= offset);
        Place::Header(line.map_or_else(String::new, |(_, name)| shown(name)))
    })?;
    put_together_by_name(examiner, &Place::Headers, own.into_iter())?;
    let crumbs = cookies.into_iter().flat_map(|cookie| pairs(cookie, b";"));
    put_together_by_name(examiner, &Place::Headers, crumbs)
}

/// A header's name is the agent's text: it is short and a token, and may still be a secret.
fn shown(name: &HeaderName) -> String {
    if name.as_str().len() > 40 || secrets::redact::is_secret_like(name.as_str()) {
        format!("‹redacted:{}›", name.as_str().len())
    } else {
        name.as_str().to_owned()
    }
}

/// Headers that every client sends: their values are no place for a piece of anything, and put together they would only be
/// in the way.
fn is_standard(name: &HeaderName) -> bool {
    [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::ACCEPT_LANGUAGE,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::HOST,
        header::IF_MODIFIED_SINCE,
        header::ORIGIN,
        header::PRAGMA,
        header::RANGE,
        header::TE,
        header::USER_AGENT,
    ]
    .contains(name)
}

/// Looks at pieces one behind the other, and at every second one: something else may stand between the parts of one.
pub fn put_together(examiner: &Examiner, place: &Place, pieces: &[&[u8]]) -> Result<(), Refused> {
    let pieces: Vec<&[u8]> = pieces.iter().copied().filter(|piece| !piece.is_empty()).collect();
    let strides: &[(usize, usize)] = match pieces.len() {
        0 | 1 => return Ok(()),
        2 => &[(0, 1)],
        _ => &[(0, 1), (0, 2), (1, 2)],
    };
    for &(first, stride) in strides {
        let mut joined = Joined::new(examiner, place.clone(), Writing::Plain);
        let pieces = pieces.iter().skip(first).step_by(stride);
        pieces.for_each(|piece| joined.piece(piece));
        joined.settle()?;
    }
    Ok(())
}

/// Looks at named pieces as at others, and at those of each name by themselves.
fn put_together_by_name<'t>(
    examiner: &Examiner,
    place: &Place,
    pieces: impl Iterator<Item = (Name, &'t [u8])>,
) -> Result<(), Refused> {
    let pieces: Vec<(Name, &[u8])> = pieces.collect();
    let values: Vec<&[u8]> = pieces.iter().map(|(_, value)| *value).collect();
    put_together(examiner, place, &values)?;
    if pieces.len() < 3 {
        return Ok(());
    }
    let mut values = Values::new(examiner, place.clone(), Writing::Plain);
    for (name, value) in pieces {
        values.name(name);
        values.push(value);
        values.end();
    }
    values.settle().map(drop)
}
