//! The build context: the few small files a generated Dockerfile needs, as an in-memory tar.
//!
//! It is deterministic (sorted, no times, no owners), because BuildKit's cache keys of `COPY` and
//! `RUN --mount=type=bind` depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use crate::error::{Error, Result};

/// Files by their path relative to the context's root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildContext {
    files: BTreeMap<String, (u32, Vec<u8>)>,
}

impl BuildContext {
    /// A context without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the regular file `path` (relative, `/` between components) with permission bits `mode`;
    /// a file already there is replaced.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), (mode, bytes.into()));
        self
    }

    /// The tar archive, the same bytes for the same files.
    ///
    /// # Errors
    /// When a path is absolute, holds `..`, or names both a file and a folder: a bug in dkr.
    pub fn into_bytes(self) -> Result<Vec<u8>> {
        let folders: BTreeSet<&str> = self.files.keys().flat_map(|path| ancestors(path)).collect();
        let mut archive = tar::Builder::new(Vec::new());
        for folder in &folders {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            archive
                .append_data(&mut header, format!("{folder}/"), std::io::empty())
                .map_err(|e| unusable(folder).source(e))?;
        }
        for (path, (mode, bytes)) in &self.files {
            let inside = Path::new(path)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                return Err(unusable(path).cause("it is not inside"));
            }
            if folders.contains(path.as_str()) {
                return Err(unusable(path).cause("it is a folder too"));
            }
            let mut header = header(tar::EntryType::Regular, *mode, bytes.len() as u64);
            archive
                .append_data(&mut header, path, bytes.as_slice())
                .map_err(|e| unusable(path).source(e))?;
        }
        archive
            .into_inner()
            .map_err(|e| Error::bug("cannot write the build context").source(e))
    }
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

fn unusable(path: &str) -> Error {
    Error::bug(format!("cannot put `{path}` into the build context"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_sorted_without_times_and_owners() {
        let context = BuildContext::new()
            .file("dkr/clone.sh", 0o755, "#!/bin/sh\n")
            .file("Dockerfile", 0o644, "FROM scratch\n");
        let bytes = context.clone().into_bytes().unwrap();
        assert_eq!(bytes, context.into_bytes().unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 0);
                assert_eq!(header.uid().unwrap() + header.gid().unwrap(), 0);
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap())
            })
            .collect();
        let expected = [
            ("dkr/", 0o755),
            ("Dockerfile", 0o644),
            ("dkr/clone.sh", 0o755),
        ];
        assert_eq!(
            entries,
            expected.map(|(path, mode)| (path.to_owned(), mode))
        );
    }

    #[test]
    fn a_long_path_survives_and_a_path_outside_is_refused() {
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        let bytes = BuildContext::new()
            .file(&long, 0o644, "x")
            .into_bytes()
            .unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let last = archive.entries().unwrap().last().unwrap().unwrap();
        assert_eq!(last.path().unwrap().to_str(), Some(long.as_str()));
        for path in ["../x", "a/../../x", "/etc/x"] {
            let context = BuildContext::new().file(path, 0o644, "x");
            assert!(context.into_bytes().is_err(), "{path}");
        }
        let both = BuildContext::new()
            .file("a", 0o644, "")
            .file("a/b", 0o644, "");
        assert!(both.into_bytes().is_err());
    }
}
