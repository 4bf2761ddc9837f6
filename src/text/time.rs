//! Times for people (pure: the clock is an argument).

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::count;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long before `now` it was `then`: `3 hours ago`. A time in the future gives `just now`; the start of
/// 1970 means unknown.
pub fn ago(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if then == DateTime::UNIX_EPOCH {
        return "at an unknown time".to_owned();
    }
    let seconds = u64::try_from((now - then).num_seconds()).unwrap_or(0);
    let (number, noun) = match seconds {
        0..5 => return "just now".to_owned(),
        s if s < MINUTE => (s, "second"),
        s if s < HOUR => (s / MINUTE, "minute"),
        s if s < 2 * DAY => (s / HOUR, "hour"),
        s if s < 14 * DAY => (s / DAY, "day"),
        s if s < 60 * DAY => (s / (7 * DAY), "week"),
        s if s < 730 * DAY => (s / (30 * DAY), "month"),
        s => (s / (365 * DAY), "year"),
    };
    format!("{} ago", count(number, noun))
}

/// A time span: `5.3s`, `1m 12s`, `2h 05m`.
pub fn duration(span: Duration) -> String {
    let tenths = (span.as_millis() + 50) / 100;
    let seconds = span.as_secs();
    if tenths < 600 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else if seconds < HOUR {
        format!("{}m {:02}s", seconds.max(60) / 60, seconds.max(60) % 60)
    } else {
        format!("{}h {:02}m", seconds / HOUR, seconds % HOUR / MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago_seconds(seconds: i64) -> String {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        ago(now - chrono::TimeDelta::seconds(seconds), now)
    }

    #[test]
    fn ages_are_whole_units_with_right_plurals() {
        let day = 86_400;
        let cases = [
            (-100, "just now"),
            (4, "just now"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (3 * 3600 + 1800, "3 hours ago"),
            (day + 3600, "25 hours ago"),
            (9 * day, "9 days ago"),
            (15 * day, "2 weeks ago"),
            (90 * day, "3 months ago"),
            (800 * day, "2 years ago"),
        ];
        for (seconds, text) in cases {
            assert_eq!(ago_seconds(seconds), text);
        }
        let unknown = ago(DateTime::UNIX_EPOCH, Utc::now());
        assert_eq!(unknown, "at an unknown time");
    }

    #[test]
    fn spans_round_without_skipping_a_unit() {
        let cases = [
            (0, "0.0s"),
            (5_349, "5.3s"),
            (59_949, "59.9s"),
            (59_951, "1m 00s"),
            (72_000, "1m 12s"),
            (3_600_000, "1h 00m"),
            (7_512_000, "2h 05m"),
        ];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
