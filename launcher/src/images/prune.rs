//! Removing images that nothing needs any more: those of bottles that are gone, and ours of earlier installations.
//!
//! Only what carries this home's label, and never by force: an image that a container uses stays.

use super::Images;
use crate::engine::image::Image;
use crate::error::Result;
use crate::lifecycle::lock::{How, Locked, Tried};
use crate::naming;
use contract::Slug;
use std::collections::BTreeSet;

impl Images<'_> {
    /// What nothing needs: images of bottles that are not among `live`, and shared ones that this installation would not use.
    /// Empty while somebody is making or about to use images.
    pub async fn unneeded(&self, live: &BTreeSet<Slug>) -> Result<Vec<String>> {
        let images = self.engine.images("claude-bottle-").await?;
        Ok(which(&images, &self.home.hash(), live, &self.current()))
    }

    /// Removes those of them that no container uses; gives those that it removed.
    pub async fn prune(&self, live: &BTreeSet<Slug>) -> Result<Vec<String>> {
        let lock = match Locked::attempt(&self.home.images_lock(), How::Alone)? {
            Tried::Ours(lock) => Some(lock),
            Tried::NoFile => None,
            Tried::Held => return Ok(Vec::new()),
        };
        let mut removed = Vec::new();
        for reference in self.unneeded(live).await? {
            if self.engine.remove_image(&reference).await? {
                removed.push(reference);
            }
        }
        drop(lock);
        Ok(removed)
    }
}

fn which(images: &[Image], home: &str, live: &BTreeSet<Slug>, current: &[String]) -> Vec<String> {
    let ours = images
        .iter()
        .filter(|image| image.labels.get(naming::HOME_LABEL).map(String::as_str) == Some(home));
    let mut unneeded: Vec<String> = ours
        .flat_map(|image| &image.tags)
        .filter(|tag| {
            let repository = tag
                .split_once(':')
                .map_or(tag.as_str(), |(repository, _)| repository);
            match naming::slug_of_image(tag) {
                Some(slug) => !live.contains(&slug),
                None => naming::is_shared_repository(repository) && !current.contains(tag),
            }
        })
        .cloned()
        .collect();
    unneeded.sort();
    unneeded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str, home: &str) -> Image {
        Image {
            id: "sha256:0".to_owned(),
            tags: vec![tag.to_owned()],
            labels: [(naming::HOME_LABEL.to_owned(), home.to_owned())].into(),
            size: 0,
            created: 0,
        }
    }

    #[test]
    fn only_this_homes_dead_and_outdated_images_are_unneeded() {
        let images = [
            image("claude-bottle-agent:dead-00000", "mine"),
            image("claude-bottle-agent:live-00000", "mine"),
            image("claude-bottle-agent:dead-00000", "theirs"),
            image("claude-bottle-egress:old", "mine"),
            image("claude-bottle-egress:old", "theirs"),
            image("claude-bottle-egress:now", "mine"),
            image("claude-bottle-something:else", "mine"),
        ];
        let live = BTreeSet::from(["live-00000".parse().unwrap()]);
        let current = ["claude-bottle-egress:now".to_owned()];
        assert_eq!(
            which(&images, "mine", &live, &current),
            ["claude-bottle-agent:dead-00000", "claude-bottle-egress:old"]
        );
    }
}
