//! The object image of a repository and a base image: found, or built from the host's unchanged
//! packs. Every branch image of the two is built on it.
//!
//! There is none where the packs cannot be copied unchanged: the branch image then gets a clone,
//! and a message says why.

use std::collections::{BTreeSet, HashMap};

use chrono::Utc;

use super::borrowed;
use super::create::{Create, random_hex};
use super::disk_space;
use super::job::BakeJob;
use super::object_state::{ObjectAction, ObjectState};
use super::run::{Build, BuildEnd};
use super::session_host::HostStream;
use crate::app::Context;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::git::exported::{ids, packed_refs};
use crate::git::packs::Packs;
use crate::git::reachable_pack::{ReachablePack, Wanted, clear_leftovers};
use crate::image::dkr_conf::ConfLabel;
use crate::image::dockerfile::Dockerfile;
use crate::image::reference::{objects_tag, own_tag};
use crate::image::search::object_images;
use crate::image::{BakedImage, ImageType, Images, Labels};

/// How many times to list and copy packs that keep changing on the host.
const ATTEMPTS: usize = 3;
/// Where the objects of a branch image come from.
pub enum Objects {
    /// From the object image with this tag.
    Image(String),
    /// From a plain clone, for this reason.
    Clone(String),
}

/// Finds the object image for `create`, or builds it.
///
/// # Errors
/// When the engine or the repository cannot be read, or the build fails for a reason that would
/// make a clone fail, too.
pub async fn provide(create: &Create<'_>, job: &BakeJob<'_>, cx: &Context) -> Result<Objects> {
    clear_leftovers(&cx.env);
    let found = if create.no_cache {
        None
    } else {
        find(create, job).await?
    };
    let mut changed = String::new();
    let mut reached = None;
    for _ in 0..ATTEMPTS {
        let waiting = cx.ui.waiting("listing the repository's packs");
        let mut listing = match Listing::of(create)? {
            Ok(listing) => listing,
            Err(reason) => return Ok(Objects::Clone(reason)),
        };
        let mut below = None;
        if let Some(found) = &found {
            let (verdict, held) = found.judge(create, job, &listing).await;
            match verdict {
                ObjectAction::Fresh => {
                    disk_space::check(create, 0, job.engine).await?;
                    return Ok(Objects::Image(found.tag.clone()));
                }
                ObjectAction::AddLayer => below = Some((found.tag.as_str(), held)),
                ObjectAction::MakeAnew => {}
            }
            cx.ui
                .message("many new packs: updating the shared object image");
        }
        if let Some(reason) = job.transport.unusable().await {
            let reason = format!("the SSH account runs no shell: {reason}");
            return Ok(Objects::Clone(reason));
        }
        drop(waiting);
        let known = below.as_ref().map(|(_, held)| held.tips.clone());
        if let Err(reason) = listing.complete(create, job, known, &mut reached, cx).await {
            return if cx.signals.interrupt().is_cancelled() {
                Err(Error::interrupted())
            } else {
                Ok(Objects::Clone(reason))
            };
        }
        disk_space::check(create, listing.packs.bytes(), job.engine).await?;
        let below = below.map(|(tag, _)| tag);
        match make(create, job, &listing, below, cx).await? {
            (BuildEnd::Built(_), tag) => {
                if let Some(old) = found {
                    // Its layers stay while images are built on it.
                    let _ = job.engine.remove_image(&old.tag).await;
                }
                return Ok(Objects::Image(tag));
            }
            (BuildEnd::Changed(what), _) => {
                cx.ui.message(&format!("{what}: copying them again"));
                changed = what;
            }
            (BuildEnd::Unusable(reason), _) => return Ok(Objects::Clone(reason)),
        }
    }
    Ok(Objects::Clone(changed))
}

/// An object image that fits.
struct Found {
    id: String,
    /// Its own tag.
    tag: String,
    /// How many layers of new packs it has.
    chain: usize,
}

impl Found {
    /// What to do with the image, and what it holds. One whose files cannot be read is used as it is:
    /// what it lacks is fetched.
    async fn judge(
        &self,
        create: &Create<'_>,
        job: &BakeJob<'_>,
        listing: &Listing,
    ) -> (ObjectAction, ObjectState) {
        match ObjectState::read(job.engine, &self.id).await {
            Ok(held) => {
                let verdict = held.judge(create.repo, &listing.tips, &listing.packs, self.chain);
                (verdict, held)
            }
            Err(_) => (ObjectAction::Fresh, ObjectState::default()),
        }
    }
}

/// The newest object image of the repository on a base image of that name, and its own tag.
pub fn object_image<'i>(
    create: &Create<'_>,
    images: &'i Images,
) -> Option<(&'i BakedImage, &'i str)> {
    let config = label(create);
    let images = object_images(images, create.repo.root()).into_iter();
    let mut images = images.filter(|image| image.labels.config.as_ref() == Some(&config));
    images.find_map(|image| Some((image, image.own_tag()?)))
}

/// The same, unless the base image has changed since.
async fn find(create: &Create<'_>, job: &BakeJob<'_>) -> Result<Option<Found>> {
    let Some((image, tag)) = object_image(create, &job.images) else {
        return Ok(None);
    };
    let Some(own) = layers(job.engine, &image.id).await? else {
        return Ok(None);
    };
    // If the engine has no image of that name, it is assumed unchanged.
    let base = layers(job.engine, &create.conf.base_image).await?;
    let above = match base {
        None => 0,
        Some(base) if own.starts_with(&base) => own.len() - base.len(),
        Some(_) => return Ok(None),
    };
    Ok(Some(Found {
        id: image.id.clone(),
        tag: tag.to_owned(),
        // The first two are dkr's packages and the first packs.
        chain: above.saturating_sub(2),
    }))
}

async fn layers(engine: &Engine, image: &str) -> Result<Option<Vec<String>>> {
    match engine.image(image).await {
        Ok(details) => Ok(Some(details.layer_digests)),
        Err(e) if e.kind == Kind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// What determines an object image, as in its label `dkr.config`: only the base image.
fn label(create: &Create<'_>) -> String {
    ConfLabel::of_base_image(&create.conf.base_image).to_json()
}

/// Builds the object image, on top of `below` if given; also returns its own tag.
async fn make(
    create: &Create<'_>,
    job: &BakeJob<'_>,
    listing: &Listing,
    below: Option<&str>,
    cx: &Context,
) -> Result<(BuildEnd, String)> {
    let dockerfile = match below {
        Some(below) => Dockerfile::more_objects(below),
        None => Dockerfile::objects(&create.conf.base_image),
    };
    let tag = own_tag(&objects_tag(create.repo.name()), &random_hex());
    let streams = listing.streams(create);
    let build = Build {
        context: job.context(&dockerfile, listing.files(&streams)),
        streams,
        dockerfile: &dockerfile,
        tags: vec![tag.clone()],
        labels: labels(create, below).to_map(),
        arguments: Default::default(),
        no_cache: create.no_cache,
        transport: &job.transport,
    };
    Ok((build.run_or_give_way(job.engine, cx).await?, tag))
}

/// The labels of an object image, which belongs to no branch.
fn labels(create: &Create<'_>, below: Option<&str>) -> Labels {
    Labels {
        repo_path: create.repo.root().to_owned(),
        repo_name: create.repo.name().to_owned(),
        branch: String::new(),
        branch_from: String::new(),
        ref_name: String::new(),
        commit: create.target.commit.to_string(),
        created_at: Utc::now(),
        image_type: ImageType::Objects,
        parent: below.map(str::to_owned),
        config: Some(label(create)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        source: create.repo.origin_url(),
    }
}

/// What to copy.
struct Listing {
    packs: Packs,
    loose: Vec<String>,
    tips: BTreeSet<String>,
    refs: String,
}

impl Listing {
    /// Lists refs first: what they reach is then in the packs that are listed after them.
    fn of(create: &Create<'_>) -> Result<std::result::Result<Self, String>> {
        let refs = create.repo.shared_refs(&create.target.commit)?;
        let packs = match create.repo.packs() {
            Ok(packs) => packs,
            Err(reason) => return Ok(Err(reason)),
        };
        Ok(Ok(Listing {
            packs,
            loose: Vec::new(),
            tips: ids(&refs),
            refs: packed_refs(&refs),
        }))
    }

    /// Looks for objects that are in use but not in the packs. Packs that are partly another repository's
    /// are replaced by one of what the refs reach, without what an image with `known` already has; it is
    /// kept in `reached` for the next attempt. The error is the reason why the packs cannot be copied.
    async fn complete(
        &mut self,
        create: &Create<'_>,
        job: &BakeJob<'_>,
        known: Option<BTreeSet<String>>,
        reached: &mut Option<ReachablePack>,
        cx: &Context,
    ) -> std::result::Result<(), String> {
        if self.packs.borrowed.is_empty() {
            let _waiting = cx.ui.waiting("looking for objects outside the packs");
            self.loose = create.repo.loose_in_use(&self.packs, &self.tips)?;
            return Ok(());
        }
        let wanted = Wanted {
            tips: self.tips.clone(),
            known: known.unwrap_or_default(),
        };
        let made = match reached.take().filter(|made| made.is_of(&wanted)) {
            Some(made) => made,
            None => borrowed::pack(create, job, &self.packs, wanted, cx).await?,
        };
        self.packs = made.packs.clone();
        *reached = Some(made);
        Ok(())
    }

    /// The commands on the host that send the packs, and what may be requested of each.
    fn streams(&self, create: &Create<'_>) -> HashMap<String, HostStream> {
        let mut streams = HashMap::new();
        for (number, folder) in self.packs.folders.iter().enumerate() {
            let command = [b"tar -cf - -C ", &*quoted(&folder.path), b" -T -"];
            let stream = HostStream {
                command: command.concat(),
                lines: folder.files.iter().map(|file| file.name.clone()).collect(),
            };
            streams.insert(format!("packs-{number}"), stream);
        }
        if !self.loose.is_empty() {
            let folder = quoted(create.repo.git_dir());
            let stream = HostStream {
                command: [b"git --git-dir=", &*folder, b" pack-objects -q --stdout"].concat(),
                lines: self.loose.iter().cloned().collect(),
            };
            streams.insert("loose".into(), stream);
        }
        streams
    }

    /// The files for `objects.sh`. They determine the engine's cache key, which does not cover what
    /// comes over SSH.
    fn files(&self, streams: &HashMap<String, HostStream>) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = vec![
            (
                "objects.sh".into(),
                include_bytes!("../../assets/objects.sh").into(),
            ),
            ("refs".into(), self.refs.clone().into()),
        ];
        for (number, folder) in self.packs.folders.iter().enumerate() {
            let list = folder.files.iter();
            let list: String = list
                .map(|file| format!("{} {}\n", file.size, file.name))
                .collect();
            files.push((format!("packs-{number}"), list.into()));
        }
        if !self.loose.is_empty() {
            files.push(("loose".into(), (self.loose.join("\n") + "\n").into()));
        }
        let commands = streams.iter().map(|(name, stream)| {
            let name = format!("streams/{name}");
            (name, stream.command.clone())
        });
        files.extend(commands);
        files
    }
}

/// A path as a word of a shell, as git quotes it (quote.c): csh takes `!` even within quotes.
fn quoted(path: &std::path::Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut word = b"'".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' | b'!' => word.extend([b'\'', b'\\', *byte, b'\'']),
            _ => word.push(*byte),
        }
    }
    word.push(b'\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_path_is_one_word() {
        let word = quoted(Path::new("/it's a $(x)!"));
        assert_eq!(word, br"'/it'\''s a $(x)'\!''");
    }
}
