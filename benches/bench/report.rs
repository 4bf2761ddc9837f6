//! Tables for people, JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::{Figures, Measure, Series};
use crate::header::Header;
use crate::repo::Extent;
use crate::verdict::{Target, Unit, Verdict};

/// Series with as many values show the 95th percentile too.
const MANY: usize = 10;

/// The whole report.
pub struct Report<'a> {
    pub header: &'a Header,
    pub size: &'a str,
    pub reps: usize,
    pub extent: &'a Extent,
    pub figures: &'a Figures,
    pub noise: Option<f64>,
    pub verdicts: &'a [Verdict],
}

impl Report<'_> {
    pub fn to_json(&self) -> Value {
        let extent = self.extent;
        json!({
            "header": self.header.to_json(),
            "size": self.size,
            "repetitions": self.reps,
            "repository": {
                "commits": extent.commits, "files": extent.files,
                "pack_bytes": extent.pack_bytes, "tree_bytes": extent.tree_bytes,
                "index_bytes": extent.index_bytes,
            },
            "figures": self.figures.to_json(),
            "noise": self.noise,
            "verdicts": self.verdicts.iter().map(Verdict::to_json).collect::<Vec<_>>(),
        })
    }

    pub fn to_text(&self) -> String {
        let mut text = self.header.to_text();
        let extent = self.extent;
        let _ = writeln!(
            text,
            "repository  {}: {} commits, {} files, packs {}, work tree {}, index {}",
            self.size,
            extent.commits,
            extent.files,
            bytes(extent.pack_bytes),
            bytes(extent.tree_bytes),
            bytes(extent.index_bytes)
        );
        let _ = writeln!(text, "medians of {} repetitions (least-most)", self.reps);
        for phase in self.figures.phases() {
            let _ = write!(text, "\n{phase}\n{}", self.phase(phase));
        }
        for void in &self.figures.voids {
            let _ = writeln!(
                text,
                "\nvoid: {}, {}: {}",
                void.phase, void.arm, void.reason
            );
        }
        if !self.verdicts.is_empty() {
            let _ = write!(text, "\ntargets\n{}", self.targets());
        }
        if let Some(noise) = self.noise {
            let _ = writeln!(
                text,
                "clone and clone' differ by up to {noise:.2}x; ratios of times within that are noise"
            );
        }
        text
    }

    fn phase(&self, phase: &str) -> String {
        let series: Vec<&Series> = self
            .figures
            .series
            .iter()
            .filter(|s| s.phase == phase)
            .collect();
        let measures = Measure::ALL.into_iter();
        let measures: Vec<Measure> = measures
            .filter(|measure| series.iter().any(|s| s.measure == *measure))
            .collect();
        let mut arms: Vec<&str> = series.iter().map(|s| s.arm).collect();
        arms.sort_unstable();
        arms.dedup();
        let mut rows = vec![vec![String::new()]];
        rows[0].extend(measures.iter().map(|measure| measure.name().to_owned()));
        for arm in arms {
            let cell = |measure: &Measure| {
                let found = series
                    .iter()
                    .find(|s| s.arm == arm && s.measure == *measure);
                found.map_or_else(String::new, |series| cell(series))
            };
            let cells = measures.iter().map(cell);
            rows.push([arm.to_owned()].into_iter().chain(cells).collect());
        }
        table(&rows)
    }

    fn targets(&self) -> String {
        let rows = self.verdicts.iter().map(|verdict| {
            let show = |value: f64| match verdict.unit {
                Unit::Times => format!("{value:.2}x"),
                Unit::Seconds => seconds(value),
                Unit::Bytes => bytes(value),
            };
            let target = match verdict.target {
                Target::AtMost(most) => format!("at most {}", show(most)),
                Target::AtLeast(least) => format!("at least {}", show(least)),
            };
            let word = if verdict.reached() {
                "reached"
            } else {
                "missed"
            };
            let noise = if verdict.noise { ", within noise" } else { "" };
            vec![
                verdict.what.clone(),
                show(verdict.value),
                format!("({}-{})", show(verdict.spread.0), show(verdict.spread.1)),
                target,
                format!("{word}{noise}"),
            ]
        });
        table(&rows.collect::<Vec<_>>())
    }
}

/// The median with its unit; the spread, where there is one, in the same unit.
fn cell(series: &Series) -> String {
    let median = series.median();
    let (unit, scale) = unit(median, series.measure.is_time());
    let show = |value: f64| number(value / scale);
    let mut cell = format!("{} {unit}", show(median));
    if series.values.len() > 1 {
        let _ = write!(cell, " ({}-{}", show(series.min()), show(series.max()));
        if series.values.len() >= MANY {
            let _ = write!(cell, ", p95 {}", show(series.quantile(0.95)));
        }
        cell.push(')');
    }
    cell
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

fn seconds(value: f64) -> String {
    let (unit, scale) = unit(value, true);
    format!("{} {unit}", number(value / scale))
}

fn bytes(value: f64) -> String {
    let (unit, scale) = unit(value, false);
    format!("{} {unit}", number(value / scale))
}

/// The unit that suits a value, and what it counts.
fn unit(value: f64, time: bool) -> (&'static str, f64) {
    let units = match time {
        true => [("s", 1.0), ("ms", 1e-3), ("ms", 1e-3)],
        false => [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)],
    };
    let fits = |(_, scale): &(&str, f64)| value.abs() >= *scale;
    units.into_iter().find(fits).unwrap_or(units[2])
}

/// Three digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
