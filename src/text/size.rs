//! Sizes in decimal units, as Docker prints them (pure).

/// `512 B`, `4.7 kB`, `123 MB`, `1.2 GB`: at most three digits and a unit.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let bytes = u128::from(bytes);
    let mut divisor = 1;
    for unit in UNITS {
        divisor *= 1000;
        let tenths = (bytes * 10 + divisor / 2) / divisor;
        let whole = (bytes + divisor / 2) / divisor;
        if tenths < 1000 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        // 999.6 rounds to 1000, which belongs to the next unit.
        if whole < 1000 {
            return format!("{whole} {unit}");
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_three_digits_at_most() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (4_650, "4.7 kB"),
            (123_456, "123 kB"),
            (1_234_567_890, "1.2 GB"),
            (12_345_678, "12.3 MB"),
            (999_600, "1.0 MB"),
            (999_960_000, "1.0 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
