//! git's own progress lines read as numbers (pure).
//!
//! Their form is that of `display()` in git's `progress.c`:
//! `Title: 12% (123/1000), 1.20 MiB | 3.00 MiB/s` where the total is known, else `Title: 1234`;
//! the last one ends in `, done.`. Lines of the remote side begin with `remote: `.

/// One progress line of git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitProgress {
    /// git's title, e.g. `Receiving objects`.
    pub stage: String,
    /// How much is done.
    pub current: u64,
    /// How much there is, where git knows.
    pub total: Option<u64>,
    /// What was transferred and how fast, e.g. `1.20 MiB | 3.00 MiB/s`.
    pub detail: Option<String>,
    /// Whether this is the last line of the stage.
    pub done: bool,
}

/// Titles that git counts without a total. Only these: other programs print `Word: 12` as well.
const COUNTED: [&str; 6] = [
    "Enumerating objects",
    "Counting objects",
    "Finding sources",
    "Receiving objects",
    "Indexing objects",
    "Checking objects",
];

/// Reads a line that git printed; `None` if it is not progress.
pub fn parse(line: &str) -> Option<GitProgress> {
    let line = line.trim();
    let line = line.strip_prefix("remote: ").unwrap_or(line);
    let (stage, rest) = line.split_once(": ")?;
    if !is_title(stage) {
        return None;
    }
    let (rest, done) = match rest.trim().strip_suffix(", done.") {
        Some(rest) => (rest, true),
        None => (rest.trim(), false),
    };
    let (numbers, detail) = match rest.split_once(", ") {
        Some((numbers, detail)) => (numbers, Some(detail.to_owned())),
        None => (rest, None),
    };
    let (current, total) = match numbers.split_once("% (") {
        Some((percent, counts)) => {
            percent.parse::<u8>().ok()?;
            let (current, total) = counts.strip_suffix(')')?.split_once('/')?;
            (current.parse().ok()?, Some(total.parse().ok()?))
        }
        None if COUNTED.contains(&stage) => (numbers.parse().ok()?, None),
        None => return None,
    };
    Some(GitProgress {
        stage: stage.to_owned(),
        current,
        total,
        detail,
        done,
    })
}

/// git's titles are words that begin with a capital, e.g. `Updating files`.
fn is_title(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text
            .chars()
            .all(|c| c.is_ascii_alphabetic() || " -".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(stage: &str, current: u64, total: Option<u64>) -> GitProgress {
        GitProgress {
            stage: stage.to_owned(),
            current,
            total,
            detail: None,
            done: false,
        }
    }

    #[test]
    fn lines_of_git_are_read() {
        let receiving = "Receiving objects:  12% (123/1000), 1.20 MiB | 3.00 MiB/s   ";
        let expected = GitProgress {
            detail: Some("1.20 MiB | 3.00 MiB/s".into()),
            ..progress("Receiving objects", 123, Some(1000))
        };
        assert_eq!(parse(receiving), Some(expected.clone()));
        let last = "Receiving objects: 100% (1000/1000), 1.20 MiB | 3.00 MiB/s, done.";
        let expected = GitProgress {
            current: 1000,
            done: true,
            ..expected
        };
        assert_eq!(parse(last), Some(expected));
        let expected = GitProgress {
            done: true,
            ..progress("Counting objects", 5, Some(5))
        };
        let line = "remote: Counting objects: 100% (5/5), done.        ";
        assert_eq!(parse(line), Some(expected));
        assert_eq!(
            parse("Enumerating objects: 1234"),
            Some(progress("Enumerating objects", 1234, None))
        );
        assert_eq!(
            parse("Updating files:   0% (3/81234)"),
            Some(progress("Updating files", 3, Some(81234)))
        );
        assert!(parse("Resolving deltas: 100% (0/0), done.").is_some());
    }

    #[test]
    fn other_lines_are_not_progress() {
        let lines = [
            "",
            "remote: Total 5 (delta 0), reused 5 (delta 0), pack-reused 0",
            "Cloning into '/workspace'...",
            "Exit code: 5",
            "error: 12% (1/2)",
            "Receiving objects: many",
            "Receiving objects: 12% (1/2",
            "Receiving objects: 999% (1/2)",
            "Receiving objects: 12% (1/99999999999999999999999)",
            "C:: 12% (1/2)",
        ];
        for line in lines {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
