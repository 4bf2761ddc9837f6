//! What the figures say against what dkr has to reach. Pure.

use serde_json::{Value, json};

use crate::figures::{Figures, Measure, Series};
use crate::phases::create::{FIRST, FORCED, SECOND};
use crate::phases::{list, start, status, update};

/// What a value has to be.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// What a value counts.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Times,
    Seconds,
    Bytes,
}

/// One comparison.
pub struct Verdict {
    pub what: String,
    pub value: f64,
    /// The least and the most that the single values allow.
    pub spread: (f64, f64),
    pub unit: Unit,
    pub target: Target,
    /// Whether a ratio of times is no more than two runs of the same differ by.
    pub noise: bool,
}

impl Verdict {
    pub fn reached(&self) -> bool {
        match self.target {
            Target::AtMost(most) => self.value <= most,
            Target::AtLeast(least) => self.value >= least,
        }
    }

    pub fn to_json(&self) -> Value {
        let (kind, target) = match self.target {
            Target::AtMost(most) => ("at most", most),
            Target::AtLeast(least) => ("at least", least),
        };
        let unit = match self.unit {
            Unit::Times => "times",
            Unit::Seconds => "s",
            Unit::Bytes => "bytes",
        };
        json!({
            "what": self.what, "value": self.value, "min": self.spread.0, "max": self.spread.1,
            "unit": unit, "target": target, "kind": kind, "reached": self.reached(),
            "within_noise": self.noise,
        })
    }
}

/// How far two runs of the same differ: the longest of clone and clone' against the shortest.
pub fn noise(figures: &Figures) -> Option<f64> {
    let clone = figures.find(FIRST, "clone", Measure::Wall)?;
    let again = figures.find(FIRST, "clone'", Measure::Wall)?;
    Some(clone.max().max(again.max()) / clone.min().min(again.min()))
}

/// Every comparison whose figures are there. `large` sizes have a higher target.
pub fn verdicts(figures: &Figures, large: bool, updates: &[u64], lists: &[usize]) -> Vec<Verdict> {
    let all = Comparisons {
        figures,
        noise: noise(figures).unwrap_or(f64::INFINITY),
        verdicts: Vec::new(),
    };
    all.create(large).update(updates).start().rest(lists)
}

struct Comparisons<'a> {
    figures: &'a Figures,
    noise: f64,
    verdicts: Vec<Verdict>,
}

impl Comparisons<'_> {
    fn create(mut self, large: bool) -> Self {
        let faster = if large { 6.0 } else { 4.0 };
        let (wall, layers) = (Measure::Wall, Measure::Layers);
        self.floor();
        let target = Target::AtLeast(faster);
        self.ratio(FIRST, ("clone", wall), ("dkr", wall), target);
        for phase in [SECOND, FORCED] {
            let target = Target::AtLeast(10.0);
            self.ratio(phase, ("clone", wall), ("dkr", wall), target);
        }
        // Refs and the commit itself are a few kilobytes more.
        let target = Target::AtMost(1.05);
        self.ratio(SECOND, ("dkr", layers), ("floor", layers), target);
        self
    }

    /// What dkr takes beside the export, which the floor does not have.
    fn floor(&mut self) {
        let find = |arm, measure| self.figures.find(FIRST, arm, measure);
        let (Some(dkr), Some(export), Some(floor)) = (
            find("dkr", Measure::Wall),
            find("dkr", Measure::Export),
            find("floor", Measure::Wall),
        ) else {
            return;
        };
        self.verdicts.push(Verdict {
            what: format!("{FIRST}: (dkr - export) / floor"),
            value: (dkr.median() - export.median()) / floor.median(),
            spread: (
                (dkr.min() - export.max()) / floor.max(),
                (dkr.max() - export.min()) / floor.min(),
            ),
            unit: Unit::Times,
            target: Target::AtMost(1.5),
            noise: false,
        });
    }

    fn update(mut self, updates: &[u64]) -> Self {
        for commits in updates {
            let phase = update::phase(*commits);
            let (wall, layers) = (Measure::Wall, Measure::Layers);
            self.ratio(&phase, ("dkr", wall), ("hand", wall), Target::AtMost(1.0));
            let target = Target::AtMost(1.2);
            self.ratio(&phase, ("dkr", layers), ("floor", layers), target);
        }
        self
    }

    fn start(mut self) -> Self {
        let wall = Measure::Wall;
        let phase = start::PHASE;
        let both = (
            self.figures.find(phase, "dkr", wall),
            self.figures.find(phase, "entrypoint", wall),
        );
        if let (Some(dkr), Some(entrypoint)) = both {
            self.verdicts.push(Verdict {
                what: format!("{phase}: dkr's own share, dkr - entrypoint (median)"),
                value: dkr.median() - entrypoint.median(),
                spread: (dkr.min() - entrypoint.max(), dkr.max() - entrypoint.min()),
                unit: Unit::Seconds,
                target: Target::AtMost(0.05),
                noise: false,
            });
        }
        self.ratio(phase, ("dkr", wall), ("run", wall), Target::AtMost(2.0));
        self
    }

    fn rest(mut self, lists: &[usize]) -> Vec<Verdict> {
        for phase in [status::NEW, status::UPDATED] {
            let (first, second) = (Measure::First, Measure::Second);
            self.ratio(phase, ("dkr", first), ("dkr", second), Target::AtMost(2.0));
        }
        for images in lists {
            let most = if *images < 1000 { 0.02 } else { 0.1 };
            // What a hundred may take is not said.
            if *images == 1 || *images >= 1000 {
                let phase = list::phase(*images);
                if let Some(dkr) = self.figures.find(&phase, "dkr", Measure::Wall) {
                    let target = Target::AtMost(most);
                    self.verdicts
                        .push(alone(&phase, dkr, dkr.median(), Unit::Seconds, target));
                }
            }
        }
        let memory = self.figures.series.iter();
        let memory = memory.filter(|s| s.measure == Measure::Memory);
        if let Some(most) = memory.max_by(|a, b| a.max().total_cmp(&b.max())) {
            let what = format!("memory of dkr ({})", most.phase);
            let target = Target::AtMost(64e6);
            let verdict = alone(&what, most, most.max(), Unit::Bytes, target);
            self.verdicts.push(verdict);
        }
        self.verdicts
    }

    /// How often the second goes into the first, of the same phase.
    fn ratio(
        &mut self,
        phase: &str,
        over: (&str, Measure),
        under: (&str, Measure),
        target: Target,
    ) {
        let find = |(arm, measure)| self.figures.find(phase, arm, measure);
        let (Some(a), Some(b)) = (find(over), find(under)) else {
            return;
        };
        let value = a.median() / b.median();
        let word = |(arm, measure): (&str, Measure)| match measure {
            Measure::Wall => arm.to_owned(),
            measure => format!("{arm} {}", measure.name()),
        };
        self.verdicts.push(Verdict {
            what: format!("{phase}: {} / {}", word(over), word(under)),
            value,
            spread: (a.min() / b.max(), a.max() / b.min()),
            unit: Unit::Times,
            target,
            noise: phase != start::PHASE
                && over.1 == Measure::Wall
                && value.max(1.0 / value) <= self.noise,
        });
    }
}

fn alone(what: &str, series: &Series, value: f64, unit: Unit, target: Target) -> Verdict {
    Verdict {
        what: what.to_owned(),
        value,
        spread: (series.min(), series.max()),
        unit,
        target,
        noise: false,
    }
}

/// Seconds that a gigabyte more costs each arm of the first image, against the figures of another
/// size. Bytes are those of packs and work tree.
pub fn growth(this: &Value, other: &Value) -> Vec<(String, f64)> {
    let bytes = |run: &Value| {
        let repository = &run["repository"];
        repository["pack_bytes"].as_f64().unwrap_or_default()
            + repository["tree_bytes"].as_f64().unwrap_or_default()
    };
    let more = (bytes(this) - bytes(other)) / 1e9;
    let wall = |run: &Value, arm: &str| {
        let series = run["figures"]["series"].as_array()?;
        let mut series = series.iter();
        let found =
            series.find(|s| s["phase"] == FIRST && s["arm"] == arm && s["measure"] == "wall")?;
        found["median"].as_f64()
    };
    let arms = ["clone", "copy", "dkr", "floor"].into_iter();
    arms.filter_map(|arm| {
        let seconds = wall(this, arm)? - wall(other, arm)?;
        Some((arm.to_owned(), seconds / more))
    })
    .collect()
}
