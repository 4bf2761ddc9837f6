//! Which refs a service shows. Each pattern is an argument of git's command line, which has a limit.

use std::collections::BTreeSet;

/// The most folders that are shown by one command.
const MOST_FOLDERS: usize = 64;

/// The folders of `refs`, such as `refs/heads/box/`; their parents if there are too many.
pub(super) fn folders_of(refs: &[String]) -> Vec<String> {
    let mut folders: BTreeSet<&str> = refs.iter().map(|name| folder_of(name)).collect();
    while folders.len() > MOST_FOLDERS {
        folders = folders.into_iter().map(folder_of).collect();
    }
    folders.into_iter().map(str::to_owned).collect()
}

fn folder_of(name: &str) -> &str {
    let name = name.strip_suffix('/').unwrap_or(name);
    name.rfind('/').map_or("", |end| &name[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(refs: impl IntoIterator<Item = String>) -> Vec<String> {
        folders_of(&refs.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn refs_are_shown_by_their_folders_however_many_they_are() {
        let taken = (0..30_000).map(|number| format!("refs/dkr/taken/fix/{number}"));
        let all = taken.chain(["refs/dkr/wip/fix", "refs/heads/box/a/b"].map(String::from));
        let expected = ["refs/dkr/taken/fix/", "refs/dkr/wip/", "refs/heads/box/a/"];
        assert_eq!(folders(all), expected);
        let spread = (0..1000).map(|number| format!("refs/heads/box/{number}/a"));
        assert_eq!(folders(spread), ["refs/heads/box/"]);
        let wide = (0..1000).map(|number| format!("refs/{number}/a"));
        assert_eq!(folders(wide), ["refs/"]);
    }
}
