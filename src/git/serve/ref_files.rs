//! The symbolic refs of a repository, read from its files: git's own listings leave out dangling ones,
//! and a push to one would create the branch that it names.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many symbolic refs may point to each other (`SYMREF_MAXDEPTH`, refs/refs-internal.h).
const DEPTH: usize = 5;
/// The maximum size of a ref's file, in bytes: a path, and what is around it.
const CONTENT: u64 = 8 * 1024;

/// The refs of the repository with this git directory. A symbolic one is always a file of its own:
/// `packed-refs` has no form for it.
pub(super) struct RefFiles<'a>(pub &'a Path);

impl RefFiles<'_> {
    /// The full names of the refs at `name` and below that are symbolic, dangling ones included, and
    /// of the files and directories there that are symbolic links.
    pub fn symbolic(&self, name: &str) -> Vec<PathBuf> {
        let mut found = self.files(name.as_ref());
        found.retain(|name| self.0.join(name).is_symlink() || self.target(name).is_some());
        found
    }

    /// The full names of the refs in `folders`, such as `refs/heads/`, that point to a ref outside of
    /// them.
    pub fn leading_out(&self, folders: &[String]) -> Vec<PathBuf> {
        let files = folders
            .iter()
            .flat_map(|folder| self.files(folder.as_ref()));
        files.filter(|name| self.leads_out(name, folders)).collect()
    }

    fn leads_out(&self, name: &Path, folders: &[String]) -> bool {
        let mut name = name.to_owned();
        for _ in 0..=DEPTH {
            match self.target(&name) {
                Some(next) if is_in(folders, &next) => name = next,
                target => return target.is_some(),
            }
        }
        // git follows no further.
        false
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

    /// What a symbolic ref points to, as git reads it (`files_read_raw_ref`, refs/files-backend.c); what
    /// cannot be read might be one.
    fn target(&self, name: &Path) -> Option<PathBuf> {
        let path = self.0.join(name);
        if let Ok(to) = fs::read_link(&path)
            && to.starts_with("refs")
        {
            return Some(to);
        }
        let mut text = Vec::new();
        match File::open(path).and_then(|file| file.take(CONTENT).read_to_end(&mut text)) {
            Ok(_) => {
                let to = text.strip_prefix(b"ref:")?.trim_ascii();
                Some(std::ffi::OsStr::from_bytes(to).into())
            }
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => None,
            Err(_) => Some(PathBuf::new()),
        }
    }
}

/// Whether the ref is in one of the folders; `HEAD` counts as one.
fn is_in(folders: &[String], name: &Path) -> bool {
    folders.iter().any(|folder| name.starts_with(folder))
}
