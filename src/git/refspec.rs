//! The remote-tracking ref of a remote's branch, by the remote's fetch refspecs (pure).

/// The local ref that `refspecs` (values of `remote.<name>.fetch`) store the remote's ref `source`
/// in: the first that covers it, unless a negative one excludes it (git-fetch(1), `<refspec>`).
pub(super) fn map<'a>(
    refspecs: impl IntoIterator<Item = &'a str> + Clone,
    source: &str,
) -> Option<String> {
    let mut negative = refspecs
        .clone()
        .into_iter()
        .filter_map(|s| s.strip_prefix('^'));
    if negative.any(|pattern| star(&full(pattern), source).is_some()) {
        return None;
    }
    refspecs.into_iter().find_map(|refspec| {
        let refspec = refspec.strip_prefix('+').unwrap_or(refspec);
        if refspec.starts_with('^') {
            return None;
        }
        let (from, to) = refspec.split_once(':')?;
        let matched = star(&full(from), source)?;
        to.starts_with("refs/")
            .then(|| to.replacen('*', matched, 1))
    })
}

/// A short source name means the branch.
fn full(pattern: &str) -> String {
    if pattern.starts_with("refs/") {
        pattern.to_owned()
    } else {
        format!("refs/heads/{pattern}")
    }
}

/// What the one `*` of `pattern` stands for in `name` (nothing if there is no `*`), if it matches.
fn star<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    match pattern.split_once('*') {
        Some((before, after)) => name.strip_prefix(before)?.strip_suffix(after),
        None => (pattern == name).then_some(""),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_refspec_that_covers_a_branch_names_its_tracking_ref() {
        let usual = ["+refs/heads/*:refs/remotes/o/*"];
        let tracking = Some("refs/remotes/o/a/b".to_owned());
        assert_eq!(map(usual, "refs/heads/a/b"), tracking);
        assert_eq!(map(usual, "refs/tags/a"), None);
        assert_eq!(map([], "refs/heads/a"), None);
        for (refspec, branch, expected) in [
            (
                "refs/heads/a:refs/remotes/o/x",
                "a",
                Some("refs/remotes/o/x"),
            ),
            ("refs/heads/a:refs/remotes/o/x", "ab", None),
            ("+a:refs/remotes/o/a", "a", Some("refs/remotes/o/a")),
            (
                "refs/heads/r-*:refs/remotes/o/r-*",
                "r-1",
                Some("refs/remotes/o/r-1"),
            ),
            (
                "refs/heads/*/x:refs/remotes/o/*/y",
                "a/x",
                Some("refs/remotes/o/a/y"),
            ),
            ("+refs/*:refs/*", "a", Some("refs/heads/a")),
            ("refs/heads/*", "a", None),
            ("refs/heads/*:", "a", None),
        ] {
            let source = format!("refs/heads/{branch}");
            assert_eq!(map([refspec], &source).as_deref(), expected, "{refspec}");
        }
    }

    #[test]
    fn a_negative_refspec_excludes_wherever_it_stands() {
        let specs = ["refs/heads/*:refs/remotes/o/*", "^refs/heads/wip/*"];
        assert_eq!(map(specs, "refs/heads/wip/a"), None);
        assert!(map(specs, "refs/heads/a").is_some());
    }

    proptest! {
        #[test]
        fn what_is_tracked_keeps_its_name(name in "(.|[*/:^+]){1,30}", from in "[a-z*/:^+]{0,12}") {
            let usual = ["+refs/heads/*:refs/remotes/o/*"];
            let source = format!("refs/heads/{name}");
            prop_assert_eq!(map(usual, &source), Some(format!("refs/remotes/o/{name}")));
            // A second refspec never leads out of `refs/`, whatever it is.
            let found = map([from.as_str()], &source);
            prop_assert!(found.is_none_or(|found| found.starts_with("refs/")));
        }
    }
}
