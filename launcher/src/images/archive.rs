//! A guard's image, made without a builder and without a network: an archive as `docker save` writes it, with one layer and
//! one program in it.
//!
//! It depends on nothing but the program's bytes, so the same program always gives the same image; its tag is the hash of
//! what is in it.

use crate::error::{Error, Result};
use bytes::Bytes;
use contract::Sha256Hex;
use serde_json::json;

/// How many hex digits of the hash are in a tag.
const TAG_DIGITS: usize = 16;
/// Changes when the same program shall give another image.
const FORMAT: &str = "1";

/// A guard's program, and the image that it becomes.
pub(super) struct GuardImage {
    pub(super) guard: String,
    program: Bytes,
    /// `repository:tag`
    pub(super) reference: String,
}

impl GuardImage {
    /// The image of the guard with this name, whose program has these bytes.
    pub(super) fn of(guard: &str, program: Bytes) -> Self {
        let tag = tag_of(&[FORMAT.as_bytes(), guard.as_bytes(), &program]);
        Self {
            guard: guard.to_owned(),
            program,
            reference: format!("{}:{tag}", crate::naming::guard_repository(guard)),
        }
    }

    /// The archive to load; `home` becomes the image's label.
    pub(super) fn archive(&self, home: &str) -> Result<Bytes> {
        self.packed(home)
            .map(Bytes::from)
            .map_err(|error| Error::failed(format!("{} cannot be packed", self.reference)).because(error))
    }

    fn packed(&self, home: &str) -> std::io::Result<Vec<u8>> {
        let layer = tar_of(&[(&self.guard, &self.program, 0o755)])?;
        let layer_hash = Sha256Hex::of(&layer);
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                "Entrypoint": [format!("/{}", self.guard)],
                "WorkingDir": "/",
                "Labels": { crate::naming::HOME_LABEL: home },
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_hash}")] },
            "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": format!("bottle: {}", self.guard) }],
        })
        .to_string();
        let config_name = format!("{}.json", Sha256Hex::of(config.as_bytes()));
        let layer_name = format!("{layer_hash}/layer.tar");
        let manifest = json!([{
            "Config": config_name,
            "RepoTags": [self.reference],
            "Layers": [layer_name],
        }])
        .to_string();
        tar_of(&[
            (&config_name, config.as_bytes(), 0o644),
            (&layer_name, &layer, 0o644),
            ("manifest.json", manifest.as_bytes(), 0o644),
        ])
    }
}

/// The tag of what depends on all of these: the first digits of the hash of their hashes.
pub(super) fn tag_of(parts: &[&[u8]]) -> String {
    let hashes: String = parts.iter().map(|part| Sha256Hex::of(part).to_string()).collect();
    let hash = Sha256Hex::of(hashes.as_bytes());
    hash.as_str().chars().take(TAG_DIGITS).collect()
}

/// A tar archive of these files, owned by root, without times: the same files always give the same bytes.
pub(super) fn tar_of(files: &[(&str, &[u8], u32)]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(0);
        archive.append_data(&mut header, path, *bytes)?;
    }
    archive.into_inner()
}

/// This machine's architecture as Docker calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_same_program_gives_the_same_tag_and_another_gives_another() {
        let of = |program: &'static [u8]| GuardImage::of("egress", Bytes::from_static(program));
        assert_eq!(of(b"one").reference, of(b"one").reference);
        assert_eq!(
            of(b"one").archive("0011").unwrap(),
            of(b"one").archive("0011").unwrap()
        );
        assert_ne!(of(b"one").reference, of(b"two").reference);
        assert!(of(b"one").reference.starts_with("claude-bottle-egress:"));
    }

    #[test]
    fn the_archive_names_what_is_in_it() {
        let image = GuardImage::of("egress", Bytes::from_static(b"elf"));
        let bytes = image.archive("0011").unwrap();
        let mut files = std::collections::BTreeMap::new();
        let mut archive = tar::Archive::new(bytes.as_ref());
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        let layer = &files[manifest[0]["Layers"][0].as_str().unwrap()];
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", Sha256Hex::of(layer))
        );
        assert_eq!(config["config"]["Labels"]["home"], "0011");
        let mut inner = tar::Archive::new(layer.as_slice());
        let entry = inner.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().display().to_string(), "egress");
        assert_eq!(entry.header().mode().unwrap(), 0o755);
    }
}
