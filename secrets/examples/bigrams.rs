//! Counts the table behind `secrets::rarity` over the text files of folders and prints it: `cargo run --release
//! -p secrets --example bigrams -- DIR… > secrets/data/bigrams.txt`.
//!
//! Row and column are `^` (a word's edge), `a`–`z`, `A`–`Z`, `0`–`9`; a character stands for the bits, in
//! quarters above `!`, that the second costs after the first.

use std::path::Path;

const SYMBOLS: usize = 63;
const EXTENSIONS: [&str; 14] = [
    "rs", "md", "py", "c", "h", "js", "json", "toml", "yaml", "yml", "txt", "html", "sh", "go",
];
/// Of one file: a generated one would outweigh the rest.
const MOST: usize = 64 << 10;

fn symbol(byte: u8) -> usize {
    usize::from(match byte {
        b'a'..=b'z' => byte - b'a' + 1,
        b'A'..=b'Z' => byte - b'A' + 27,
        b'0'..=b'9' => byte - b'0' + 53,
        _ => 0,
    })
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn main() -> std::io::Result<()> {
    let mut counts = vec![0u32; SYMBOLS * SYMBOLS];
    for folder in std::env::args().skip(1) {
        count(Path::new(&folder), &mut counts)?;
    }
    for row in counts.chunks(SYMBOLS) {
        // A pair that was not seen is rare, not impossible.
        let total = f64::from(row.iter().sum::<u32>()) + 63.0;
        let line: String = row
            .iter()
            .map(|&count| {
                let quarters = -4.0 * ((f64::from(count) + 1.0) / total).log2();
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
                char::from(b'!' + quarters.clamp(0.0, 90.0) as u8)
            })
            .collect();
        println!("{line}");
    }
    Ok(())
}

fn count(path: &Path, counts: &mut [u32]) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            count(&entry?.path(), counts)?;
        }
    } else if path
        .extension()
        .is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known))
        && path.is_file()
    {
        #[allow(
            clippy::disallowed_methods,
            reason = "an example without further dependencies"
        )]
        let text = std::fs::read(path)?;
        let words = text
            .get(..MOST)
            .unwrap_or(&text)
            .split(|byte| !byte.is_ascii_alphanumeric());
        // A longer run is data, not a word.
        for word in words.filter(|word| (1..=24).contains(&word.len())) {
            let mut before = 0;
            for next in word.iter().map(|&byte| symbol(byte)).chain([0]) {
                if let Some(count) = counts.get_mut(before * SYMBOLS + next) {
                    *count += 1;
                }
                before = next;
            }
        }
    }
    Ok(())
}
