//! Images at the engine: is it there, load it, build it, remove it.

use super::{Engine, if_known, status, told, words};
use crate::error::{Error, Result};
use bollard::query_parameters::{
    BuildImageOptions, ImportImageOptions, ListImagesOptions, RemoveImageOptions,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::collections::HashMap;

/// An image as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// `repository:tag`, each.
    pub tags: Vec<String>,
    /// Its labels; an image built from somebody's Dockerfile may carry any.
    pub labels: HashMap<String, String>,
    /// Bytes on disk.
    pub size: i64,
    /// When it was made, in seconds since 1970.
    pub created: i64,
}

/// What to build.
pub struct Build<'a> {
    /// `repository:tag`
    pub tag: &'a str,
    /// The context as a tar archive, with the Dockerfile in it.
    pub context: Bytes,
    /// Path of the Dockerfile in the context.
    pub dockerfile: &'a str,
    /// `ARG`s.
    pub arguments: HashMap<String, String>,
    /// Labels, set over whatever the Dockerfile says.
    pub labels: HashMap<String, String>,
    /// Without using what earlier builds left.
    pub from_scratch: bool,
}

impl Engine {
    /// The id of an image, if it is there.
    pub async fn image_id(&self, reference: &str) -> Result<Option<String>> {
        let inspected = if_known(self.docker().inspect_image(reference).await, "look for an image")?;
        Ok(inspected.and_then(|image| image.id))
    }

    /// Every image whose repository begins so.
    pub async fn images(&self, repository_prefix: &str) -> Result<Vec<Image>> {
        let all = self
            .docker()
            .list_images(Some(ListImagesOptions::default()))
            .await
            .map_err(|error| told("list images", error))?;
        let images = all.into_iter().map(|image| Image {
            id: image.id,
            tags: image
                .repo_tags
                .into_iter()
                .filter(|tag| tag.starts_with(repository_prefix))
                .collect(),
            labels: image.labels,
            size: image.size,
            created: image.created,
        });
        Ok(images.filter(|image| !image.tags.is_empty()).collect())
    }

    /// Loads an image from an archive as `docker save` writes it.
    pub async fn load_image(&self, archive: Bytes) -> Result<()> {
        let options = ImportImageOptions {
            quiet: true,
            ..Default::default()
        };
        let answers = self
            .docker()
            .import_image(options, bollard::body_full(archive), None);
        let mut answers = std::pin::pin!(answers);
        while let Some(answer) = answers.next().await {
            let answer = answer.map_err(|error| told("load an image", error))?;
            if let Some(message) = answer.error_detail.and_then(|detail| detail.message) {
                return Err(
                    Error::failed("the engine could not load an image").because(anyhow::anyhow!(message))
                );
            }
        }
        Ok(())
    }

    /// Builds an image by the engine's own builder; `step` is told each line that it says.
    pub async fn build_image(&self, build: Build<'_>, mut step: impl FnMut(&str)) -> Result<()> {
        let options = BuildImageOptions {
            dockerfile: build.dockerfile.to_owned(),
            t: Some(build.tag.to_owned()),
            nocache: build.from_scratch,
            rm: true,
            forcerm: true,
            buildargs: Some(build.arguments),
            labels: Some(build.labels),
            ..Default::default()
        };
        let answers = self
            .docker()
            .build_image(options, None, Some(bollard::body_full(build.context)));
        let mut answers = std::pin::pin!(answers);
        let mut last: Vec<String> = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(said) => {
                    for line in said
                        .stream
                        .iter()
                        .chain(&said.status)
                        .flat_map(|text| text.lines())
                    {
                        if line.trim().is_empty() {
                            continue;
                        }
                        step(line);
                        if last.len() == 20 {
                            last.remove(0);
                        }
                        last.push(line.to_owned());
                    }
                }
                Err(error) => {
                    last.push(words(error));
                    return Err(Error::failed(format!("the image {} cannot be built", build.tag))
                        .because(anyhow::anyhow!(last.join("\n"))));
                }
            }
        }
        Ok(())
    }

    /// Takes a tag away, and the image with its last tag; `false` when a container uses it. Never by force.
    pub async fn remove_image(&self, reference: &str) -> Result<bool> {
        let removed = self
            .docker()
            .remove_image(reference, None::<RemoveImageOptions>, None)
            .await;
        match removed {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(true),
            Err(error) if status(&error) == Some(409) => Ok(false),
            Err(error) => Err(told(&format!("remove the image {reference}"), error)),
        }
    }
}
