//! From a `.dkr.conf` to the specification of a Dockerfile and the context it is built with.

use std::collections::BTreeMap;

use crate::buildkit::BuildContext;
use crate::git::Target;
use crate::git::exported::{ExportedRef, packed_refs};
use crate::image::dkr_conf::{DkrConf, RawSection, SectionName};
use crate::image::dockerfile::{BuildSpec, RUNTIME, Section, TOOLS};
use crate::image::runtime::RUNTIME_FILES;

/// The build arguments that raw sections may use.
const ARGUMENTS: [&str; 4] = ["HOST_ADDR", "REPO_PATH", "BRANCH", "GIT_USER"];

/// The specification of an image on `from`.
pub fn build_spec(conf: &DkrConf, from: &str) -> BuildSpec {
    let section = |name| conf.section(name).map(raw_section);
    BuildSpec {
        from: from.to_owned(),
        on_objects: false,
        packages: conf.packages.clone(),
        pre_packages: section(SectionName::PrePackages),
        pre_clone: section(SectionName::PreClone),
        post_clone: section(SectionName::PostClone),
    }
}

fn raw_section(section: &RawSection) -> Section {
    let instructions = section.instructions.iter();
    Section {
        name: section.name.to_string(),
        text: section.text.clone(),
        instructions: instructions.map(|i| (i.line, i.text.clone())).collect(),
        arguments: ARGUMENTS
            .into_iter()
            .filter(|argument| section.mentions(argument))
            .collect(),
    }
}

/// How a build reaches the repository, and what its scripts need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRemote {
    /// The URL of the remote `host`.
    pub url: String,
    /// Lines for `known_hosts`: the pinned key of the server.
    pub known_hosts: String,
    /// The user on the host.
    pub user: String,
    /// The host as the build sees it.
    pub host: String,
    /// The port of its server.
    pub port: u16,
}

/// The values of the build arguments.
pub fn build_arguments(
    target: &Target,
    remote: &BuildRemote,
    repo_path: &str,
) -> BTreeMap<String, String> {
    let reference = if target.is_branch() {
        target.ref_name.as_str()
    } else {
        ""
    };
    let values = [
        ("HOST_ADDR", remote.host.as_str()),
        ("REPO_PATH", repo_path),
        ("BRANCH", &target.branch),
        ("GIT_USER", &remote.user),
        ("DKR_BRANCH", &target.branch),
        ("DKR_REF", reference),
    ];
    let pairs = values.into_iter();
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The files that install packages.
pub fn tools() -> BuildContext {
    let install = include_str!("../../assets/install-packages.sh");
    BuildContext::new().file(format!("{TOOLS}/install-packages.sh"), 0o755, install)
}

/// What the scripts of a branch image read: what varies, one value a file.
///
/// `refs` are those that are fetched: the engine's cache key does not cover what comes over SSH, so
/// everything that determines it must be a file. `broken` says whether the host also has broken refs,
/// `followed` whether a later step may change the work tree.
pub fn branch_files(
    target: &Target,
    refs: &[ExportedRef],
    broken: bool,
    followed: bool,
) -> Vec<(&'static str, String)> {
    let flag = |set| if set { "yes" } else { "" }.to_owned();
    let branch = if target.is_branch() {
        target.branch.clone()
    } else {
        String::new()
    };
    vec![
        ("clone.sh", include_str!("../../assets/clone.sh").to_owned()),
        (
            "update.sh",
            include_str!("../../assets/update.sh").to_owned(),
        ),
        (
            "baseline.sh",
            include_str!("../../assets/baseline.sh").to_owned(),
        ),
        (
            "environment.sh",
            include_str!("../../assets/environment.sh").to_owned(),
        ),
        ("commit", target.commit.to_string()),
        ("branch", branch),
        ("broken", flag(broken)),
        ("followed", flag(followed)),
        ("upstream", target.ref_name.clone()),
        ("refspec", target.refspec()),
        ("refs", packed_refs(refs)),
    ]
}

/// What stays in every branch image.
pub fn runtime(mut context: BuildContext) -> BuildContext {
    let bazelrc = include_str!("../../assets/bazelrc");
    context = context.file(format!("{RUNTIME}/home/.bazelrc"), 0o644, bazelrc);
    for file in RUNTIME_FILES {
        let mode = if file.executable { 0o755 } else { 0o644 };
        context = context.file(format!("{RUNTIME}/lib/{}", file.name), mode, file.contents);
    }
    context
}

#[cfg(test)]
mod tests;
