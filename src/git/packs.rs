//! Which pack files make up a repository, so that they can be copied unchanged. Reads only
//! folders, never the packs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Repository;

/// How deep alternates may be nested (git's own limit, object-file.c).
const ALTERNATES_DEPTH: usize = 5;

/// The files that are copied along with a pack; the pack itself is last, so that there is never
/// a pack without its index.
const COMPANIONS: [&str; 3] = ["idx", "rev", "pack"];

/// One file to copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackFile {
    /// Its name in the pack folder: `pack-<hex>.<extension>`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The pack files of one object folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFolder {
    /// The folder with the packs.
    pub path: PathBuf,
    /// The files to copy from it, in order.
    pub files: Vec<PackFile>,
}

/// The packs of a repository, its alternates included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packs {
    /// Their folders; a pack that is in several folders is listed once.
    pub folders: Vec<PackFolder>,
    /// Index files of cruft packs, which are not copied.
    pub cruft: Vec<PathBuf>,
    /// The object folders: the repository's own, and its alternates.
    pub objects: Vec<PathBuf>,
    /// Those of them that are other repositories' (alternates outside of this one's git directory):
    /// their packs hold more than what belongs to this one.
    pub borrowed: Vec<PathBuf>,
}

impl Repository {
    /// Lists its packs.
    ///
    /// # Errors
    /// The reason why its packs cannot be copied unchanged, as the end of a sentence.
    pub fn packs(&self) -> std::result::Result<Packs, String> {
        let replaced = self.short_names("refs/replace/");
        if replaced.is_ok_and(|names| !names.is_empty()) {
            return Err("the repository has replaced objects".to_owned());
        }
        Packs::list(self.git_dir())
    }
}

impl Packs {
    /// Lists the packs of the repository with the common folder `git_dir`.
    fn list(git_dir: &Path) -> std::result::Result<Self, String> {
        for (file, reason) in [
            ("shallow", "the repository is shallow"),
            ("info/grafts", "the repository has grafts"),
        ] {
            if fs::metadata(git_dir.join(file)).is_ok_and(|meta| meta.len() > 0) {
                return Err(reason.to_owned());
            }
        }
        let mut packs = Packs::default();
        packs.add(&git_dir.join("objects"), ALTERNATES_DEPTH)?;
        let git_dir = fs::canonicalize(git_dir).map_err(|e| unreadable(git_dir, &e))?;
        let alternates = packs.objects.iter().skip(1);
        let borrowed = alternates.filter(|objects| !objects.starts_with(&git_dir));
        packs.borrowed = borrowed.cloned().collect();
        Ok(packs)
    }

    /// Lists only the packs in `folder`.
    pub(super) fn in_folder(folder: &Path) -> std::result::Result<Self, String> {
        let mut packs = Packs::default();
        packs.add_packs(folder)?;
        Ok(packs)
    }

    /// The names of the files that only other repositories have.
    pub fn borrowed_files(&self) -> impl Iterator<Item = &String> {
        let is_borrowed = |folder: &&PackFolder| {
            let objects = folder.path.parent();
            objects.is_some_and(|objects| self.borrowed.iter().any(|path| path == objects))
        };
        let folders = self.folders.iter().filter(is_borrowed);
        folders
            .flat_map(|folder| &folder.files)
            .map(|file| &file.name)
    }

    /// The bytes of all files that are copied.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// All files that are copied.
    pub fn files(&self) -> impl Iterator<Item = &PackFile> {
        self.folders.iter().flat_map(|folder| &folder.files)
    }

    /// The index files of the packs that are copied, that of the largest pack first.
    pub fn indexes(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in &self.folders {
            for file in &folder.files {
                if let Some(stem) = file.name.strip_suffix(".pack") {
                    found.push((file.size, folder.path.join(format!("{stem}.idx"))));
                }
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        found.into_iter().map(|(_, path)| path).collect()
    }

    fn add(&mut self, objects: &Path, depth: usize) -> std::result::Result<(), String> {
        let objects = fs::canonicalize(objects).map_err(|e| unreadable(objects, &e))?;
        if self.objects.contains(&objects) {
            return Ok(());
        }
        self.objects.push(objects.clone());
        self.add_packs(&objects.join("pack"))?;
        let alternates = objects.join("info/alternates");
        let text = match fs::read_to_string(&alternates) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(unreadable(&alternates, &e)),
        };
        for line in text.lines() {
            if line.starts_with('"') {
                return Err("the path of an alternate is quoted".to_owned());
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if depth == 0 {
                return Err("the repository's alternates are nested too deep".to_owned());
            }
            self.add(&objects.join(line), depth - 1)?;
        }
        Ok(())
    }

    fn add_packs(&mut self, path: &Path) -> std::result::Result<(), String> {
        let Ok(entries) = fs::read_dir(path) else {
            return Ok(());
        };
        let names: BTreeSet<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let mut files = Vec::new();
        for index in names.iter().filter(|name| name.ends_with(".idx")) {
            let stem = index.strip_suffix(".idx").unwrap_or(index);
            let has = |extension: &str| names.contains(&format!("{stem}.{extension}"));
            if !has("pack") {
                // A leftover, or a pack that is being written or removed.
                continue;
            }
            if !is_plain(stem) {
                return Err(format!(
                    "a pack has the unexpected name `{}`",
                    stem.escape_debug()
                ));
            }
            if has("promisor") {
                return Err("the repository is a partial clone".to_owned());
            }
            if has("mtimes") {
                self.cruft.push(path.join(index));
                continue;
            }
            if self.has(stem) {
                continue;
            }
            for extension in COMPANIONS.into_iter().filter(|e| has(e)) {
                let name = format!("{stem}.{extension}");
                let meta = fs::symlink_metadata(path.join(&name))
                    .map_err(|e| format!("`{name}` vanished ({e})"))?;
                if meta.is_symlink() {
                    // tar would copy the link, which dangles in an image.
                    return Err("a pack is a symbolic link".to_owned());
                }
                let size = meta.len();
                files.push(PackFile { name, size });
            }
        }
        if !files.is_empty() {
            let path = path.to_owned();
            self.folders.push(PackFolder { path, files });
        }
        Ok(())
    }

    fn has(&self, stem: &str) -> bool {
        let name = format!("{stem}.pack");
        self.files().any(|file| file.name == name)
    }
}

fn unreadable(path: &Path, e: &std::io::Error) -> String {
    format!("cannot read `{}` ({e})", path.display())
}

/// Whether a name is safe in a list of files that tar reads. git uses any pack that has an
/// index; its own are called `pack-<hex>`, maintenance's `loose-<hex>`.
fn is_plain(stem: &str) -> bool {
    stem.starts_with(|c: char| c.is_ascii_alphanumeric())
        && stem
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{TestRepo, git_in};

    fn names(packs: &Packs) -> Vec<&str> {
        packs.files().map(|file| file.name.as_str()).collect()
    }

    fn packed() -> TestRepo {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        repo.git(&["repack", "-adq"]);
        repo
    }

    #[test]
    fn a_pack_is_listed_with_its_index_and_leftovers_are_not() {
        let repo = packed();
        let folder = repo.path().join(".git/objects/pack");
        for leftover in ["tmp_pack_x", "pack-0.keep", "pack-1.idx", "x.pack"] {
            fs::write(folder.join(leftover), "x").unwrap();
        }
        let packs = repo.open().packs().unwrap();
        let names = names(&packs);
        assert!(names[0].ends_with(".idx") && names[names.len() - 1].ends_with(".pack"));
        let stem = names[0].strip_suffix("idx").unwrap();
        assert!(names.iter().all(|name| name.starts_with(stem)), "{names:?}");
        assert!(packs.bytes() > 1000);
        assert_eq!(
            packs.indexes(),
            [folder.canonicalize().unwrap().join(names[0])]
        );
    }

    #[test]
    fn a_repository_without_packs_has_none() {
        let repo = TestRepo::new();
        repo.commit("a", "1");
        let packs = repo.open().packs().unwrap();
        assert_eq!((packs.bytes(), packs.objects.len()), (0, 1));
    }

    #[test]
    fn alternates_and_worktrees_lead_to_the_same_packs_once() {
        let repo = packed();
        let beside = repo.path().with_file_name("shared");
        git_in(
            repo.path(),
            &["clone", "-q", "--shared", ".", beside.to_str().unwrap()],
        );
        let own = repo.open().packs().unwrap();
        let shared = Repository::discover(&beside).unwrap().packs().unwrap();
        assert_eq!(own.folders, shared.folders);
        assert_eq!(shared.objects.len(), 2);
        assert_eq!(own.borrowed, [""; 0].map(PathBuf::from));
        assert_eq!(shared.borrowed, own.objects);
        let names: Vec<&String> = shared.borrowed_files().collect();
        assert_eq!(names.len(), own.files().count());

        let tree = repo.path().with_file_name("tree");
        repo.git(&["worktree", "add", "-q", "-b", "t", tree.to_str().unwrap()]);
        let linked = Repository::discover(&tree).unwrap().packs().unwrap();
        assert_eq!(own, linked);
    }

    #[test]
    fn only_what_lies_outside_of_the_git_directory_is_borrowed() {
        let repo = packed();
        let other = packed();
        let objects = repo.path().join(".git/objects");
        let link = repo.path().join(".git/link");
        std::os::unix::fs::symlink(other.path().join(".git/objects"), &link).unwrap();
        fs::create_dir_all(repo.path().join(".git/more/objects")).unwrap();
        let borrowed = |lines: &str| {
            fs::write(objects.join("info/alternates"), lines).unwrap();
            repo.open().packs().unwrap().borrowed
        };
        let theirs = other.path().join(".git/objects").canonicalize().unwrap();
        assert_eq!(borrowed("../more/objects\n"), [""; 0].map(PathBuf::from));
        assert_eq!(borrowed("../more/objects\n../link\n"), [theirs]);
        // Behind one of its own, too.
        fs::write(objects.join("info/alternates"), "../more/objects\n").unwrap();
        let inner = repo.path().join(".git/more/objects/info");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("alternates"), "../../link\n").unwrap();
        assert_eq!(repo.open().packs().unwrap().borrowed.len(), 1);
        // Its own objects may be elsewhere.
        let moved = repo.path().with_file_name("moved");
        fs::rename(&objects, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &objects).unwrap();
        fs::remove_file(moved.join("info/alternates")).unwrap();
        assert_eq!(repo.open().packs().unwrap().borrowed.len(), 0);
    }

    #[test]
    fn cruft_is_set_apart() {
        let repo = packed();
        repo.commit("b", "lost");
        repo.git(&["reset", "-q", "--hard", "HEAD~"]);
        repo.git(&["reflog", "expire", "--expire=now", "--all"]);
        repo.git(&["gc", "-q", "--cruft", "--prune=1.day.ago"]);
        let packs = repo.open().packs().unwrap();
        assert_eq!(packs.cruft.len(), 1);
        assert_eq!(packs.indexes().len(), 1);
        assert_ne!(packs.indexes(), packs.cruft);
    }

    #[test]
    fn unusual_repositories_are_told() {
        let reason = |make: &dyn Fn(&TestRepo)| {
            let repo = packed();
            make(&repo);
            repo.open().packs().unwrap_err()
        };
        let write = |name: &'static str, text: &'static str| {
            move |repo: &TestRepo| repo.write(&format!(".git/{name}"), text)
        };
        assert_eq!(
            reason(&|repo| repo.write(".git/shallow", format!("{}\n", repo.head()))),
            "the repository is shallow"
        );
        assert_eq!(
            reason(&|repo| repo.write(".git/info/grafts", format!("{}\n", repo.head()))),
            "the repository has grafts"
        );
        assert_eq!(
            reason(&write("objects/info/alternates", "\"/a\\tb\"\n")),
            "the path of an alternate is quoted"
        );
        assert!(
            reason(&write("objects/info/alternates", "/nonexistent\n"))
                .starts_with("cannot read `")
        );
        let linked = reason(&|repo| {
            let folder = repo.path().join(".git/objects/pack");
            let elsewhere = repo.path().join("packs");
            fs::rename(&folder, &elsewhere).unwrap();
            fs::create_dir(&folder).unwrap();
            for file in fs::read_dir(elsewhere).unwrap() {
                let file = file.unwrap();
                std::os::unix::fs::symlink(file.path(), folder.join(file.file_name())).unwrap();
            }
        });
        assert_eq!(linked, "a pack is a symbolic link");
        let replaced = reason(&|repo| {
            repo.commit("a", "2");
            repo.git(&["replace", "HEAD", "HEAD~"]);
        });
        assert_eq!(replaced, "the repository has replaced objects");
    }
}
