//! Walks objects with the `git` program, which is much faster than libgit2 and whose memory is freed
//! when it exits.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Write};
use std::process::Stdio;

use git2::Oid;

use super::{CommitId, Repository};

impl Repository {
    /// The bytes on disk of what `tips` reach and `known` do not; those of `known` that no
    /// longer exist are left out. `None` if it cannot be computed.
    pub fn disk_usage(&self, tips: &BTreeSet<&String>, known: &BTreeSet<String>) -> Option<u64> {
        let ids = |ids: &mut dyn Iterator<Item = &String>| {
            let ids = ids.map(|id| id.parse::<Oid>());
            ids.collect::<Result<Vec<Oid>, _>>().ok()
        };
        let odb = self.inner.odb().ok()?;
        let mut known = ids(&mut known.iter())?;
        known.retain(|id| odb.exists(*id));
        let tips = ids(&mut tips.iter().copied())?;
        let mut bytes = None;
        let walked = self.rev_list("--disk-usage", &tips, &known, &mut |line| {
            bytes = line.parse().ok();
            true
        });
        walked.ok()?;
        bytes
    }

    /// The bytes on disk of all that `tips` reach; 0 if it cannot be computed.
    pub fn reached_bytes(&self, tips: &BTreeSet<String>) -> u64 {
        let bytes = self.disk_usage(&tips.iter().collect(), &BTreeSet::new());
        bytes.unwrap_or(0)
    }

    /// The bytes of all files of `commit`, as they are stored; unreadable ones count as 0.
    pub fn tree_bytes(&self, commit: &CommitId) -> u64 {
        let git = self
            .git_command(&[])
            .args(["ls-tree", "-r", "--long", "--full-tree", "--end-of-options"])
            .arg(commit.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut git) = git else {
            return 0;
        };
        let output = git.stdout.take().expect("it is piped");
        // MODE TYPE ID SIZE, a tab, and the path; a line for each file.
        let size = |line: Vec<u8>| {
            let text = String::from_utf8_lossy(&line);
            text.split_whitespace().nth(3)?.parse::<u64>().ok()
        };
        let lines = BufReader::new(output).split(b'\n');
        let bytes = lines.map_while(io::Result::ok).filter_map(size).sum();
        let _ = git.wait();
        bytes
    }

    /// Calls `each` with every line that `git rev-list --objects` prints for what `tips` reach and
    /// `boundary` do not, until it returns false.
    pub(super) fn rev_list(
        &self,
        option: &str,
        tips: &[Oid],
        boundary: &[Oid],
        each: &mut dyn FnMut(&str) -> bool,
    ) -> io::Result<()> {
        let mut git = self
            .git_command(&[])
            .args(["rev-list", "--objects", option, "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let input = git.stdin.take().expect("it is piped");
        let output = git.stdout.take().expect("it is piped");
        // git reads all of it before it prints anything.
        let written = write_ids(input, tips, boundary);
        let mut stopped = false;
        for line in BufReader::new(output).lines() {
            stopped = !line.is_ok_and(|line| each(&line));
            if stopped {
                // It may still be writing.
                let _ = git.kill();
                break;
            }
        }
        let status = git.wait()?;
        written?;
        if stopped || status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("git rev-list: {status}")))
        }
    }
}

fn write_ids(input: impl Write, tips: &[Oid], boundary: &[Oid]) -> io::Result<()> {
    let mut input = io::BufWriter::new(input);
    for id in tips {
        writeln!(input, "{id}")?;
    }
    for id in boundary {
        writeln!(input, "^{id}")?;
    }
    input.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    #[test]
    fn a_work_tree_weighs_what_its_files_do() {
        let repo = TestRepo::new();
        let first = repo.commit("a", "12345");
        let second = repo.commit("dir/b c", "678");
        let opened = repo.open();
        let weigh = |commit: &str| opened.tree_bytes(&commit.parse().unwrap());
        assert_eq!((weigh(&first), weigh(&second)), (5, 8));
        assert_eq!(weigh(&"1".repeat(40)), 0);
    }

    #[test]
    fn what_is_new_is_weighed() {
        let repo = TestRepo::new();
        let first = repo.commit("a", "1");
        let second = repo.commit("b", "2");
        let opened = repo.open();
        let weigh = |tip: &String, known: &[&String]| {
            let known = known.iter().map(|id| (*id).clone()).collect();
            opened.disk_usage(&BTreeSet::from([tip]), &known)
        };
        let all = weigh(&second, &[]).unwrap();
        let new = weigh(&second, &[&first]).unwrap();
        assert!(0 < new && new < all, "{new} of {all}");
        assert_eq!(weigh(&second, &[&second]), Some(0));
        let lost = "1".repeat(40);
        assert_eq!(weigh(&second, &[&lost]), Some(all));
        assert_eq!(weigh(&lost, &[]), None);
    }
}
