//! The tags of dkr's images, a stable contract (pure).
//!
//! A bake gets two: the moving tag, which names the newest image of a branch, and an own tag, which
//! never moves. All of them are valid for any repository and branch name.

use sha2::{Digest, Sha256};

/// The repository (in Docker's sense) of all tags.
const REPOSITORY: &str = "dkr:";
/// The longest tag that Docker accepts, without the repository (distribution/reference,
/// `[\w][\w.-]{0,127}`).
const LONGEST: usize = 128;
/// Hex digits of a hash within a tag.
const HASH: usize = 8;
/// Random hex digits at the end of an own tag.
const RANDOM: usize = 6;

/// The moving tag of a branch: `dkr:<repo_name>-<branch>`, characters that a tag cannot hold
/// replaced by `-`; truncated and given a hash at its end where it would be too long.
pub fn moving_tag(repo_name: &str, branch: &str) -> String {
    format!("{REPOSITORY}{}", moving_name(repo_name, branch))
}

/// The moving tag of a branch when an image of another repository or ref holds the simple one.
pub fn moving_tag_disambiguated(
    repo_name: &str,
    branch: &str,
    repo_path: &str,
    ref_name: &str,
) -> String {
    let name = shortened(moving_name(repo_name, branch), LONGEST - 1 - HASH);
    format!("{REPOSITORY}{name}-{}", hash(&[repo_path, ref_name]))
}

/// The moving tag of an image about to be built. `held` returns which image has a tag now: its
/// `dkr.repo_path` and `dkr.ref`, empty for a foreign image.
pub fn choose_moving_tag(
    repo_name: &str,
    branch: &str,
    repo_path: &str,
    ref_name: &str,
    held: impl Fn(&str) -> Option<(String, String)>,
) -> String {
    let simple = moving_tag(repo_name, branch);
    match held(&simple) {
        Some((path, name)) if path != repo_path || name != ref_name => {
            moving_tag_disambiguated(repo_name, branch, repo_path, ref_name)
        }
        _ => simple,
    }
}

/// What the tags of an object image begin with; it has no moving tag.
pub fn objects_tag(repo_name: &str) -> String {
    moving_tag(repo_name, "objects")
}

/// The own tag of an image: `moving`, `-` and the six hex digits `random`.
pub fn own_tag(moving: &str, random: &str) -> String {
    format!("{}{random}", own_tag_start(moving))
}

/// Whether `tag` is an own tag of an image whose moving tag is, or was, `moving`.
pub fn is_own_tag(tag: &str, moving: &str) -> bool {
    tag.strip_prefix(&*own_tag_start(moving))
        .is_some_and(|random| {
            random.len() == RANDOM
                && random
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
}

fn own_tag_start(moving: &str) -> String {
    let name = moving.strip_prefix(REPOSITORY).unwrap_or(moving);
    let name = shortened(name.to_owned(), LONGEST - 1 - RANDOM);
    format!("{REPOSITORY}{name}-")
}

fn moving_name(repo_name: &str, branch: &str) -> String {
    let whole = format!("{repo_name}-{branch}");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let replaced = whole.chars().map(|c| if allowed(c) { c } else { '-' });
    let name: String = replaced.skip_while(|c| ".-".contains(*c)).collect();
    match name.len() {
        0 => hash(&[repo_name, branch]),
        1..=LONGEST => name,
        _ => cut(&name, LONGEST, &hash(&[&whole])),
    }
}

/// `name` as it is, or truncated with its hash at the end.
fn shortened(name: String, longest: usize) -> String {
    if name.len() <= longest {
        return name;
    }
    cut(&name, longest, &hash(&[&name]))
}

/// The start of `name` (ASCII) and `-` and `hash`, `longest` bytes in total.
fn cut(name: &str, longest: usize, hash: &str) -> String {
    format!("{}-{hash}", &name[..longest - 1 - HASH])
}

/// The first digits of the SHA-256 of the parts, a NUL between them.
fn hash(parts: &[&str]) -> String {
    let mut digits = hex::encode(Sha256::digest(parts.join("\0")));
    digits.truncate(HASH);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_read_as_documented() {
        assert_eq!(moving_tag("linux", "main"), "dkr:linux-main");
        assert_eq!(moving_tag("a b", "fix/ü#1"), "dkr:a-b-fix---1");
        assert_eq!(moving_tag(".-.x", "_Y"), "dkr:x-_Y");
        assert_eq!(moving_tag("", "-.v"), "dkr:v");
        assert_eq!(
            moving_tag_disambiguated("linux", "main", "/r", "refs/heads/main"),
            "dkr:linux-main-0151ca91"
        );
        assert_eq!(own_tag("dkr:linux-main", "00c0de"), "dkr:linux-main-00c0de");
    }

    #[test]
    fn a_name_without_a_usable_character_becomes_its_hash() {
        let tags = [
            moving_tag("", ""),
            moving_tag("é", "é"),
            moving_tag("..", "--"),
        ];
        for tag in &tags {
            assert_eq!(tag.len(), "dkr:".len() + HASH, "{tag}");
        }
        assert!(tags[0] != tags[1] && tags[1] != tags[2]);
    }

    #[test]
    fn long_names_are_cut_and_still_told_apart() {
        let long = "b".repeat(250);
        let (one, other) = (
            moving_tag("r", &format!("{long}/1")),
            moving_tag("r", &format!("{long}.1")),
        );
        assert_eq!(one.len(), "dkr:".len() + LONGEST);
        assert_eq!(one[..one.len() - HASH], other[..one.len() - HASH]);
        assert_ne!(one, other);
        assert_ne!(own_tag(&one, "000000"), own_tag(&other, "000000"));
    }

    #[test]
    fn a_tag_of_another_repository_or_ref_is_not_taken_over() {
        let held = |path: &str, name: &str| {
            let holder = (path.to_owned(), name.to_owned());
            choose_moving_tag("r", "main", "/a/r", "refs/heads/main", |tag| {
                (tag == "dkr:r-main").then(|| holder.clone())
            })
        };
        assert_eq!(held("/a/r", "refs/heads/main"), "dkr:r-main");
        let other = moving_tag_disambiguated("r", "main", "/a/r", "refs/heads/main");
        assert_eq!(held("/b/r", "refs/heads/main"), other);
        assert_eq!(held("/a/r", "refs/remotes/space/main"), other);
        assert_eq!(held("", ""), other);
        let free = choose_moving_tag("r", "main", "/a/r", "refs/heads/main", |_| None);
        assert_eq!(free, "dkr:r-main");
    }

    #[test]
    fn an_own_tag_is_recognised() {
        let long = moving_tag("r", &"b".repeat(250));
        for moving in ["dkr:r-main", &long] {
            assert!(is_own_tag(&own_tag(moving, "0a1b2c"), moving));
            assert!(!is_own_tag(moving, moving));
        }
        for tag in [
            "dkr:r-main-0A1B2C",
            "dkr:r-main-0a1b2",
            "dkr:r-main-0a1b2c3",
            "dkr:r-mainx-0a1b2c",
        ] {
            assert!(!is_own_tag(tag, "dkr:r-main"), "{tag}");
        }
    }

    /// Docker's grammar of a tag.
    fn is_valid(reference: &str) -> bool {
        let Some(tag) = reference.strip_prefix("dkr:") else {
            return false;
        };
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        tag.len() <= LONGEST
            && tag.starts_with(word)
            && tag.chars().all(|c| word(c) || c == '.' || c == '-')
    }

    proptest! {
        #[test]
        fn every_tag_is_valid(
            repo_name in "(.|\n){0,250}", branch in "(.|[-./]){0,250}", path in ".{0,9}", name in ".{0,9}",
        ) {
            let moving = moving_tag(&repo_name, &branch);
            let other = moving_tag_disambiguated(&repo_name, &branch, &path, &name);
            for tag in [&own_tag(&moving, "abcdef"), &own_tag(&other, "abcdef"), &moving, &other] {
                prop_assert!(is_valid(tag), "{}", tag);
            }
        }

        #[test]
        fn what_reads_alike_is_told_apart(one in ".{1,20}", other in ".{1,20}") {
            prop_assume!(one != other);
            let tag = |path: &str, name: &str| moving_tag_disambiguated("r", "main", path, name);
            prop_assert_ne!(tag(&one, "refs/heads/main"), tag(&other, "refs/heads/main"));
            prop_assert_ne!(tag("/r", &one), tag("/r", &other));
        }
    }
}
