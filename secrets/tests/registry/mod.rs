//! What Cargo has fetched to build this workspace, as material for sweeps; the seat's tests read this file, too.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test without further dependencies"
)]

use std::path::{Path, PathBuf};

/// Where Cargo keeps what it fetches.
pub(crate) fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    )
}

/// The files under `folder` that are `wanted`, in an order that is always the same.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool, all: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files(&path, wanted, all);
        } else if wanted(&path) {
            all.push(path);
        }
    }
}

/// The packages of `Cargo.lock`, as Cargo names their folders: what else a machine's registry holds is not looked at.
fn packages() -> Vec<String> {
    let lock = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let (mut packages, mut name) = (Vec::new(), String::new());
    for line in lock.lines() {
        name = value(line, "name").unwrap_or(name);
        packages.extend(value(line, "version").map(|version| format!("{name}-{version}")));
    }
    packages.sort();
    packages
}

/// One of `every` files that Cargo keeps in this part of its registry, spread over all packages; always the same ones, as far as
/// they are there. Left out are packages whose names begin so.
pub(crate) fn fetched(
    part: &str,
    every: u64,
    left_out: &[&str],
    wanted: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let folder = cargo_home().join("registry").join(part);
    let mut indexes: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    indexes.sort();
    let mut all = Vec::new();
    for package in packages() {
        let names = [package.clone(), format!("{package}.crate")];
        let paths = indexes
            .iter()
            .flat_map(|index| names.iter().map(move |name| (index, index.join(name))));
        let Some((index, path)) = paths.into_iter().find(|(_, path)| path.exists()) else {
            continue;
        };
        let wanted = |path: &Path| {
            let name = path
                .strip_prefix(index)
                .unwrap_or(path)
                .to_string_lossy()
                .into_owned();
            spread(&name).is_multiple_of(every)
                && wanted(path)
                && !left_out.iter().any(|part| name.starts_with(part))
        };
        if path.is_dir() {
            files(&path, &wanted, &mut all);
        } else if wanted(&path) {
            all.push(path);
        }
    }
    if all.is_empty() {
        eprintln!("nothing is at hand under {}", folder.display());
    }
    all
}

/// A number that a name alone decides (FNV-1a).
fn spread(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Whether it ends in one of these.
pub(crate) fn has_extension(path: &Path, wanted: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| wanted.iter().any(|known| extension == *known))
}
