//! The progress of a package manager, read from its output (pure).
//!
//! A rough count: each manager has its own output, and an unknown line is only logged.

/// What has been seen of one installation.
#[derive(Debug, Default)]
pub struct PackageCount {
    done: u64,
    total: u64,
}

impl PackageCount {
    /// Reads the next line; returns the packages installed so far and their total, if it changed them.
    pub fn read(&mut self, line: &str) -> Option<(u64, u64)> {
        let line = line.trim();
        if let Some(total) = apt_total(line) {
            (self.done, self.total) = (0, total);
        } else if line.starts_with("Setting up ") && self.total > 0 {
            self.done = (self.done + 1).min(self.total);
        } else if let Some((done, total)) = counted(line) {
            (self.done, self.total) = (done, total);
        } else {
            return None;
        }
        (self.total > 0).then_some((self.done, self.total))
    }
}

/// apt: `2 upgraded, 12 newly installed, 0 to remove and 3 not upgraded.`
fn apt_total(line: &str) -> Option<u64> {
    let (upgraded, rest) = line.split_once(" upgraded, ")?;
    let (installed, _) = rest.split_once(" newly installed, ")?;
    let upgraded: u64 = upgraded.parse().ok()?;
    upgraded.checked_add(installed.parse().ok()?)
}

/// The managers with counters of their own: dnf5 `[ 3/41] Installing git-core-0:2.51 100% | …`,
/// apk `(3/12) Installing git (2.49.1-r0)`, pacman `(3/12) installing git`, zypper
/// `(3/12) Installing: git-core-2.51.0 [..done]`, dnf4 and yum `Installing : git-core-2.47 3/41`.
fn counted(line: &str) -> Option<(u64, u64)> {
    let is_installation = |text: &str| {
        let text = text.trim_start().to_ascii_lowercase();
        ["installing", "upgrading", "updating"]
            .iter()
            .any(|verb| text.starts_with(verb))
    };
    let counts = match line.split_at_checked(1)? {
        ("[", rest) => rest.split_once(']'),
        ("(", rest) => rest.split_once(')'),
        _ => line.rsplit_once(' ').map(|(text, counts)| (counts, text)),
    };
    let (counts, text) = counts?;
    let (done, total) = counts.split_once('/')?;
    let done: u64 = done.trim().parse().ok()?;
    let total: u64 = total.trim().parse().ok()?;
    (is_installation(text) && done <= total).then_some((done, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_counted_from_its_summary() {
        let mut count = PackageCount::default();
        assert_eq!(count.read("Setting up early (1.0) ..."), None);
        let summary = "1 upgraded, 2 newly installed, 0 to remove and 3 not upgraded.";
        assert_eq!(count.read(summary), Some((0, 3)));
        assert_eq!(count.read("Unpacking git (1:2.39.5) ..."), None);
        assert_eq!(count.read("Setting up git (1:2.39.5) ..."), Some((1, 3)));
        count.read("Setting up tmux (3.3) ...");
        count.read("Setting up socat (1.7) ...");
        assert_eq!(count.read("Setting up again (1) ..."), Some((3, 3)));
        let nothing = "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.";
        assert_eq!(PackageCount::default().read(nothing), None);
    }

    #[test]
    fn managers_that_count_themselves_are_believed() {
        let lines = [
            "[ 3/41] Installing git-core-0:2.51.0-1 100% |  10.1 MiB/s |  50.0 KiB |  00m00s",
            "(3/41) Installing git (2.49.1-r0)",
            "(3/41) installing git                    [######################] 100%",
            "(3/41) Installing: git-core-2.51.0-1.1.x86_64 [..done]",
            "  Installing       : git-core-2.47.1-1.fc41.x86_64                   3/41 ",
        ];
        for line in lines {
            assert_eq!(PackageCount::default().read(line), Some((3, 41)), "{line}");
        }
    }

    #[test]
    fn other_lines_count_nothing() {
        let lines = [
            "",
            "é",
            "[3/41] Building C object main.o",
            "Installing everything in src/lib",
            "(9/3) Installing git",
            "many upgraded, 2 newly installed, 0 to remove",
            "(3/99999999999999999999999) Installing git",
        ];
        for line in lines {
            assert_eq!(PackageCount::default().read(line), None, "{line}");
        }
    }
}
