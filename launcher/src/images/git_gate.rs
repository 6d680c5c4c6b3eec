//! The git gate's image: our program, git and ssh with the libraries that they load, and nothing else.
//!
//! The tools come from Debian while it is built; the engine keeps that step, so another program of ours costs a copy.

use super::archive::{tag_of, tar_of};
use crate::engine::image::Build;
use crate::error::{Error, Result};
use crate::naming;
use bytes::Bytes;
use std::collections::HashMap;

const DOCKERFILE: &str = include_str!("../../../images/git-gate/Dockerfile");

/// The gate's program, and the image that it becomes.
pub(super) struct GitGateImage {
    program: Bytes,
}

impl GitGateImage {
    /// Of a program with these bytes.
    pub(super) fn of(program: Bytes) -> Self {
        Self { program }
    }

    /// `repository:tag`; the tag is the hash of what it is built from.
    pub(super) fn reference(&self) -> String {
        let tag = tag_of(&[DOCKERFILE.as_bytes(), &self.program]);
        format!("{}:{tag}", naming::guard_repository(naming::GIT_GATE))
    }

    pub(super) fn build<'a>(
        &self,
        reference: &'a str,
        labels: HashMap<String, String>,
        from_scratch: bool,
    ) -> Result<Build<'a>> {
        let files: [(&str, &[u8], u32); 2] = [
            ("Dockerfile", DOCKERFILE.as_bytes(), 0o644),
            (naming::GIT_GATE, &self.program, 0o755),
        ];
        let context = tar_of(&files)
            .map_err(|error| Error::failed("the build context cannot be packed").because(error))?;
        Ok(Build {
            tag: reference,
            context: Bytes::from(context),
            dockerfile: "Dockerfile",
            arguments: HashMap::new(),
            labels,
            from_scratch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_another_image() {
        let of = |program: &'static [u8]| GitGateImage::of(Bytes::from_static(program)).reference();
        assert_eq!(of(b"one"), of(b"one"));
        assert_ne!(of(b"one"), of(b"two"));
        assert!(of(b"one").starts_with("claude-bottle-git-gate:"));
    }
}
