//! Prints MiB/s of each detector over the text files of a folder: `cargo run --release -p secrets --example
//! throughput -- DIR`.

use secrets::known::KnownValues;
use std::path::Path;
use std::time::Instant;

/// Enough to leave every cache.
const MOST: usize = 64 << 20;

#[allow(clippy::print_stdout, reason = "its purpose")]
fn main() -> std::io::Result<()> {
    let mut files = Vec::new();
    for folder in std::env::args().skip(1) {
        collect(Path::new(&folder), &mut files)?;
    }
    let bytes: usize = files.iter().map(Vec::len).sum();
    println!("{} files, {:.1} MiB", files.len(), mebibytes(bytes));

    let mut builder = KnownValues::builder();
    for index in 0..4u32 {
        let value = format!("tok{}_{:040x}", index * 7919, u64::from(index + 77).pow(9));
        if let Err(refused) = builder.add(format!("value {index}"), value.into_bytes().into()) {
            println!("{refused}");
        }
    }
    let known = builder.build();
    measure("4 known values", bytes, || {
        files.iter().map(|file| known.find_all(file).len()).sum()
    });
    measure("4 known values, 16 KiB chunks", bytes, || {
        let mut stream = known.stream();
        files
            .iter()
            .flat_map(|file| file.chunks(16 << 10))
            .map(|chunk| stream.push(chunk).map_or(1, |_| 0))
            .sum()
    });
    Ok(())
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn measure(what: &str, bytes: usize, run: impl Fn() -> usize) {
    let started = Instant::now();
    let found = run();
    let rate = mebibytes(bytes) / started.elapsed().as_secs_f64();
    println!("{what}: {rate:.0} MiB/s, {found} found");
}

#[allow(clippy::cast_precision_loss, reason = "a size for people")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn collect(path: &Path, files: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    if files.iter().map(Vec::len).sum::<usize>() > MOST {
        return Ok(());
    }
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() {
        #[allow(
            clippy::disallowed_methods,
            reason = "an example without further dependencies"
        )]
        files.push(std::fs::read(path)?);
    }
    Ok(())
}
