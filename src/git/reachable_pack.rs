//! One pack of exactly what some tips reach: for a repository whose packs must not be copied
//! unchanged, because they hold more than its refs reach.
//!
//! git writes the pack with its indexes, so that it need not be indexed in the build: that takes five times
//! as long as writing it. It is in a private folder of the user's cache until it has been copied.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::Repository;
use super::fetch::Lines;
use super::packs::Packs;
use super::scratch::Scratch;
use crate::env::Env;

/// The name prefix of such packs; a repository's own begin with `pack`.
const NAME: &str = "reached";

/// The pack is read once, by dkr alone, so it need not survive a crash of the machine.
const SETTINGS: [(&str, &str); 3] = [
    ("core.fsync", "none"),
    ("pack.packSizeLimit", "0"),
    ("pack.writeReverseIndex", "true"),
];

type Reason = String;

/// A pack of what tips reach. Removed with this value, or, after dkr was killed, by the next one.
#[derive(Debug)]
pub struct ReachablePack {
    /// The pack, to be copied as others are.
    pub packs: Packs,
    wanted: Wanted,
    _scratch: Scratch,
}

/// What is packed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The ids of what is reached.
    pub tips: BTreeSet<String>,
    /// The ids of what is there already, with all that it reaches; those that this repository does
    /// not have are ignored.
    pub known: BTreeSet<String>,
}

impl ReachablePack {
    /// Whether it was made for this.
    pub fn is_of(&self, wanted: &Wanted) -> bool {
        self.wanted == *wanted
    }
}

/// The folder of such packs while they are copied; `None` if the user has no home directory.
pub fn folder(env: &Env) -> Option<PathBuf> {
    Some(env.cache_dir()?.join("packs"))
}

/// Removes what a dkr that was killed left.
pub fn clear_leftovers(env: &Env) {
    drop(folder(env).map(|folder| Scratch::abandoned(&folder)));
}

impl Repository {
    /// Packs what is `wanted`, its alternates' objects included. `progress` gets the lines that git
    /// prints, as they come. Dropping the future ends git and removes its files.
    ///
    /// # Errors
    /// The reason why there is no such pack, as the end of a sentence.
    pub async fn pack_reachable(
        &self,
        wanted: Wanted,
        env: &Env,
        progress: &mut dyn FnMut(&str),
    ) -> Result<ReachablePack, Reason> {
        let folder = folder(env)
            .ok_or("there is no home directory to write a pack of what its refs reach to")?;
        clear_leftovers(env);
        let scratch = Scratch::new(&folder)
            .map_err(|e| format!("cannot write to `{}` ({e})", folder.display()))?;
        let input = self.revisions(&wanted)?;
        let mut command = self.pack_command(scratch.path());
        let failed = |e: io::Error| format!("`git pack-objects` failed ({e})");
        // If dkr is killed, git continues. The pack's name, which it prints, is known.
        command.stdout(scratch.lock().map_err(failed)?);
        run(command, input, progress).await.map_err(failed)?;
        Ok(ReachablePack {
            packs: Packs::in_folder(&scratch.path().join("pack"))?,
            wanted,
            _scratch: scratch,
        })
    }

    fn revisions(&self, wanted: &Wanted) -> Result<Vec<u8>, Reason> {
        let odb = self.inner.odb().map_err(|e| e.message().to_owned())?;
        let is_here = |id: &&String| id.parse().is_ok_and(|id| odb.exists(id));
        let tips = wanted.tips.iter().map(|id| format!("{id}\n"));
        let known = wanted
            .known
            .iter()
            .filter(is_here)
            .map(|id| format!("^{id}\n"));
        Ok(tips.chain(known).collect::<String>().into_bytes())
    }

    /// git creates each new file in the object folder first, so the repository's own is not touched.
    fn pack_command(&self, scratch: &Path) -> Command {
        let mut command = self.git_command(&SETTINGS);
        command.env("GIT_OBJECT_DIRECTORY", scratch);
        let objects = self.git_dir().join("objects");
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&objects));
        command.args([
            "pack-objects",
            "--revs",
            "--delta-base-offset",
            "--progress",
        ]);
        command.arg(scratch.join("pack").join(NAME));
        // Only dkr handles Ctrl-C.
        command.process_group(0);
        command.into()
    }
}

/// A path in a list that `:` separates (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES).
fn quoted(path: &Path) -> OsString {
    let mut word = b"\"".to_vec();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => word.extend([b'\\', *byte]),
            b'\n' => word.extend(b"\\n"),
            _ => word.push(*byte),
        }
    }
    word.push(b'"');
    OsString::from_vec(word)
}

/// Runs git to its end; its last messages are the error.
async fn run(
    mut command: Command,
    input: Vec<u8>,
    progress: &mut dyn FnMut(&str),
) -> io::Result<()> {
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut git = command.kill_on_drop(true).spawn()?;
    let mut stdin = git.stdin.take().expect("it is piped");
    let stderr = git.stderr.take().expect("it is piped");
    let feed = async move {
        // If it stops reading, its messages say why.
        let _ = stdin.write_all(&input).await;
    };
    let (words, ()) = tokio::join!(last_words(stderr, progress), feed);
    match git.wait().await? {
        status if status.success() => Ok(()),
        status if words.is_empty() => Err(io::Error::other(status.to_string())),
        _ => Err(io::Error::other(words.join("; "))),
    }
}

async fn last_words(
    mut stderr: impl AsyncRead + Unpin,
    progress: &mut dyn FnMut(&str),
) -> Vec<String> {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    let mut progress = Some(progress);
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        lines.push(&buffer[..count], &mut progress);
    }
    lines.push(b"\n", &mut progress);
    let words = lines.last.into_iter();
    words.filter(|line| !line.ends_with(", done.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::{TestRepo, git_in};

    /// A repository that borrows its objects from `repo`, which continues without it.
    fn borrowing(repo: &TestRepo) -> Repository {
        repo.commit("a", "1");
        let path = repo.path().with_file_name("a b\"c:\\d\n");
        let clone = ["clone", "-q", "--shared", ".", path.to_str().unwrap()];
        repo.git(&clone);
        std::fs::write(path.join("own"), "own").unwrap();
        git_in(&path, &["add", "own"]);
        git_in(&path, &["commit", "-q", "-m", "own"]);
        repo.commit("b", "secret");
        repo.git(&["repack", "-adq"]);
        Repository::discover(&path).unwrap()
    }

    fn listed(repo: &Repository, revisions: &[&str]) -> BTreeSet<String> {
        let list = ["rev-list", "--objects", "--no-object-names"];
        let ids = git_in(repo.root().as_ref(), &[&list, revisions].concat());
        ids.lines().map(str::to_owned).collect()
    }

    /// The ids in a pack.
    fn held(pack: &ReachablePack) -> BTreeSet<String> {
        let index = &pack.packs.indexes()[0];
        let shown = git_in(
            "/".as_ref(),
            &["verify-pack", "-v", index.to_str().unwrap()],
        );
        let words = shown.lines().filter_map(|line| line.split(' ').next());
        let ids = words.filter(|word| word.len() == 40);
        ids.map(str::to_owned).collect()
    }

    async fn pack(repo: &Repository, wanted: &Wanted, env: &Env) -> Result<ReachablePack, Reason> {
        repo.pack_reachable(wanted.clone(), env, &mut |_| ()).await
    }

    #[tokio::test]
    async fn a_pack_holds_what_is_reached_and_nothing_else() {
        let repo = TestRepo::new();
        let shared = borrowing(&repo);
        let cache = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_CACHE_HOME", cache.path())]);
        let tip = git_in(shared.root().as_ref(), &["rev-parse", "HEAD"]);
        let before = [repo.snapshot(|_| false), files(&shared)];
        // What a dkr that was killed left.
        let dead = folder(&env).unwrap().join("dead");
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::write(dead.join("lock"), "").unwrap();

        let mut wanted = Wanted::default();
        wanted.tips.insert(tip);
        let all = pack(&shared, &wanted, &env).await.unwrap();
        assert_eq!(held(&all), listed(&shared, &["HEAD"]));
        let files_of = |pack: &ReachablePack| {
            let files = pack.packs.files().map(|file| file.name.clone());
            files.collect::<Vec<_>>()
        };
        let names = files_of(&all);
        assert!(
            names.iter().all(|name| name.starts_with("reached-")),
            "{names:?}"
        );
        let ends = ["idx", "rev", "pack"].map(|end| names.iter().any(|name| name.ends_with(end)));
        assert_eq!(ends, [true; 3]);
        // The same again has the same name.
        assert_eq!(
            files_of(&pack(&shared, &wanted, &env).await.unwrap()),
            names
        );

        let first = git_in(shared.root().as_ref(), &["rev-parse", "HEAD~"]);
        wanted.known = [first, "1".repeat(40)].into();
        let new = pack(&shared, &wanted, &env).await.unwrap();
        assert_eq!(held(&new), listed(&shared, &["HEAD", "^HEAD~"]));
        assert!(new.is_of(&wanted) && !all.is_of(&wanted));
        wanted.known.insert(wanted.tips.first().unwrap().clone());
        let nothing = pack(&shared, &wanted, &env).await.unwrap();
        assert_eq!(held(&nothing), BTreeSet::new());

        drop((all, new, nothing));
        assert_eq!([repo.snapshot(|_| false), files(&shared)], before);
        let left = std::fs::read_dir(folder(&env).unwrap()).unwrap();
        assert_eq!(left.count(), 0);
    }

    fn files(repo: &Repository) -> Vec<(String, Vec<u8>)> {
        TestRepo::snapshot_of(repo.root().as_ref(), |_| false)
    }

    #[tokio::test]
    async fn what_cannot_be_packed_is_a_reason_and_leaves_nothing() {
        let repo = TestRepo::new();
        let shared = borrowing(&repo);
        let cache = tempfile::tempdir().unwrap();
        let env = Env::from_iter([("XDG_CACHE_HOME", cache.path())]);
        let wanted = Wanted {
            tips: ["1".repeat(40)].into(),
            ..Wanted::default()
        };
        let reason = pack(&shared, &wanted, &env).await.unwrap_err();
        assert!(reason.contains("bad object 1111"), "{reason}");
        assert_eq!(std::fs::read_dir(folder(&env).unwrap()).unwrap().count(), 0);

        std::fs::write(cache.path().join("file"), "").unwrap();
        let env = Env::from_iter([("XDG_CACHE_HOME", cache.path().join("file"))]);
        let reason = pack(&shared, &wanted, &env).await.unwrap_err();
        assert!(reason.starts_with("cannot write to `"), "{reason}");
        let reason = pack(&shared, &wanted, &Env::default()).await.unwrap_err();
        assert!(reason.contains("no home"), "{reason}");
    }
}
