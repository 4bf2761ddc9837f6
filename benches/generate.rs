//! Makes a repository of a given size for the benchmark: `generate PATH [--files N] [--pack-mb N]
//! [--commits N] [--more N]`.
//!
//! The same numbers give the same commit ids. Text files carry the history (small edits, stored
//! as deltas); incompressible files fill the pack up to the wanted size. `--more N` adds N
//! commits to an existing repository instead.

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Bytes of one incompressible file.
const BLOB: usize = 1 << 20;
/// Files that one commit changes.
const CHANGES: u64 = 4;
/// When the first commit was made (seconds since 1970).
const EPOCH: u64 = 1_600_000_000;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Size {
    files: u64,
    pack_mb: u64,
    commits: u64,
    more: u64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: generate PATH [--files N] …")?,
    );
    let mut size = Size {
        files: 30_000,
        pack_mb: 300,
        commits: 20_000,
        more: 0,
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or("a flag needs a number")?.parse()?;
        match flag.as_str() {
            "--files" => size.files = value,
            "--pack-mb" => size.pack_mb = value,
            "--commits" => size.commits = value,
            "--more" => size.more = value,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    if size.more > 0 {
        return add_commits(&path, size.more);
    }
    git(&path, &["init", "--quiet", "--initial-branch=main", "."])?;
    let mut import = Import::start(&path)?;
    import.history(&size)?;
    import.finish()?;
    git(&path, &["reset", "--quiet", "--hard"])?;
    git(&path, &["repack", "-adq"])?;
    git(&path, &["commit-graph", "write", "--reachable"])
}

fn git(path: &Path, arguments: &[&str]) -> Result<()> {
    std::fs::create_dir_all(path)?;
    let mut command = Command::new("git");
    let status = command.arg("-C").arg(path).args(arguments).status()?;
    status.success().then_some(()).ok_or("git failed".into())
}

/// A 64-bit generator (xorshift*): the same sequence on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn line(&mut self) -> String {
        let words = 6 + self.below(6);
        let words = (0..words).map(|_| format!("word{}", self.below(4000)));
        words.collect::<Vec<_>>().join(" ")
    }

    fn bytes(&mut self) -> Vec<u8> {
        let words = (0..BLOB / 8).map(|_| self.next().to_le_bytes());
        words.flatten().collect()
    }
}

fn text_path(file: u64) -> String {
    format!("src/d{}/d{}/file{file}.txt", file % 50, file / 50 % 40)
}

/// A running `git fast-import`.
struct Import {
    child: Child,
    stream: BufWriter<ChildStdin>,
    mark: u64,
}

impl Import {
    fn start(path: &Path) -> Result<Self> {
        let mut command = Command::new("git");
        command.arg("-C").arg(path).args(["fast-import", "--quiet"]);
        let mut child = command.stdin(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take().ok_or("fast-import has no stdin")?;
        let stream = BufWriter::with_capacity(1 << 20, stdin);
        Ok(Import {
            child,
            stream,
            mark: 0,
        })
    }

    fn finish(mut self) -> Result<()> {
        writeln!(self.stream, "done")?;
        drop(self.stream);
        let status = self.child.wait()?;
        status
            .success()
            .then_some(())
            .ok_or("fast-import failed".into())
    }

    fn blob(&mut self, data: &[u8]) -> Result<u64> {
        self.mark += 1;
        write!(
            self.stream,
            "blob\nmark :{}\ndata {}\n",
            self.mark,
            data.len()
        )?;
        self.stream.write_all(data)?;
        self.stream.write_all(b"\n")?;
        Ok(self.mark)
    }

    fn commit(&mut self, branch: &str, number: u64, from: Option<&str>) -> Result<()> {
        let when = EPOCH + number * 60;
        let message = format!("change {number}");
        writeln!(self.stream, "commit refs/heads/{branch}")?;
        writeln!(
            self.stream,
            "committer Bench <bench@example.com> {when} +0000"
        )?;
        writeln!(self.stream, "data {}\n{message}", message.len())?;
        if let Some(from) = from {
            writeln!(self.stream, "from {from}")?;
        }
        Ok(())
    }

    /// All versions of a file stand together, as fast-import makes deltas against the blob before.
    fn history(&mut self, size: &Size) -> Result<()> {
        let mut random = Random(0x0DD0_BA5E);
        let mut edits: Vec<Vec<u64>> = vec![Vec::new(); usize::try_from(size.commits)?];
        let mut first = Vec::new();
        for file in 0..size.files {
            let mut lines: Vec<String> = (0..60).map(|_| random.line()).collect();
            first.push(self.blob(lines.join("\n").as_bytes())?);
            let versions = size.commits * CHANGES / size.files;
            for _ in 0..versions {
                let at = usize::try_from(random.below(60))?;
                lines[at] = random.line();
                let mark = self.blob(lines.join("\n").as_bytes())?;
                let commit = usize::try_from(random.below(size.commits))?;
                edits[commit].push(file << 32 | mark);
            }
        }
        let text_mb = size.files / 650 + size.commits / 400;
        let blobs = size.pack_mb.saturating_sub(text_mb);
        let large: Vec<u64> = (0..blobs)
            .map(|_| self.blob(&random.bytes()))
            .collect::<Result<_>>()?;
        self.commit("main", 0, None)?;
        for (file, mark) in first.iter().enumerate() {
            let path = text_path(u64::try_from(file)?);
            writeln!(self.stream, "M 100644 :{mark} {path}")?;
        }
        // Half of the large files stay in the work tree, half are replaced and live in history.
        for (number, mark) in large.iter().enumerate() {
            writeln!(self.stream, "M 100644 :{mark} data/blob{}.bin", number / 2)?;
        }
        for (number, edits) in edits.iter().enumerate() {
            self.commit("main", u64::try_from(number)? + 1, None)?;
            for edit in edits {
                let path = text_path(edit >> 32);
                writeln!(self.stream, "M 100644 :{} {path}", edit & 0xFFFF_FFFF)?;
            }
            if number % 16 == 0 && number / 16 < large.len() {
                let at = number / 16;
                writeln!(
                    self.stream,
                    "M 100644 :{} data/blob{}.bin",
                    large[at],
                    at / 2
                )?;
            }
        }
        for side in 0..3 {
            self.commit(
                &format!("side{side}"),
                size.commits + side,
                Some("refs/heads/main"),
            )?;
            let mark = format!("data 5\nside{side}");
            writeln!(self.stream, "M 100644 inline side.txt\n{mark}")?;
        }
        Ok(())
    }
}

/// Adds commits on top of `main`, each with a few small edits.
fn add_commits(path: &Path, count: u64) -> Result<()> {
    let mut command = Command::new("git");
    let arguments = ["rev-list", "--count", "main"];
    let output = command.arg("-C").arg(path).args(arguments).output()?;
    let base: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let mut random = Random(base);
    let mut import = Import::start(path)?;
    for number in 0..count {
        let from = (number == 0).then_some("refs/heads/main^0");
        import.commit("main", base + number, from)?;
        for _ in 0..CHANGES {
            let file = text_path(random.below(30_000));
            let lines: Vec<String> = (0..60).map(|_| random.line()).collect();
            let text = lines.join("\n");
            let stream = &mut import.stream;
            writeln!(
                stream,
                "M 100644 inline {file}\ndata {}\n{text}",
                text.len()
            )?;
        }
    }
    import.finish()?;
    git(path, &["reset", "--quiet", "--hard", "main"])
}
