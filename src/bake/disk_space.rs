//! Whether a bake fits on the engine's disk. Checked before it starts, because a full disk stops more
//! than dkr.

use std::path::Path;

use super::create::Create;
use crate::engine::{Engine, EngineInfo, Location};
use crate::error::{Error, Result};
use crate::text::size;

/// How many copies containerd's store holds of what is baked: compressed, unpacked, and in between.
const CONTAINERD_COPIES: u64 = 3;

/// Rejects a bake that adds `objects` bytes of packs and a work tree, if the engine's disk is known
/// to have less free space.
///
/// # Errors
/// When there is not enough space and `create` does not force it.
pub async fn check(create: &Create<'_>, objects: u64, engine: &Engine) -> Result<()> {
    if create.force || engine.location().await? != Location::ThisMachine {
        return Ok(());
    }
    let info = engine.info().await?;
    let needed = needed(
        objects + create.repo.tree_bytes(&create.target.commit),
        info,
    );
    match free(Path::new(&info.data_root)) {
        Some(free) => judge(needed, free, &info.data_root),
        // A directory that is not visible from here tells nothing.
        None => Ok(()),
    }
}

fn needed(bytes: u64, info: &EngineInfo) -> u64 {
    if info.containerd_store {
        bytes.saturating_mul(CONTAINERD_COPIES)
    } else {
        bytes
    }
}

/// The free bytes of the file system of `folder`, which need not exist yet.
pub fn free_above(folder: &Path) -> Option<u64> {
    folder
        .ancestors()
        .find(|folder| folder.exists())
        .and_then(free)
}

/// The free bytes of the file system of `folder`.
fn free(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

fn judge(needed: u64, free: u64, folder: &str) -> Result<()> {
    if needed <= free {
        return Ok(());
    }
    Err(
        Error::failed("not enough space for the image on the engine's disk")
            .cause(format!(
                "it needs {}, and `{folder}` has {} left",
                size(needed),
                size(free)
            ))
            .hint("`dkr prune` removes what newer images have replaced")
            .hint("`--force` tries anyway"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_refused_with_both_numbers() {
        assert!(judge(10, 10, "/d").is_ok());
        let error = judge(42_000_000_000, 1_500_000, "/d").unwrap_err();
        assert_eq!(error.causes, ["it needs 42.0 GB, and `/d` has 1.5 MB left"]);
    }

    #[test]
    fn a_store_with_copies_needs_more() {
        let mut info = EngineInfo::default();
        assert_eq!(needed(10, &info), 10);
        info.containerd_store = true;
        assert_eq!(needed(10, &info), 30);
    }

    #[test]
    fn room_is_known_only_where_the_folder_is() {
        assert!(free(Path::new("/")).is_some());
        assert_eq!(free(Path::new("/nonexistent/folder")), None);
    }
}
