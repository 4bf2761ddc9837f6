//! A volume or bind mount of a container, in the syntax of `docker run -v`.
//!
//! Used for `volumes` in `.dkr.conf` and for the flag `-v`. The caller decides whether a host
//! path is allowed.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::text::{one_of, shown};

/// The options that the engine knows after the second `:`.
const OPTIONS: &[&str] = &[
    "ro",
    "rw",
    "z",
    "Z",
    "nocopy",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "cached",
    "consistent",
    "delegated",
];

/// Paths that dkr needs in a container, and what they are: nothing may be mounted on them, in them (but
/// see [`WORKSPACE`]) or over them. `/var/run` is a link to `/run` in most images.
const TAKEN: [(&str, &str); 7] = [
    (
        "/workspace/.git",
        "the git directory of the image's repository",
    ),
    ("/usr/local/lib/dkr", "the directory of dkr's own programs"),
    ("/var/lib/dkr", "the directory of the repository's objects"),
    ("/run/dkr", "the container's channel to the host"),
    ("/var/run/dkr", "the container's channel to the host"),
    ("/run/secrets/anthropic_key", "the path of the API key"),
    ("/var/run/secrets/anthropic_key", "the path of the API key"),
];
/// The work tree of the image; a directory in it may be a volume.
const WORKSPACE: &str = "/workspace";

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A volume that the engine keeps under this name.
    Named(String),
    /// An absolute path of the engine's host.
    HostPath(PathBuf),
}

/// One mount: `SOURCE:TARGET[:OPTION,…]`.
///
/// Its [`Display`](fmt::Display) form is that text again, which is what the engine's API calls
/// a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is mounted.
    pub source: VolumeSource,
    /// Where, an absolute path in the container without `.`, `..`, `//` or a `/` at its end.
    pub target: String,
    /// The mount's options as written, such as `ro` or `z`.
    pub options: Vec<String>,
}

impl Volume {
    /// Reads `NAME:/target[:options]` or `/host/path:/target[:options]`.
    ///
    /// # Errors
    /// If `text` is neither; the message quotes it and says what was expected.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|expected| {
            let text = shown(text);
            Error::usage(format!("invalid volume `{text}`: expected {expected}"))
        })
    }

    /// As [`Volume::parse`]; the error is what was expected.
    pub(super) fn read(text: &str) -> std::result::Result<Self, String> {
        let mut parts = text.split(':');
        let (Some(source), Some(target), options, None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("`NAME:/path` or `NAME:/path:ro`".to_owned());
        };
        if text.contains(char::is_control) {
            return Err("a volume without control characters".to_owned());
        }
        let target = read_target(target)?;
        Ok(Volume {
            source: read_source(source)?,
            target,
            options: options.map_or(Ok(Vec::new()), read_options)?,
        })
    }

    /// Whether the container cannot write to it.
    #[cfg(test)]
    pub fn read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    /// The path of the host that it mounts; `None` for a named volume.
    pub fn host_path(&self) -> Option<&Path> {
        match &self.source {
            VolumeSource::HostPath(path) => Some(path),
            VolumeSource::Named(_) => None,
        }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            VolumeSource::Named(name) => write!(f, "{name}:{}", self.target)?,
            VolumeSource::HostPath(path) => write!(f, "{}:{}", path.display(), self.target)?,
        }
        if !self.options.is_empty() {
            write!(f, ":{}", self.options.join(","))?;
        }
        Ok(())
    }
}

fn read_source(source: &str) -> std::result::Result<VolumeSource, String> {
    if source.starts_with('/') {
        return Ok(VolumeSource::HostPath(PathBuf::from(source)));
    }
    if source.starts_with(['.', '~']) {
        return Err("an absolute host path before the `:`".to_owned());
    }
    // The engine refuses names of one character.
    let is_name = source.len() >= 2
        && source.starts_with(|c: char| c.is_ascii_alphanumeric())
        && source
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    if !is_name {
        return Err("a volume name of two or more of `a-z A-Z 0-9 _ . -` before the `:`".into());
    }
    Ok(VolumeSource::Named(source.to_owned()))
}

/// Normalizes a path: the engine treats two spellings of one path as different.
fn read_target(target: &str) -> std::result::Result<String, String> {
    let mut path = String::new();
    for part in target.split('/').filter(|part| !matches!(*part, "" | ".")) {
        path.push('/');
        path.push_str(part);
    }
    if !target.starts_with('/') || path.is_empty() || path.split('/').any(|part| part == "..") {
        return Err(
            "an absolute path other than `/`, without `..`, after the name of the volume"
                .to_owned(),
        );
    }
    match taken(&path) {
        None => Ok(path),
        Some((place, what)) => Err(format!(
            "a path in the container that dkr does not use: `{place}` is {what}"
        )),
    }
}

/// The path that dkr needs and that a mount at `path` would hide or be inside of.
fn taken(path: &str) -> Option<(&'static str, &'static str)> {
    if path == WORKSPACE {
        return Some((WORKSPACE, "the repository of the image"));
    }
    let (path, mut all) = (Path::new(path), TAKEN.into_iter());
    all.find(|(place, _)| path.starts_with(place) || Path::new(place).starts_with(path))
}

fn read_options(options: &str) -> std::result::Result<Vec<String>, String> {
    let options: Vec<&str> = options.split(',').collect();
    if !options.iter().all(|option| OPTIONS.contains(option)) {
        return Err(format!("the options {}", one_of(OPTIONS)));
    }
    if options.contains(&"ro") && options.contains(&"rw") {
        return Err("either `ro` or `rw`".to_owned());
    }
    Ok(options.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_volume_and_a_host_path_come_back_as_written() {
        for text in [
            "bazel-cache:/bazel-cache",
            "a1:/x:ro",
            "/srv/data:/data:rw,z",
        ] {
            assert_eq!(Volume::parse(text).unwrap().to_string(), text);
        }
        let volume = Volume::parse("/srv/data:/data:ro").unwrap();
        assert!(volume.read_only());
        assert_eq!(volume.host_path(), Some(Path::new("/srv/data")));
        let volume = Volume::parse("cache:/data").unwrap();
        assert!(!volume.read_only());
        assert_eq!(volume.source, VolumeSource::Named("cache".into()));
    }

    #[test]
    fn one_place_has_one_spelling() {
        for text in ["cache:/data/x/", "cache://data/./x", "cache:/data//x/."] {
            let volume = Volume::parse(text).unwrap();
            assert_eq!(volume.target, "/data/x");
            assert_eq!(volume.to_string(), "cache:/data/x");
        }
    }

    #[test]
    fn what_dkr_needs_in_a_container_is_refused_and_the_rest_is_free() {
        for (target, place) in [
            ("/workspace", "/workspace"),
            ("//workspace/./", "/workspace"),
            ("/workspace/.git", "/workspace/.git"),
            ("/workspace/.git/hooks", "/workspace/.git"),
            ("/usr", "/usr/local/lib/dkr"),
            ("/usr/local/", "/usr/local/lib/dkr"),
            ("/usr/local/lib/dkr/x", "/usr/local/lib/dkr"),
            ("/var", "/var/lib/dkr"),
            ("/var/lib", "/var/lib/dkr"),
            ("/var/lib/dkr/objects", "/var/lib/dkr"),
            ("/run", "/run/dkr"),
            ("/run/dkr", "/run/dkr"),
            ("/var/run", "/var/run/dkr"),
            ("/run/secrets", "/run/secrets/anthropic_key"),
            ("/run/secrets/anthropic_key", "/run/secrets/anthropic_key"),
        ] {
            for source in ["cache", "/home/me/repo"] {
                let error = Volume::parse(&format!("{source}:{target}:ro")).unwrap_err();
                let reason = format!("that dkr does not use: `{place}` is ");
                assert!(error.message.contains(&reason), "{target}: {error}");
            }
        }
        for target in [
            "/workspace/node_modules",
            "/workspace/.github",
            "/workspaces",
            "/root",
            "/bazel-cache",
            "/tmp",
            "/home",
            "/data",
            "/var/run/docker.sock",
            "/run/secrets/other",
            "/usr/local/bin",
            "/var/lib/dkr-data",
        ] {
            assert!(
                Volume::parse(&format!("cache:{target}")).is_ok(),
                "{target}"
            );
        }
    }

    #[test]
    fn what_docker_would_not_mount_is_refused() {
        for text in [
            "",
            "cache",
            "/data",
            ":/data",
            "cache:",
            "cache:data",
            "cache:/",
            "cache:/./",
            "cache:/data/..",
            "cache:/data/../workspace",
            "a:/data",
            "-a:/data",
            "a b:/data",
            "ca$che:/data",
            "./x:/data",
            "~/x:/data",
            "cache:/data:",
            "cache:/data:rx",
            "cache:/data:ro,rw",
            "cache:/data:ro:ro",
            "cache:/da\0ta",
        ] {
            let error = Volume::parse(text).unwrap_err();
            assert!(error.message.contains(": expected "), "{error}");
        }
    }
}
