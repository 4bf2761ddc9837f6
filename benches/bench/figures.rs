//! What was measured, as plain numbers.

use serde_json::{Value, json};

/// What is measured of a piece of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// Seconds on the wall.
    Wall,
    /// Seconds of that in which the engine exported layers.
    Export,
    /// Seconds of all processors.
    Cpu,
    /// Bytes that the engine's disk has more.
    Disk,
    /// Bytes of the layers that are its own.
    Layers,
    /// The most memory that dkr held, in bytes.
    Memory,
    /// Seconds after the command had been reached.
    After,
    /// Seconds of the first `git status`.
    First,
    /// Seconds of the second.
    Second,
}

impl Measure {
    pub const ALL: [Measure; 9] = [
        Measure::Wall,
        Measure::Export,
        Measure::Cpu,
        Measure::Disk,
        Measure::Layers,
        Measure::Memory,
        Measure::After,
        Measure::First,
        Measure::Second,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Measure::Wall => "wall",
            Measure::Export => "export",
            Measure::Cpu => "cpu",
            Measure::Disk => "disk",
            Measure::Layers => "layers",
            Measure::Memory => "memory",
            Measure::After => "after",
            Measure::First => "1st status",
            Measure::Second => "2nd status",
        }
    }

    pub fn is_time(self) -> bool {
        !matches!(self, Measure::Disk | Measure::Layers | Measure::Memory)
    }
}

/// All values of one measure of one arm in one phase.
pub struct Series {
    pub phase: String,
    pub arm: &'static str,
    pub measure: Measure,
    /// In the order in which they were measured.
    pub values: Vec<f64>,
}

impl Series {
    /// The value below which `share` (0 to 1) of all lie.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let at = share * last as f64;
        let (low, high) = (at.floor(), at.ceil());
        let value = |at: f64| sorted.get(at as usize).copied().unwrap_or(f64::NAN);
        value(low) + (value(high) - value(low)) * (at - low)
    }

    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    pub fn min(&self) -> f64 {
        self.quantile(0.0)
    }

    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }
}

/// A figure that does not count.
pub struct Void {
    pub phase: String,
    pub arm: &'static str,
    pub reason: String,
}

/// Everything that was measured.
#[derive(Default)]
pub struct Figures {
    pub series: Vec<Series>,
    pub voids: Vec<Void>,
}

impl Figures {
    pub fn add(&mut self, phase: &str, arm: &'static str, measure: Measure, value: f64) {
        let known = self.series.iter_mut();
        let mut known = known.filter(|s| s.phase == phase && s.arm == arm && s.measure == measure);
        if let Some(series) = known.next() {
            series.values.push(value);
            return;
        }
        self.series.push(Series {
            phase: phase.to_owned(),
            arm,
            measure,
            values: vec![value],
        });
    }

    pub fn void(&mut self, phase: &str, arm: &'static str, reason: String) {
        self.voids.push(Void {
            phase: phase.to_owned(),
            arm,
            reason,
        });
    }

    pub fn find(&self, phase: &str, arm: &str, measure: Measure) -> Option<&Series> {
        let mut series = self.series.iter();
        series.find(|s| s.phase == phase && s.arm == arm && s.measure == measure)
    }

    /// The phases in the order in which they came.
    pub fn phases(&self) -> Vec<&str> {
        let mut phases: Vec<&str> = Vec::new();
        for series in &self.series {
            if !phases.contains(&series.phase.as_str()) {
                phases.push(&series.phase);
            }
        }
        phases
    }

    pub fn to_json(&self) -> Value {
        let series = self.series.iter().map(|s| {
            json!({
                "phase": s.phase, "arm": s.arm, "measure": s.measure.name(),
                "unit": if s.measure.is_time() { "s" } else { "bytes" },
                "median": s.median(), "min": s.min(), "max": s.max(), "p95": s.quantile(0.95),
                "values": s.values,
            })
        });
        let voids = self.voids.iter();
        let voids = voids.map(|v| json!({"phase": v.phase, "arm": v.arm, "reason": v.reason}));
        json!({"series": series.collect::<Vec<_>>(), "void": voids.collect::<Vec<_>>()})
    }
}
