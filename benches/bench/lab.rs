//! What every phase works with, and what they have in common.

use std::path::{Path, PathBuf};

use testkit::Sandbox;

use crate::builds::Builder;
use crate::container::Run;
use crate::figures::{Figures, Measure};
use crate::meter::{self, Cost, Ended, Meter};
use crate::options::Options;
use crate::repo::{Facts, Repo};
use crate::store::Store;
use crate::{Result, say};

/// Prints what [`Facts`] has, and what git finds changed.
const LOOK: &str = "cd /workspace && git rev-parse HEAD 'HEAD^{tree}' && \
    git rev-parse --is-shallow-repository && git rev-list --objects --no-object-names HEAD | wc -l && \
    git status --porcelain | head -n 3";

/// The benchmark while it runs.
pub struct Lab<'a> {
    pub options: &'a Options,
    pub sandbox: &'a Sandbox,
    pub store: &'a Store<'a>,
    pub builder: Builder<'a>,
    /// The dkr that is measured.
    pub program: PathBuf,
    pub repo: Repo<'a>,
    pub figures: Figures,
}

impl Lab<'_> {
    pub fn meter(&self) -> Result<Meter> {
        Meter::start(&self.store.disk.0)
    }

    /// Runs dkr; its arguments after the command are the repository and `arguments`.
    pub fn dkr(&self, command: &str, arguments: &[&str]) -> Result<Ended> {
        self.dkr_on(self.repo.path(), command, arguments)
    }

    /// The same on the repository at `path`.
    pub fn dkr_on(&self, path: &Path, command: &str, arguments: &[&str]) -> Result<Ended> {
        let port = self.sandbox.sshd().port().to_string();
        let dkr = self.sandbox.command(&self.program, [command]);
        let mut dkr = dkr.env("DKR_SSH_PORT", port).into_command();
        dkr.arg(path).args(arguments);
        meter::run(dkr)
    }

    /// Whether an image holds the repository as it has to, or why its figures do not count.
    fn check(&self, image: &str, facts: &Facts) -> std::result::Result<(), String> {
        let script = [LOOK];
        let looked = Run::script(image, &script).run(&self.store.api);
        let (stdout, stderr) = match looked {
            Ok(output) => output,
            Err(error) => return Err(error.to_string()),
        };
        let Facts {
            commit,
            tree,
            objects,
        } = facts;
        let expected = format!("{commit}\n{tree}\nfalse\n{objects}\n");
        if stdout == expected {
            return Ok(());
        }
        Err(format!(
            "expected {expected:?}, found {stdout:?} {stderr:?}"
        ))
    }

    /// Notes what an image cost if it holds what it has to.
    pub fn note(
        &mut self,
        phase: &str,
        arm: &'static str,
        image: &str,
        facts: &Facts,
        measured: &[(Measure, f64)],
    ) {
        let checked = self.check(image, facts);
        self.note_checked(phase, arm, checked, measured);
    }

    pub fn note_checked(
        &mut self,
        phase: &str,
        arm: &'static str,
        checked: std::result::Result<(), String>,
        measured: &[(Measure, f64)],
    ) {
        match checked {
            Ok(()) => {
                let wall = measured
                    .iter()
                    .find(|(measure, _)| *measure == Measure::Wall);
                say(&format!(
                    "{phase}, {arm}: {:.2} s",
                    wall.map_or(0.0, |(_, wall)| *wall)
                ));
                for (measure, value) in measured {
                    self.figures.add(phase, arm, *measure, *value);
                }
            }
            Err(reason) => self.figures.void(phase, arm, reason),
        }
    }

    /// The id of dkr's newest image of a branch.
    pub fn newest(&self, branch: &str) -> Result<String> {
        let images = self.sandbox.branch_images(self.repo.path()).into_iter();
        let newest = images
            .into_iter()
            .find(|image| image.label("dkr.branch") == branch);
        Ok(newest.ok_or("dkr made no image")?.id().to_owned())
    }
}

/// Wall time, processor time and disk.
pub fn measures(cost: &Cost) -> Vec<(Measure, f64)> {
    vec![
        (Measure::Wall, cost.wall),
        (Measure::Cpu, cost.cpu),
        (Measure::Disk, cost.disk),
    ]
}
