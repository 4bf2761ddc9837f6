//! Refs that lead to other refs: who writes one of them writes the other.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The full names of the refs at `name` and below that are symbolic, dangling ones included, and
/// of the files and folders there that are symbolic links.
///
/// `git for-each-ref` leaves out a symbolic ref that leads nowhere, and a push to it would make
/// the branch that it names. A symbolic ref is always a file of its own: `packed-refs` has no form
/// for one.
pub(super) fn symbolic_refs(git_dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![PathBuf::from(name)];
    while let Some(name) = next.pop() {
        let path = git_dir.join(&name);
        let Ok(meta) = path.symlink_metadata() else {
            continue;
        };
        if meta.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            next.extend(entries.map(|entry| name.join(entry.file_name())));
        } else if meta.is_symlink() || is_symbolic(&path) {
            found.push(name);
        }
    }
    found
}

/// Whether the file of a ref begins with `ref:`; what is there and cannot be read might.
fn is_symbolic(path: &Path) -> bool {
    let mut start = Vec::new();
    match File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)) {
        Ok(_) => start == b"ref:",
        Err(e) => e.kind() != ErrorKind::NotFound,
    }
}
