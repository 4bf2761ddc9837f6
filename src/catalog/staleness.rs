//! How stale images are, compared with the branch each was built from and with its `.dkr.conf`. Each
//! repository is opened once.

use std::collections::HashMap;

use crate::bake::source::read_conf;
use crate::container::staleness::compare;
use crate::error::Result;
use crate::git::Repository;
use crate::image::dkr_conf::{Allow, ConfLabel, Drift, drift};
use crate::image::{BakedImage, Staleness};

/// The repositories opened so far, by path.
#[derive(Default)]
pub struct StalenessCheck {
    repos: HashMap<String, Result<Repository>>,
    confs: HashMap<(String, String), Option<ConfLabel>>,
}

impl StalenessCheck {
    /// How the image compares with its branch.
    pub fn staleness(&mut self, image: &BakedImage) -> Staleness {
        compare(self.repo(&image.labels.repo_path).as_ref(), image)
    }

    /// How `.dkr.conf` at the tip of the image's branch differs from what the image was built with;
    /// `None` if either cannot be read.
    pub fn drift(&mut self, image: &BakedImage) -> Option<Drift> {
        let labels = &image.labels;
        let baked = ConfLabel::parse(labels.config.as_deref()?).ok()?;
        let place = (labels.repo_path.clone(), labels.ref_name.clone());
        if !self.confs.contains_key(&place) {
            let repo = self.repo(&labels.repo_path).as_ref();
            let now = repo.ok().and_then(|repo| conf_at(repo, &labels.ref_name));
            self.confs.insert(place.clone(), now);
        }
        let now = self.confs.get(&place)?.as_ref()?;
        Some(drift(&baked, now))
    }

    fn repo(&mut self, path: &str) -> &Result<Repository> {
        let opened = self.repos.entry(path.to_owned());
        opened.or_insert_with(|| Repository::at(path))
    }
}

/// The configuration at the tip of a ref. A listing does not ask what the user allows.
fn conf_at(repo: &Repository, reference: &str) -> Option<ConfLabel> {
    let target = repo.resolve(repo.locate(Some(reference)).ok()?).ok()?;
    let allow = Allow {
        ssh_mounts: true,
        host_volumes: true,
        ..Allow::default()
    };
    Some(read_conf(repo, &target.commit, &allow).ok()?.label())
}

/// A short form for a column: `12 behind`.
pub fn in_short(staleness: &Staleness) -> String {
    let or_more = |at_least: bool| if at_least { "+" } else { "" };
    match staleness {
        Staleness::Current => "up to date".to_owned(),
        Staleness::Behind { commits, at_least } => {
            format!("{commits}{} behind", or_more(*at_least))
        }
        Staleness::Ahead { commits, at_least } => {
            format!("{commits}{} ahead", or_more(*at_least))
        }
        Staleness::Diverged { behind, ahead } => {
            format!("diverged, {behind} behind, {ahead} ahead")
        }
        Staleness::FarApart { behind, .. } => format!("{behind}+ apart"),
        Staleness::Unknown { .. } => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_few_words() {
        let behind = |commits, at_least| in_short(&Staleness::Behind { commits, at_least });
        assert_eq!(behind(12, false), "12 behind");
        assert_eq!(behind(5000, true), "5000+ behind");
        let diverged = Staleness::Diverged {
            behind: 3,
            ahead: 1,
        };
        assert_eq!(in_short(&diverged), "diverged, 3 behind, 1 ahead");
    }
}
