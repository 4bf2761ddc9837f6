//! How much of the host's repository an object image lacks, and whether it must be updated before a
//! branch image is built on it.

use std::collections::BTreeSet;

use crate::engine::Engine;
use crate::engine::archive::read_file;
use crate::engine::containers::{self, ContainerSpec};
use crate::engine::temporary;
use crate::error::Result;
use crate::git::Repository;
use crate::git::packs::Packs;

/// The refs of the repository in an object image.
const REFS: &str = "/var/lib/dkr/packed-refs";
/// The names of its packs, as `objects.sh` writes them.
const PACKS: &str = "/var/lib/dkr/packs";
/// The maximum size of either file, in bytes: a million refs.
const LIMIT: u64 = 256 << 20;

/// Less than this share of the repository, in percent, is left to each branch image to fetch.
const SHARE: u64 = 20;
/// Less than this, in bytes, is left to it, too: fetching it is quick.
const LITTLE: u64 = 16 << 20;
/// The maximum share of the repository of a layer of new packs, in percent: above it, an image built
/// from scratch is not much larger.
const LAYER: u64 = 60;
/// The maximum number of layers to add to an object image.
pub const CHAIN: usize = 5;

/// What to do with an object image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectAction {
    /// Build on it.
    Fresh,
    /// Add a layer with the new packs.
    AddLayer,
    /// Build a new one from scratch.
    MakeAnew,
}

/// What an object image holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// The ids of its refs.
    pub tips: BTreeSet<String>,
    /// The names of its packs.
    pub packs: BTreeSet<String>,
}

impl ObjectState {
    /// Reads it from the image `id`, through a container that never runs.
    ///
    /// # Errors
    /// When the container cannot be created, or the files cannot be read.
    pub async fn read(engine: &Engine, id: &str) -> Result<Self> {
        let spec = ContainerSpec {
            image: id.to_owned(),
            command: vec!["true".to_owned()],
            labels: temporary::labels(id),
            ..ContainerSpec::default()
        };
        let container = containers::create(engine, &spec).await?;
        let refs = read_file(engine, &container, REFS, LIMIT).await;
        let packs = read_file(engine, &container, PACKS, LIMIT).await;
        containers::remove(engine, &container).await?;
        let text = |bytes: Option<Vec<u8>>| {
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        Ok(ObjectState::parse(&text(refs?), &text(packs?)))
    }

    fn parse(refs: &str, packs: &str) -> Self {
        let is_id = |id: &&str| id.len() == 40 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let ids = refs.lines().filter_map(|line| line.split(' ').next());
        ObjectState {
            tips: ids.filter(is_id).map(str::to_owned).collect(),
            packs: packs.lines().map(str::to_owned).collect(),
        }
    }

    /// Judges the image, which has `chain` layers of new packs already, against the repository as
    /// it is now, with the tips `tips` and the packs `packs`.
    pub fn judge(
        &self,
        repo: &Repository,
        tips: &BTreeSet<String>,
        packs: &Packs,
        chain: usize,
    ) -> ObjectAction {
        if packs.borrowed_files().any(|name| self.packs.contains(name)) {
            // An older dkr copied everything that the other repository has.
            return ObjectAction::MakeAnew;
        }
        let new: BTreeSet<&String> = tips.difference(&self.tips).collect();
        if new.is_empty() {
            return ObjectAction::Fresh;
        }
        // If the size is not known, fetch it.
        let lacking = repo.disk_usage(&new, &self.tips).unwrap_or(0);
        if lacking < LITTLE {
            return ObjectAction::Fresh;
        }
        if packs.borrowed.is_empty() {
            weigh(lacking, self.copied(packs), packs.bytes(), chain)
        } else {
            // Only that is packed, and the packs do not tell the total.
            weigh(lacking, lacking, repo.reached_bytes(tips), chain)
        }
    }

    /// The bytes of the packs that the image does not hold.
    fn copied(&self, packs: &Packs) -> u64 {
        let files = packs.files();
        let copied = files.filter(|file| !self.packs.contains(&file.name));
        copied.map(|file| file.size).sum()
    }
}

/// Judges by sizes in bytes: what the image lacks, what a layer would add, and the whole repository.
fn weigh(lacking: u64, copied: u64, whole: u64, chain: usize) -> ObjectAction {
    if lacking * 100 < whole * SHARE {
        return ObjectAction::Fresh;
    }
    if chain >= CHAIN || copied * 100 > whole * LAYER {
        return ObjectAction::MakeAnew;
    }
    ObjectAction::AddLayer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::packs::{PackFile, PackFolder};
    use crate::git::testing::TestRepo;

    fn packs(files: &[(&str, u64)]) -> Packs {
        let files = files.iter().map(|(name, size)| PackFile {
            name: (*name).to_owned(),
            size: *size,
        });
        Packs {
            folders: vec![PackFolder {
                path: "/p".into(),
                files: files.collect(),
            }],
            ..Packs::default()
        }
    }

    #[test]
    fn what_an_image_holds_is_read_back() {
        let id = "0".repeat(40);
        let refs = format!("# pack-refs with: peeled sorted \n{id} refs/heads/a\n^{id}\n");
        let held = ObjectState::parse(&refs, "pack-1.idx\npack-1.pack\n");
        assert_eq!(Vec::from_iter(&held.tips), [&id]);
        assert!(held.packs.contains("pack-1.pack"));
        assert_eq!(ObjectState::parse("", ""), ObjectState::default());
    }

    #[test]
    fn much_that_is_new_makes_a_layer_and_too_much_an_image() {
        const MIB: u64 = 1 << 20;
        let old = packs(&[("pack-1.pack", 100 * MIB)]);
        let grown = packs(&[("pack-1.pack", 100 * MIB), ("pack-2.pack", 30 * MIB)]);
        let repacked = packs(&[("pack-3.pack", 130 * MIB)]);
        let held = ObjectState {
            packs: BTreeSet::from(["pack-1.pack".to_owned()]),
            ..ObjectState::default()
        };
        let verdict = |lacking, packs: &Packs, chain| {
            weigh(lacking, held.copied(packs), packs.bytes(), chain)
        };
        assert_eq!(verdict(19 * MIB, &old, 0), ObjectAction::Fresh);
        assert_eq!(verdict(30 * MIB, &grown, 0), ObjectAction::AddLayer);
        assert_eq!(verdict(30 * MIB, &grown, CHAIN), ObjectAction::MakeAnew);
        assert_eq!(verdict(30 * MIB, &repacked, 0), ObjectAction::MakeAnew);
    }

    #[test]
    fn an_image_with_packs_of_another_repository_is_made_anew() {
        let repo = TestRepo::new();
        let tips = BTreeSet::from([repo.commit("a", "1")]);
        repo.git(&["repack", "-adq"]);
        let path = repo.path().with_file_name("shared");
        repo.git(&["clone", "-q", "--shared", ".", path.to_str().unwrap()]);
        let shared = Repository::discover(&path).unwrap();
        let listed = shared.packs().unwrap();
        let names = listed.files().map(|file| file.name.clone());
        let mut held = ObjectState {
            packs: names.collect(),
            tips: tips.clone(),
        };
        let judge = |held: &ObjectState| held.judge(&shared, &tips, &listed, 0);
        assert_eq!(judge(&held), ObjectAction::MakeAnew);
        held.packs = BTreeSet::from(["reached-1.pack".to_owned()]);
        assert_eq!(judge(&held), ObjectAction::Fresh);
        held.tips.clear();
        // Little is new.
        assert_eq!(judge(&held), ObjectAction::Fresh);
    }
}
