//! What a bottle's containers wrote, taken from the engine itself: for a bottle of which compose cannot give it, because there is no
//! compose, or no compose file that can be read.
//!
//! It is written as `compose logs` would, so that whoever reads the one reads the other.

use super::events;
use crate::engine::Engine;
use crate::engine::logs::Part;
use crate::engine::resources::Owned;
use crate::error::Result;
use crate::home::Home;
use crate::naming;
use crate::printer::Printer;
use contract::Slug;
use futures_util::TryStreamExt as _;
use std::io::{BufWriter, Write as _};
use std::path::Path;

/// Writes all of it into a file, mode 0600, and takes its access events into those that outlive the bottle; how many lines there were.
///
/// A log that cannot be read is told and hides none of the others. An error means that something was read and could not be kept.
pub(super) async fn keep(
    engine: &Engine,
    home: &Home,
    slug: &Slug,
    owned: &Owned,
    to: &Path,
    printer: &Printer,
) -> Result<usize> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
    let mut file = BufWriter::new(temporary);
    let mut count = 0;
    for container in &owned.containers {
        // As compose calls it, whatever a half-done change of compose's has made of its name.
        let name = naming::container(slug, &container.service);
        let lines = engine.log_lines(&container.id, Part::All);
        let mut lines = std::pin::pin!(lines);
        loop {
            match lines.try_next().await {
                Ok(None) => break,
                Ok(Some(line)) => {
                    writeln!(file, "{name}  | {line}")?;
                    count += 1;
                }
                Err(error) => {
                    let why = error.causes().join(": ");
                    printer.warning(&format!("{slug}: {error} {why}"));
                    break;
                }
            }
        }
    }
    let temporary = file.into_inner().map_err(|error| error.into_error())?;
    temporary.as_file().sync_all()?;
    temporary.persist(to).map_err(|error| error.error)?;
    crate::write::sync(folder)?;
    events::keep(home, slug, to)?;
    Ok(count)
}
