//! The arguments of the commands that look, explain and tidy up.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::completion::Offer;
use super::values::switch;
use super::{Given, SshArgs};

pub(super) const INSPECT_EXAMPLES: &str = "Examples:
  dkr inspect-image                         the newest image of the current repository
  dkr inspect-image ~/src/linux v6.12       the image of a tag of another repository
  dkr inspect-image dkr:linux-main          an image by its tag
  dkr inspect-image 5b32e5e2aff3 --json     an image by its id, for programs";

pub(super) const REMOVE_EXAMPLES: &str = "Examples:
  dkr remove-image dkr:linux-main-0a1b2c    one image, by a tag or its id
  dkr remove-image $(dkr list-images -q .)  every image of the current repository";

pub(super) const PRUNE_EXAMPLES: &str = "Examples:
  dkr prune                          of each branch keep the two newest images
  dkr prune . --keep 1               of the current repository, keep only the newest ones
  dkr prune --older-than 2w          remove only what is older than two weeks
  dkr prune --dry-run                say what would be removed, and how much that is

Containers that have ended go, too, but not with work that is nowhere else. What a container uses
stays, and so does every image that a kept one was built on.";

pub(super) const STATUS_EXAMPLES: &str = "Examples:
  dkr status                 the current repository
  dkr status ~/src/linux     another one
  dkr status --json          the same for programs";

pub(super) const DOCTOR_EXAMPLES: &str = "Examples:
  dkr doctor                             check everything, change nothing
  dkr doctor --image dkr:linux-main      also time `git status` in a container of that image
  dkr doctor --json                      the same for programs

The exit code is 1 if a check failed; warnings leave it at 0.";

pub(super) const INIT_EXAMPLES: &str = "Examples:
  dkr init                   in the current repository
  dkr init ~/src/linux       in another one

Every line of the file is a comment: it changes nothing until you edit and commit it.";

pub(super) const SHOW_CONFIG_EXAMPLES: &str = "Examples:
  dkr show-config                      every setting
  DKR_STALE=fail dkr show-config       a variable wins over the file
  dkr show-config --json               the same for programs";

/// Arguments of `inspect-image`.
#[derive(Debug, Clone, Args)]
pub struct InspectImageArgs {
    /// Tag or id of an image, or path of a repository [default: the current directory's]
    #[arg(value_name = "IMAGE|REPO", value_hint = ValueHint::DirPath, add = Offer::Images)]
    pub image: Option<PathBuf>,
    /// Branch, `remote/branch`, tag or commit of the repository [default: any]
    #[arg(value_name = "REF", allow_hyphen_values = true, add = Offer::Refs)]
    pub reference: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `remove-image`.
#[derive(Debug, Clone, Args)]
pub struct RemoveImageArgs {
    /// Tags or ids of images
    #[arg(value_name = "NAME", required = true, add = Offer::Images)]
    pub names: Vec<String>,
    /// Also if a stopped container uses the image, or another image was built on it
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `prune`.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Path of a repository [default: all repositories]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// How many images of each branch to keep
    #[arg(long = "keep", value_name = "N", default_value_t = 2)]
    pub newest: usize,
    /// Remove only what is older: 12h, 3d, 2w
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Say what would be removed, and remove nothing
    #[arg(long, value_parser = switch)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Do not ask, and also remove containers with work that is nowhere else
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub repo: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The flags that were given.
    #[command(flatten)]
    pub given: Given,
    /// Also time `git status` in a container of this image: its tag or id
    #[arg(long, value_name = "NAME", add = Offer::Images)]
    pub image: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How to reach the repository.
    #[command(flatten)]
    pub ssh: SshArgs,
}

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub path: Option<PathBuf>,
}

/// Arguments of `show-config`.
#[derive(Debug, Clone, Args)]
pub struct ShowConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads `12h`, `3d`, `2w`: a number and a unit.
fn age(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86_400),
        ('w', 7 * 86_400),
    ];
    let read = || {
        let unit = text.chars().last()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds).map(Duration::from_secs)
    };
    read().ok_or_else(|| "expected a number and a unit: 30m, 12h, 3d or 2w".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for text in [
            "",
            "3",
            "d",
            "-1d",
            "1.5d",
            "3 d",
            "1y",
            "1ü",
            "99999999999999999999w",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
