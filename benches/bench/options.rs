//! What the command line asks for. `run.sh` has the help.

use std::path::PathBuf;

use crate::Result;

/// How large a repository is made, and how much is measured with it.
#[derive(Clone, Copy)]
pub struct Size {
    pub name: &'static str,
    pub files: u64,
    pub pack_mb: u64,
    pub commits: u64,
    /// Repetitions.
    pub reps: usize,
    /// By how many commits images are updated.
    pub updates: &'static [u64],
    /// How many containers each arm starts.
    pub starts: usize,
    /// With how many images they are listed.
    pub lists: &'static [usize],
    /// How often an image is updated in a row with `--long`.
    pub long: usize,
}

const S: Size = Size {
    name: "S",
    files: 30_000,
    pack_mb: 300,
    commits: 20_000,
    reps: 5,
    updates: &[1, 50, 1000],
    starts: 20,
    lists: &[1, 100, 1000],
    long: 150,
};
const M: Size = Size {
    name: "M",
    files: 120_000,
    pack_mb: 3_000,
    commits: 60_000,
    reps: 3,
    ..S
};
const L: Size = Size {
    name: "L",
    files: 400_000,
    pack_mb: 12_000,
    commits: 150_000,
    reps: 1,
    ..S
};
/// By how many commits images of a real repository are updated.
const REAL_UPDATES: &[u64] = &[1, 10, 50];
/// Small enough to try the benchmark itself.
const XS: Size = Size {
    name: "XS",
    files: 200,
    pack_mb: 5,
    commits: 100,
    reps: 1,
    updates: &[1, 5, 20],
    starts: 3,
    lists: &[1, 5],
    long: 6,
};

/// The command line.
pub struct Options {
    pub size: Size,
    pub repo: Option<PathBuf>,
    pub reps: usize,
    pub long: bool,
    /// The file for the figures, if one is named.
    pub json: Option<PathBuf>,
    /// Figures of another size.
    pub against: Option<PathBuf>,
    /// Another dkr program that is measured against this one, and nothing else.
    pub versus: Option<PathBuf>,
    /// The folder for figures.
    pub out: PathBuf,
}

impl Options {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Options {
            size: S,
            repo: None,
            reps: 0,
            long: false,
            json: None,
            against: None,
            versus: None,
            out: PathBuf::from("target/bench"),
        };
        while let Some(argument) = arguments.next() {
            let sizes = [S, M, L, XS];
            if let Some(size) = sizes.iter().find(|size| size.name == argument) {
                options.size = *size;
                continue;
            }
            let mut value = || {
                let value = arguments.next();
                value.ok_or(format!("`{argument}` needs a value"))
            };
            match argument.as_str() {
                "--long" => options.long = true,
                "--repo" => options.repo = Some(std::fs::canonicalize(value()?)?),
                "--reps" => options.reps = value()?.parse()?,
                "--json" => options.json = Some(value()?.into()),
                "--against" => options.against = Some(value()?.into()),
                "--versus" => options.versus = Some(std::fs::canonicalize(value()?)?),
                "--out" => options.out = value()?.into(),
                _ => return Err(format!("unknown argument `{argument}`: see --help").into()),
            }
        }
        if options.repo.is_some() {
            options.size.updates = REAL_UPDATES;
        }
        if options.reps == 0 {
            options.reps = options.size.reps;
        }
        Ok(options)
    }

    /// How many commits a repetition adds to the branch.
    pub fn commits_to_come(&self) -> u64 {
        let long = if self.long { self.size.long as u64 } else { 0 };
        self.size.updates.iter().sum::<u64>() + long
    }
}
