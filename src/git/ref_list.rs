//! Lists refs as git does, and names those that git ignores.
//!
//! They are read from their files: libgit2's iteration ends at the first one that it cannot open, and
//! accepts ids without checking that the object exists. Format: gitrepository-layout(5), and
//! refs/files-backend.c and refs/packed-backend.c in git's sources.

use std::collections::{BTreeMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use git2::{ErrorCode, Oid, Reference};

use super::Repository;
use crate::error::{Error, Result};

/// How many broken refs are named in a message.
const NAMED: usize = 5;

/// A ref that points to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListedRef {
    /// Its full name.
    pub name: String,
    /// Its object id; `None` if it is symbolic.
    pub id: Option<Oid>,
    /// What the annotated tag `id` points to, where that is recorded next to it.
    pub peeled: Option<Oid>,
}

/// A broken ref, which git ignores in its lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokenRef {
    /// Its full name.
    pub name: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its name is not valid (git-check-ref-format).
    Name,
    /// It contains neither an id nor the name of a ref.
    Content,
    /// The object is not in the repository.
    Object,
    /// It is symbolic and points to a ref that does not exist.
    Dangling,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Name => "not a valid ref name",
            Fault::Content => "does not contain an object id",
            Fault::Object => "its object is missing",
            Fault::Dangling => "points to a ref that does not exist",
        })
    }
}

/// Refs, each kind sorted by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RefList {
    /// Those that point to an object.
    pub refs: Vec<ListedRef>,
    /// The others.
    pub broken: Vec<BrokenRef>,
}

impl Repository {
    /// Lists the refs whose full names `wanted` selects. Those whose names are not UTF-8 are left
    /// out: nobody can type them.
    ///
    /// # Errors
    /// If the files cannot be read, or `packed-refs` is invalid.
    pub(super) fn list_refs(&self, wanted: impl Fn(&str) -> bool) -> Result<RefList> {
        let failed = |cause: String| {
            Error::failed(format!("cannot list the refs of `{}`", self.root())).cause(cause)
        };
        let mut found = BTreeMap::new();
        // Loose ones first, as git does: git writes `packed-refs` before it removes the loose refs.
        for name in loose_names(self.git_dir()).map_err(|e| failed(e.to_string()))? {
            found.insert(name, None);
        }
        for (name, held) in packed(&self.git_dir().join("packed-refs")).map_err(failed)? {
            found.entry(name).or_insert(Some(held));
        }
        found.retain(|name, _| wanted(name));
        let odb = self.inner.odb();
        let odb = odb.map_err(|e| failed(e.message().to_owned()))?;
        let mut list = RefList::default();
        for (name, held) in found {
            let held = match held {
                _ if !Reference::is_valid_name(&name) => Err(Fault::Name),
                Some(held) => Ok(Some(held)),
                None => self.read_loose(&name),
            };
            match held {
                Ok(None) => {}
                Ok(Some(held)) if odb.exists(held.id) => list.add(name, &held),
                Ok(Some(_)) => list.add_broken(name, Fault::Object),
                Err(fault) => list.add_broken(name, fault),
            }
        }
        Ok(list)
    }

    /// The content of the loose ref `name`; `None` if it was just removed.
    fn read_loose(&self, name: &str) -> std::result::Result<Option<Held>, Fault> {
        let reference = match self.inner.find_reference(name) {
            Ok(reference) => reference,
            Err(e) if e.code() == ErrorCode::NotFound => {
                let path = self.git_dir().join(name);
                return match path.symlink_metadata() {
                    Ok(_) => Err(Fault::Content),
                    Err(_) => Ok(None),
                };
            }
            Err(_) => return Err(Fault::Content),
        };
        let resolved = reference.resolve().map_err(|_| Fault::Dangling)?;
        Ok(Some(Held {
            id: resolved.target().ok_or(Fault::Dangling)?,
            peeled: None,
            is_symbolic: reference.target().is_none(),
        }))
    }

    /// A message that names the broken refs, if there are any.
    pub fn broken_refs(&self) -> Option<String> {
        // An error of the list is reported by the caller that needs the list.
        let broken = self.list_refs(|_| true).ok()?.broken;
        let named = broken.iter().take(NAMED);
        let mut named: Vec<String> = named
            .map(|broken| format!("`{}` ({})", broken.name, broken.fault))
            .collect();
        match broken.len().checked_sub(NAMED) {
            None | Some(0) => {}
            Some(more) => named.push(format!("{more} more")),
        }
        let named = named.join(", ");
        let root = self.root();
        match broken.len() {
            0 => None,
            1 => Some(format!("ignoring a broken ref of `{root}`: {named}")),
            count => Some(format!("ignoring {count} broken refs of `{root}`: {named}")),
        }
    }
}

impl RefList {
    fn add(&mut self, name: String, held: &Held) {
        self.refs.push(ListedRef {
            name,
            id: (!held.is_symbolic).then_some(held.id),
            peeled: held.peeled,
        });
    }

    fn add_broken(&mut self, name: String, fault: Fault) {
        self.broken.push(BrokenRef { name, fault });
    }
}

/// The content of a ref, or the name of the ref that it points to.
struct Held {
    id: Oid,
    /// What the annotated tag `id` points to, where that is recorded next to it.
    peeled: Option<Oid>,
    is_symbolic: bool,
}

/// The full names of the loose refs.
fn loose_names(git_dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    // Symbolic links to directories, which may form cycles.
    let mut followed = HashSet::new();
    let mut next = vec![PathBuf::from("refs")];
    while let Some(folder) = next.pop() {
        let entries = match fs::read_dir(git_dir.join(&folder)) {
            // It was removed with its last ref.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else {
                continue;
            };
            // Names that git ignores (`loose_fill_ref_dir`).
            if file.starts_with('.') || file.ends_with(".lock") {
                continue;
            }
            let path = folder.join(&file);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                next.push(path);
            } else if kind.is_symlink() && entry.path().is_dir() {
                if followed.insert(entry.path().canonicalize()?) {
                    next.push(path);
                }
            } else {
                names.extend(path.into_os_string().into_string());
            }
        }
    }
    Ok(names)
}

/// The packed refs, by their full names; the error is the reason if the file is invalid.
fn packed(path: &Path) -> std::result::Result<Vec<(String, Held)>, String> {
    let bytes = match fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|e| format!("cannot read `{}`: {e}", path.display()))?,
    };
    let mut refs: Vec<(String, Held)> = Vec::new();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let bad = || format!("line {number} of `{}` is not a ref", path.display());
        match line {
            [b'#', ..] => {}
            [b'^', id @ .., b'\n'] => {
                let (_, tag) = refs.last_mut().ok_or_else(bad)?;
                tag.peeled = Some(oid(id).ok_or_else(bad)?);
            }
            [line @ .., b'\n'] => {
                let (id, name) = line.split_at_checked(40).ok_or_else(bad)?;
                let id = oid(id).ok_or_else(bad)?;
                let name = name.strip_prefix(b" ").ok_or_else(bad)?;
                // A peeled id may follow any ref.
                let name = String::from_utf8_lossy(name).into_owned();
                let held = Held {
                    id,
                    peeled: None,
                    is_symbolic: false,
                };
                refs.push((name, held));
            }
            _ => return Err(bad()),
        }
    }
    refs.retain(|(name, _)| !name.contains(char::REPLACEMENT_CHARACTER));
    Ok(refs)
}

fn oid(hex: &[u8]) -> Option<Oid> {
    let text = std::str::from_utf8(hex)
        .ok()
        .filter(|text| text.len() == 40)?;
    text.parse().ok()
}

#[cfg(test)]
mod tests;
