//! Which image of a listing is meant, and how a listing shows it (pure).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::Serialize;

use super::labels::{ImageType, Labels};
use super::reference::{is_own_tag, moving_tag, moving_tag_disambiguated, objects_tag};

/// An image of dkr's, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BakedImage {
    /// The engine's id.
    pub id: String,
    /// All its tags.
    pub tags: Vec<String>,
    /// Bytes of all its layers.
    pub size: i64,
    /// Its labels.
    pub labels: Labels,
}

/// The names under which git looks for a short name (`gitrevisions`).
const PREFIXES: [&str; 5] = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];

impl BakedImage {
    /// An image from what the engine lists; `None` when its labels are not dkr's.
    pub fn new(
        id: impl Into<String>,
        tags: Vec<String>,
        size: i64,
        labels: &BTreeMap<String, String>,
    ) -> Option<Self> {
        Some(BakedImage {
            id: id.into(),
            tags,
            size,
            labels: Labels::from_map(labels)?,
        })
    }

    /// The moving tag, if the image has it: the newest image of its branch does.
    pub fn moving_tag(&self) -> Option<&str> {
        let possible = self.possible_moving_tags();
        self.tag(|tag| possible.iter().any(|moving| tag == moving))
    }

    /// A tag of the image that never moves: what a build on it names in `FROM`.
    pub fn own_tag(&self) -> Option<&str> {
        let possible = self.possible_moving_tags();
        self.tag(|tag| possible.iter().any(|moving| is_own_tag(tag, moving)))
    }

    /// The tag to show: the moving tag, else the own tag, else any other.
    pub fn shown_tag(&self) -> Option<&str> {
        let tag = self.moving_tag().or_else(|| self.own_tag());
        tag.or_else(|| self.tag(|_| true))
    }

    /// The first tag in order that `matches`.
    fn tag(&self, matches: impl Fn(&str) -> bool) -> Option<&str> {
        let tags = self.tags.iter().map(String::as_str);
        tags.filter(|tag| matches(tag)).min()
    }

    fn possible_moving_tags(&self) -> Vec<String> {
        let l = &self.labels;
        match l.image_type {
            ImageType::Objects => vec![objects_tag(&l.repo_name)],
            ImageType::Base | ImageType::Update => vec![
                moving_tag(&l.repo_name, &l.branch),
                moving_tag_disambiguated(&l.repo_name, &l.branch, &l.repo_path, &l.ref_name),
            ],
        }
    }

    fn is_of(&self, reference: &str) -> bool {
        let l = &self.labels;
        l.branch == reference || l.branch_from == reference || {
            let stripped = PREFIXES
                .iter()
                .filter_map(|prefix| l.ref_name.strip_prefix(prefix));
            stripped.into_iter().any(|short| short == reference)
        }
    }
}

/// What to look for. Nothing set finds every image of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query<'a> {
    /// The repository's `dkr.repo_path`.
    pub repo_path: Option<&'a str>,
    /// A ref as the user typed it: `main`, `space/main`, `refs/heads/main`, a commit.
    pub reference: Option<&'a str>,
}

/// The images that `query` describes, the newest first. Object images are never among them.
pub fn find<'i>(images: &'i [BakedImage], query: Query<'_>) -> Vec<&'i BakedImage> {
    let mut found: Vec<&BakedImage> = images
        .iter()
        .filter(|image| image.labels.image_type != ImageType::Objects)
        .filter(|image| {
            query
                .repo_path
                .is_none_or(|path| image.labels.repo_path == path)
        })
        .filter(|image| {
            query
                .reference
                .is_none_or(|reference| image.is_of(reference))
        })
        .collect();
    found.sort_by_key(|image| (Reverse(image.labels.created_at), &image.id));
    found
}

/// The image to take for `query`: the newest whose `dkr.ref` is exactly `ref_name` (the full name
/// that the user's ref resolves to, where that is known), else the newest of all that it describes.
pub fn best<'i>(
    images: &'i [BakedImage],
    query: Query<'_>,
    ref_name: Option<&str>,
) -> Option<&'i BakedImage> {
    let found = find(images, query);
    let exact = found
        .iter()
        .find(|image| ref_name == Some(&image.labels.ref_name));
    exact.or(found.first()).copied()
}

/// The newest image of exactly this ref of this repository: what an update may stack on.
pub fn newest_of_exact_ref<'i>(
    images: &'i [BakedImage],
    repo_path: &str,
    ref_name: &str,
) -> Option<&'i BakedImage> {
    let query = Query {
        repo_path: Some(repo_path),
        reference: None,
    };
    let mut found = find(images, query).into_iter();
    found.find(|image| image.labels.ref_name == ref_name)
}

/// The object images of a repository, the newest first.
pub fn object_images<'i>(images: &'i [BakedImage], repo_path: &str) -> Vec<&'i BakedImage> {
    let mut found: Vec<&BakedImage> = images
        .iter()
        .filter(|image| image.labels.image_type == ImageType::Objects)
        .filter(|image| image.labels.repo_path == repo_path)
        .collect();
    found.sort_by_key(|image| (Reverse(image.labels.created_at), &image.id));
    found
}

/// One image as JSON: its keys are a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row<'a> {
    /// The engine's id.
    pub id: &'a str,
    /// The tag it is shown under; `<none>` when it has none.
    pub tag: &'a str,
    /// All its tags.
    pub tags: &'a [String],
    /// Path of the repository.
    pub repo_path: &'a str,
    /// Name of the repository.
    pub repo_name: &'a str,
    /// Short name of the branch.
    pub branch: &'a str,
    /// The ref as it was typed.
    pub branch_from: &'a str,
    /// Full name of the ref in the host repository.
    #[serde(rename = "ref")]
    pub ref_name: &'a str,
    /// The baked commit, in full.
    pub commit: &'a str,
    /// When it was made (RFC 3339, UTC).
    pub created_at: String,
    /// `base` or `update`.
    #[serde(rename = "type")]
    pub image_type: &'static str,
    /// The own tag of the image it was built on.
    pub parent: Option<&'a str>,
    /// Bytes of all its layers.
    pub size: i64,
}

impl<'a> From<&'a BakedImage> for Row<'a> {
    fn from(image: &'a BakedImage) -> Self {
        let l = &image.labels;
        Row {
            id: &image.id,
            tag: image.shown_tag().unwrap_or("<none>"),
            tags: &image.tags,
            repo_path: &l.repo_path,
            repo_name: &l.repo_name,
            branch: &l.branch,
            branch_from: &l.branch_from,
            ref_name: &l.ref_name,
            commit: &l.commit,
            created_at: l.created_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            image_type: l.image_type.as_str(),
            parent: l.parent.as_deref(),
            size: image.size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::tests::sample;
    use chrono::DateTime;

    use super::*;

    /// An image of `ref_name`, the younger the higher `age` is.
    fn image(id: &str, ref_name: &str, branch: &str, from: &str, second: i64) -> BakedImage {
        BakedImage {
            id: id.into(),
            tags: vec![],
            size: 1,
            labels: Labels {
                ref_name: ref_name.into(),
                branch: branch.into(),
                branch_from: from.into(),
                created_at: DateTime::from_timestamp(second, 0).unwrap(),
                ..sample()
            },
        }
    }

    fn ids<'a>(found: &[&'a BakedImage]) -> Vec<&'a str> {
        found.iter().map(|image| &*image.id).collect()
    }

    fn reference(reference: &str) -> Query<'_> {
        Query {
            reference: Some(reference),
            ..Query::default()
        }
    }

    #[test]
    fn newest_first_and_ties_by_id() {
        let one = |id, second| image(id, "refs/heads/main", "main", "main", second);
        let images = [one("b", 5), one("a", 5), one("old", 1), one("new", 9)];
        assert_eq!(
            ids(&find(&images, Query::default())),
            ["new", "a", "b", "old"]
        );
    }

    #[test]
    fn a_remote_ref_is_found_by_its_branch_and_by_its_name() {
        let images = [
            image("remote", "refs/remotes/space/main", "main", "space/main", 2),
            image(
                "typed",
                "refs/remotes/space/dev",
                "dev",
                "refs/remotes/space/dev",
                1,
            ),
        ];
        for typed in [
            "main",
            "space/main",
            "refs/remotes/space/main",
            "remotes/space/main",
        ] {
            assert_eq!(ids(&find(&images, reference(typed))), ["remote"], "{typed}");
        }
        for typed in ["dev", "space/dev", "refs/remotes/space/dev"] {
            assert_eq!(ids(&find(&images, reference(typed))), ["typed"], "{typed}");
        }
        assert!(find(&images, reference("space")).is_empty());
        assert!(find(&images, reference("")).is_empty());
    }

    #[test]
    fn an_exact_ref_comes_before_a_newer_image() {
        let images = [
            image("local", "refs/heads/main", "main", "main", 1),
            image("remote", "refs/remotes/space/main", "main", "space/main", 2),
        ];
        let taken = |name| best(&images, reference("main"), name).map(|image| &*image.id);
        assert_eq!(taken(Some("refs/heads/main")), Some("local"));
        assert_eq!(taken(Some("refs/remotes/space/main")), Some("remote"));
        assert_eq!(taken(Some("refs/tags/main")), Some("remote"));
        assert_eq!(taken(None), Some("remote"));
        assert_eq!(best(&images, reference("other"), None), None);
    }

    #[test]
    fn an_update_takes_only_the_exact_ref_of_the_repository() {
        let mut elsewhere = image("elsewhere", "refs/heads/main", "main", "main", 9);
        elsewhere.labels.repo_path = "/other/linux".into();
        let images = [
            image("remote", "refs/remotes/space/main", "main", "space/main", 3),
            image("old", "refs/heads/main", "main", "main", 1),
            image("new", "refs/heads/main", "main", "main", 2),
            elsewhere,
        ];
        let newest = |name| newest_of_exact_ref(&images, "/r/linux", name).map(|image| &*image.id);
        assert_eq!(newest("refs/heads/main"), Some("new"));
        assert_eq!(newest("refs/remotes/space/main"), Some("remote"));
        assert_eq!(newest("main"), None);
    }

    #[test]
    fn object_images_do_not_count() {
        let mut objects = image("objects", "refs/heads/main", "main", "main", 9);
        objects.labels.image_type = ImageType::Objects;
        let images = [objects];
        assert!(find(&images, Query::default()).is_empty());
        assert_eq!(
            best(&images, reference("main"), Some("refs/heads/main")),
            None
        );
        assert_eq!(
            newest_of_exact_ref(&images, "/r/linux", "refs/heads/main"),
            None
        );
    }

    #[test]
    fn an_image_is_shown_under_its_moving_tag_else_its_own_else_any() {
        let mut image = image("i", "refs/heads/main", "main", "main", 1);
        assert_eq!(Row::from(&image).tag, "<none>");
        let other = moving_tag_disambiguated("linux", "main", "/r/linux", "refs/heads/main");
        for (added, shown) in [
            ("a:mine", "a:mine"),
            ("dkr:linux-main-00ff00", "dkr:linux-main-00ff00"),
            (&*other, &*other),
            ("dkr:linux-main", "dkr:linux-main"),
        ] {
            image.tags.push(added.into());
            assert_eq!(Row::from(&image).tag, shown);
        }
        assert_eq!(image.own_tag(), Some("dkr:linux-main-00ff00"));
    }

    #[test]
    fn a_branch_that_ends_like_an_own_tag_is_still_a_moving_tag() {
        let mut image = image("i", "refs/heads/fix-abcdef", "fix-abcdef", "fix-abcdef", 1);
        image.tags = vec![
            "dkr:linux-fix-abcdef-123456".into(),
            "dkr:linux-fix-abcdef".into(),
        ];
        assert_eq!(image.moving_tag(), Some("dkr:linux-fix-abcdef"));
        assert_eq!(image.own_tag(), Some("dkr:linux-fix-abcdef-123456"));
    }

    #[test]
    fn the_json_of_a_row_is_this() {
        let json = serde_json::to_string(&Row::from(&image(
            "i",
            "refs/heads/main",
            "main",
            "main",
            0,
        )));
        assert_eq!(
            json.unwrap(),
            r#"{"id":"i","tag":"<none>","tags":[],"repo_path":"/r/linux","repo_name":"linux","#
                .to_owned()
                + r#""branch":"main","branch_from":"main","ref":"refs/heads/main","#
                + r#""commit":"0123456789abcdef0123456789abcdef01234567","#
                + r#""created_at":"1970-01-01T00:00:00.000Z","type":"base","parent":null,"size":1}"#
        );
    }
}
