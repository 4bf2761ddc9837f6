//! The refs of a repository as they stand in its files: which of them are symbolic, and which a
//! service must not show.
//!
//! git's own listings leave some of them out: a symbolic ref that leads nowhere, a copy whose name
//! is none, an empty file. Its server programs write through the first, and fail at the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use git2::{Oid, Reference};

/// How many symbolic refs may lead to each other (`SYMREF_MAXDEPTH`, refs/refs-internal.h).
const DEPTH: usize = 5;
/// No file of a ref is longer (bytes): a path, and what is around it.
const CONTENT: u64 = 8 * 1024;

/// The refs of the repository with this git directory.
pub(super) struct RefFiles<'a>(pub &'a Path);

/// What the file of a ref says.
#[derive(PartialEq, Eq)]
enum Content {
    Nothing,
    Object(Oid),
    Symbolic(PathBuf),
    Garbage,
}

impl RefFiles<'_> {
    /// The full names of the refs at `name` and below that are symbolic, dangling ones included, and
    /// of the files and folders there that are symbolic links. `packed-refs` has no form for them.
    pub fn symbolic(&self, name: &str) -> Vec<PathBuf> {
        let mut found = self.files(name.as_ref());
        found.retain(|name| {
            let leads_on = || matches!(self.content(name), Content::Symbolic(_));
            self.0.join(name).is_symlink() || leads_on()
        });
        found
    }

    /// The full names of the refs in `folders`, such as `refs/heads/`, that must not be shown: they
    /// lead to nothing, or to a ref that is in none of the folders. `missing` picks those that are
    /// not there of a number of objects.
    pub fn unfit(
        &self,
        folders: &[String],
        missing: impl Fn(&BTreeSet<Oid>) -> BTreeSet<Oid>,
    ) -> BTreeSet<PathBuf> {
        let unfit = self.unfit_now(folders, &missing);
        if unfit.is_empty() {
            return unfit;
        }
        // A ref that git has just packed is in neither place for somebody who reads both.
        let again = self.unfit_now(folders, &missing);
        unfit.intersection(&again).cloned().collect()
    }

    fn unfit_now(
        &self,
        folders: &[String],
        missing: &dyn Fn(&BTreeSet<Oid>) -> BTreeSet<Oid>,
    ) -> BTreeSet<PathBuf> {
        let is_shown = |name: &Path| folders.iter().any(|folder| name.starts_with(folder));
        let files = folders
            .iter()
            .flat_map(|folder| self.files(folder.as_ref()));
        let mut names: BTreeSet<PathBuf> =
            files.filter(|name| !self.0.join(name).is_dir()).collect();
        let packed = self.packed();
        names.extend(packed.keys().filter(|name| is_shown(name)).cloned());
        let object_of = |name: &PathBuf| {
            let (end, object) = self.end_of(name, &packed)?;
            (is_valid(name) && is_shown(&end)).then_some(object)
        };
        let objects: BTreeMap<PathBuf, Option<Oid>> = names
            .into_iter()
            .map(|name| (name.clone(), object_of(&name)))
            .collect();
        let missing = missing(&objects.values().flatten().copied().collect());
        let mut unfit = objects.into_iter();
        let unfit = unfit.by_ref().filter(|(_, object)| match object {
            Some(object) => missing.contains(object),
            None => true,
        });
        unfit.map(|(name, _)| name).collect()
    }

    /// The last of the refs that lead from `name` to each other, and its object.
    fn end_of(&self, name: &Path, packed: &HashMap<PathBuf, Oid>) -> Option<(PathBuf, Oid)> {
        let mut name = name.to_owned();
        for _ in 0..=DEPTH {
            match self.content(&name) {
                Content::Object(object) => return Some((name, object)),
                Content::Symbolic(next) => name = next,
                Content::Nothing => return packed.get(&name).map(|object| (name, *object)),
                Content::Garbage => return None,
            }
        }
        None
    }

    /// The files and symbolic links at `name` and below.
    fn files(&self, name: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut next = vec![name.to_owned()];
        while let Some(name) = next.pop() {
            let path = self.0.join(&name);
            let Ok(meta) = path.symlink_metadata() else {
                continue;
            };
            if !meta.is_dir() {
                found.push(name);
                continue;
            }
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            next.extend(entries.map(|entry| name.join(entry.file_name())));
        }
        found
    }

    /// As git reads it (`files_read_raw_ref`, refs/files-backend.c); what cannot be read might be
    /// symbolic.
    fn content(&self, name: &Path) -> Content {
        let path = self.0.join(name);
        if let Ok(to) = fs::read_link(&path)
            && to.starts_with("refs")
        {
            return Content::Symbolic(to);
        }
        let mut text = Vec::new();
        match File::open(path).and_then(|file| file.take(CONTENT).read_to_end(&mut text)) {
            Ok(_) => parsed(&text),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                Content::Nothing
            }
            Err(_) => Content::Symbolic(PathBuf::new()),
        }
    }

    /// The refs in `packed-refs`; none if it cannot be read.
    fn packed(&self) -> HashMap<PathBuf, Oid> {
        let text = fs::read(self.0.join("packed-refs")).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        let packed = lines.filter_map(|line| {
            let (object, name) = line.split_at_checked(40)?;
            Some((path(name.strip_prefix(b" ")?), object_id(object)?))
        });
        packed.collect()
    }
}

fn parsed(text: &[u8]) -> Content {
    if let Some(to) = text.strip_prefix(b"ref:") {
        return Content::Symbolic(path(to.trim_ascii()));
    }
    let (object, rest) = text.split_at(text.len().min(40));
    match object_id(object) {
        Some(object) if rest.first().is_none_or(u8::is_ascii_whitespace) => Content::Object(object),
        _ => Content::Garbage,
    }
}

fn object_id(hex: &[u8]) -> Option<Oid> {
    let hex = std::str::from_utf8(hex)
        .ok()
        .filter(|hex| hex.len() == 40)?;
    Oid::from_str(hex).ok()
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// Whether git takes the name for that of a ref; one that is not UTF-8 may be.
fn is_valid(name: &Path) -> bool {
    name.to_str().is_none_or(Reference::is_valid_name)
}
