//! The agent's image: one of ours, or one that is built from the operator's own Dockerfile for one bottle.

use super::archive::{tag_of, tar_of};
use crate::engine::image::Build;
use crate::error::{Error, Result};
use crate::naming;
use bytes::Bytes;
use contract::Slug;
use std::collections::HashMap;
use std::path::PathBuf;

/// The largest build context that is sent to the engine, in bytes. The folder of a Dockerfile is read into memory.
const LARGEST_CONTEXT: u64 = 256 << 20;

/// One of our agent images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// `claude` or `small`.
    pub name: &'static str,
    pub(super) dockerfile: &'static str,
}

impl Variant {
    /// With Claude Code.
    pub const CLAUDE: Self = Self {
        name: "claude",
        dockerfile: include_str!("../../../images/agent/claude.Dockerfile"),
    };
    /// With a shell, git and curl.
    pub const SMALL: Self = Self {
        name: "small",
        dockerfile: include_str!("../../../images/agent/small.Dockerfile"),
    };
    /// Every one.
    pub const ALL: [Self; 2] = [Self::SMALL, Self::CLAUDE];

    /// `repository:tag`; the tag is the hash of what it is built from.
    pub fn reference(&self) -> String {
        format!(
            "{}:{}",
            naming::agent_repository(self.name),
            tag_of(&[self.dockerfile.as_bytes()])
        )
    }

    /// `extra_ca`: PEM certificates that the build trusts besides the public ones; they are no part of the image, and so not
    /// of its tag.
    pub(super) fn build<'a>(
        &self,
        reference: &'a str,
        extra_ca: &str,
        labels: HashMap<String, String>,
        from_scratch: bool,
    ) -> Result<Build<'a>> {
        let files: [(&str, &[u8], u32); 2] = [
            ("Dockerfile", self.dockerfile.as_bytes(), 0o644),
            ("extra-ca.pem", extra_ca.as_bytes(), 0o644),
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

/// An image that is built for one bottle.
pub(super) struct Bottle {
    pub(super) slug: Slug,
    /// The operator's; its folder is the build context.
    pub(super) dockerfile: PathBuf,
}

impl Bottle {
    pub(super) fn reference(&self) -> String {
        naming::bottle_image(&self.slug)
    }

    /// The Dockerfile's folder as a tar archive; links stay links.
    pub(super) fn context(&self) -> Result<Bytes> {
        let folder = self.dockerfile.parent().unwrap_or(&self.dockerfile);
        if fs_err::symlink_metadata(folder.join(".dockerignore")).is_ok() {
            return Err(Error::usage(format!(
                "{} has a .dockerignore, which is not read here: what it keeps out would come into the image",
                folder.display()
            ))
            .hinted("put the Dockerfile into a folder of its own, with just what it copies"));
        }
        let size = size_of(folder, LARGEST_CONTEXT)?;
        if size > LARGEST_CONTEXT {
            return Err(Error::usage(format!(
                "{}, the folder of the Dockerfile and so its build context, holds more than {} MiB",
                folder.display(),
                LARGEST_CONTEXT >> 20
            ))
            .hinted("put the Dockerfile into a folder of its own, with just what it copies"));
        }
        let pack = || {
            let mut archive = tar::Builder::new(Vec::new());
            archive.follow_symlinks(false);
            archive.append_dir_all(".", folder)?;
            archive.into_inner()
        };
        pack().map(Bytes::from).map_err(|error| {
            Error::failed(format!("the build context {} cannot be read", folder.display())).because(error)
        })
    }

    pub(super) fn build<'a>(
        &'a self,
        reference: &'a str,
        context: Bytes,
        labels: HashMap<String, String>,
    ) -> Build<'a> {
        Build {
            tag: reference,
            context,
            dockerfile: self
                .dockerfile
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or("Dockerfile"),
            arguments: HashMap::new(),
            labels,
            from_scratch: false,
        }
    }
}

/// The bytes of the regular files below a folder, counted until there are more than `enough`.
fn size_of(folder: &std::path::Path, enough: u64) -> Result<u64> {
    let mut size = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let metadata = fs_err::symlink_metadata(entry.path())?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                size += metadata.len();
            }
            if size > enough {
                return Ok(size);
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottle(folder: &std::path::Path) -> Bottle {
        Bottle {
            slug: "dev-ab1cd".parse().unwrap(),
            dockerfile: folder.join("Dockerfile"),
        }
    }

    #[test]
    fn the_context_is_the_dockerfiles_folder_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("Dockerfile"), "FROM scratch").unwrap();
        std::os::unix::fs::symlink("/etc/shadow", folder.path().join("link")).unwrap();
        let context = bottle(folder.path()).context().unwrap();
        let mut archive = tar::Archive::new(context.as_ref());
        let entries: Vec<(String, tar::EntryType)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (
                    entry.path().unwrap().display().to_string(),
                    entry.header().entry_type(),
                )
            })
            .collect();
        assert!(
            entries.contains(&("Dockerfile".to_owned(), tar::EntryType::Regular)),
            "{entries:?}"
        );
        assert!(
            entries.contains(&("link".to_owned(), tar::EntryType::Symlink)),
            "{entries:?}"
        );
    }

    #[test]
    fn a_context_that_is_too_large_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::File::create(folder.path().join("huge"))
            .unwrap()
            .set_len(LARGEST_CONTEXT + 1)
            .unwrap();
        let error = bottle(folder.path()).context().unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        assert!(error.to_string().contains("256 MiB"), "{error}");
    }

    #[test]
    fn a_folder_that_keeps_something_out_is_refused_rather_than_sent_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(".dockerignore"), ".env").unwrap();
        let error = bottle(folder.path()).context().unwrap_err();
        assert!(error.to_string().contains(".dockerignore"), "{error}");
    }

    #[test]
    fn our_images_have_a_tag_each_that_is_their_dockerfiles_hash() {
        let references: Vec<String> = Variant::ALL.iter().map(Variant::reference).collect();
        assert!(references.iter().all(|reference| {
            let (repository, tag) = reference.split_once(':').unwrap();
            naming::is_shared_repository(repository) && tag.len() == 16
        }));
        assert_ne!(
            references[0].split_once(':').unwrap().1,
            references[1].split_once(':').unwrap().1
        );
    }
}
