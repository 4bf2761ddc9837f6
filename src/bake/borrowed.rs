//! What is baked of a repository that borrows objects from another one (git's alternates): not the
//! packs, which also hold what only the other's branches and stash reach, but a new pack of what its
//! own refs reach.

use std::path::Path;

use super::create::Create;
use super::disk_space;
use super::job::BakeJob;
use crate::app::Context;
use crate::buildkit::git_progress;
use crate::engine::Engine;
use crate::error::Result;
use crate::git::exported::ids;
use crate::git::packs::Packs;
use crate::git::reachable_pack::{self, ReachablePack, Wanted};
use crate::ssh::settings::current_user;
use crate::text::size;
use crate::ui::progress::Stage;

/// A pack's indexes are about one part in this many of its size.
const INDEX_SHARE: u64 = 16;

/// Packs what is `wanted` of a repository with these packs, and prints a message.
///
/// # Errors
/// The reason why that is impossible, as the end of a sentence.
pub async fn pack(
    create: &Create<'_>,
    job: &BakeJob<'_>,
    packs: &Packs,
    wanted: Wanted,
    cx: &Context,
) -> std::result::Result<ReachablePack, String> {
    let repo = create.repo;
    let lenders: Vec<String> = packs
        .borrowed
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    cx.ui.message(&format!(
        "`{}` borrows objects from {}: baking only what its own refs reach",
        repo.root(),
        lenders.join(", ")
    ));
    let account = &job.remote.user;
    if current_user(&cx.env).is_ok_and(|user| user != *account) {
        return Err(format!(
            "the pack of what its refs reach would be in a directory that `{account}` cannot read"
        ));
    }
    if let Some(folder) = reachable_pack::folder(&cx.env) {
        fits(&folder, packs, || {
            repo.disk_usage(&wanted.tips.iter().collect(), &wanted.known)
        })?;
    }
    let waiting = cx.ui.waiting("packing what the repository's refs reach");
    let mut show = |line: &str| {
        if let Some(git) = git_progress::parse(line) {
            waiting.stage(Stage::new(git.stage).at(git.current, git.total.unwrap_or(0)));
        }
    };
    tokio::select! {
        packed = repo.pack_reachable(wanted, &cx.env, &mut show) => packed,
        () = cx.signals.interrupt().cancelled() => Err("the user interrupted it".to_owned()),
    }
}

/// Whether the disk of `folder` has space for a pack of `needed` bytes of objects out of `packs`;
/// `needed` takes time to compute.
fn fits(
    folder: &Path,
    packs: &Packs,
    needed: impl FnOnce() -> Option<u64>,
) -> std::result::Result<(), String> {
    let Some(free) = disk_space::free_above(folder).filter(|free| *free < packs.bytes()) else {
        return Ok(());
    };
    match needed().map(|bytes| bytes + bytes / INDEX_SHARE) {
        Some(needed) if needed > free => Err(format!(
            "a pack of what its refs reach needs {}, and `{}` has {} left",
            size(needed),
            folder.display(),
            size(free)
        )),
        _ => Ok(()),
    }
}

/// Rejects a plain clone that does not fit on the engine's disk: it copies what the refs reach, which
/// takes time to compute if the packs hold more than that.
///
/// # Errors
/// As [`disk_space::check`].
pub async fn check_clone(create: &Create<'_>, engine: &Engine) -> Result<()> {
    let packs = create.repo.packs().unwrap_or_default();
    match disk_space::check(create, packs.bytes(), engine).await {
        Err(_) if !packs.borrowed.is_empty() => {
            let tips = ids(&create.repo.shared_refs(&create.target.commit)?);
            disk_space::check(create, create.repo.reached_bytes(&tips), engine).await
        }
        checked => checked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::packs::{PackFile, PackFolder};

    #[test]
    fn a_pack_that_does_not_fit_is_named_with_both_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("not/there/yet");
        let packs = |bytes| Packs {
            folders: vec![PackFolder {
                path: "/p".into(),
                files: vec![PackFile {
                    name: "pack-1.pack".into(),
                    size: bytes,
                }],
            }],
            ..Packs::default()
        };
        let unasked = || unreachable!();
        assert_eq!(fits(&place, &packs(1), unasked), Ok(()));
        assert_eq!(fits(&place, &packs(u64::MAX), || Some(1)), Ok(()));
        assert_eq!(fits(&place, &packs(u64::MAX), || None), Ok(()));
        let reason = fits(&place, &packs(u64::MAX), || Some(8_000_000_000_000_000)).unwrap_err();
        assert!(reason.contains("needs 8.5 PB"), "{reason}");
        assert!(reason.ends_with("B left"), "{reason}");
    }
}
