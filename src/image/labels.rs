//! The labels of dkr's images: a stable contract that other programs read (pure).
//!
//! `build` writes them through the API; listings read them back.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// Absolute path of the repository: its main worktree, or the bare repository.
pub const REPO_PATH: &str = "dkr.repo_path";
/// The repository's name.
pub const REPO_NAME: &str = "dkr.repo_name";
/// Resolved short name of the branch; a commit's full id when HEAD was detached.
pub const BRANCH: &str = "dkr.branch";
/// The ref as the user typed it; the resolved name when none was given.
pub const BRANCH_FROM: &str = "dkr.branch_from";
/// Full name of the ref in the host repository, e.g. `refs/remotes/space/main`.
pub const REF: &str = "dkr.ref";
/// The baked commit: 40 hex digits.
pub const COMMIT: &str = "dkr.commit";
/// When the image was made: RFC 3339, UTC.
pub const CREATED_AT: &str = "dkr.created_at";
/// The type of the image: see [`ImageType`].
pub const TYPE: &str = "dkr.type";
/// Own tag of the image it was built on.
pub const PARENT: &str = "dkr.parent";
/// Canonical JSON of the configuration that was in force.
pub const CONFIG: &str = "dkr.config";
/// The version of dkr that made it.
pub const VERSION: &str = "dkr.version";
/// The version of this contract: see [`SCHEMA_VERSION`].
pub const SCHEMA: &str = "dkr.schema";

/// The baked commit, as the OCI image specification names it (`annotations.md`).
pub const OCI_REVISION: &str = "org.opencontainers.image.revision";
/// When the image was built, by the same specification.
pub const OCI_CREATED: &str = "org.opencontainers.image.created";
/// The URL of the source, by the same specification.
pub const OCI_SOURCE: &str = "org.opencontainers.image.source";

/// The names of dkr's labels.
pub const OF_IMAGES: [&str; 12] = [
    REPO_PATH,
    REPO_NAME,
    BRANCH,
    BRANCH_FROM,
    REF,
    COMMIT,
    CREATED_AT,
    TYPE,
    PARENT,
    CONFIG,
    VERSION,
    SCHEMA,
];

/// The version of the contract that this code writes. It changes only when a reader of the old one
/// would be misled; labels may be added without it.
pub const SCHEMA_VERSION: &str = "1";

/// The type of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageType {
    /// Made by `create-image`.
    Base,
    /// Made by `update-image`.
    Update,
    /// A repository's packs without a work tree: never listed, started or updated.
    Objects,
}

impl ImageType {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            ImageType::Base => "base",
            ImageType::Update => "update",
            ImageType::Objects => "objects",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [ImageType::Base, ImageType::Update, ImageType::Objects]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for ImageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The labels of one image. A text is empty where the image has no such label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// [`REPO_PATH`]
    pub repo_path: String,
    /// [`REPO_NAME`]
    pub repo_name: String,
    /// [`BRANCH`]; empty if it contains control characters, which git rejects
    pub branch: String,
    /// [`BRANCH_FROM`]; that of the branch if it contains control characters
    pub branch_from: String,
    /// [`REF`]; empty if it is neither the full name of a ref nor a commit
    pub ref_name: String,
    /// [`COMMIT`]; empty if it is not a full id
    pub commit: String,
    /// [`CREATED_AT`], to the millisecond; the start of 1970 if it is not known or not plausible
    pub created_at: DateTime<Utc>,
    /// [`TYPE`]
    pub image_type: ImageType,
    /// [`PARENT`]
    pub parent: Option<String>,
    /// [`CONFIG`]
    pub config: Option<String>,
    /// [`VERSION`]
    pub version: String,
    /// [`OCI_SOURCE`]
    pub source: Option<String>,
}

impl Labels {
    /// The labels as the engine expects them. An unknown value is empty rather than left out, or the image
    /// would inherit it from the one that it is built on.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let created_at = self.created_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            (REPO_PATH, self.repo_path.clone()),
            (REPO_NAME, self.repo_name.clone()),
            (BRANCH, self.branch.clone()),
            (BRANCH_FROM, self.branch_from.clone()),
            (REF, self.ref_name.clone()),
            (COMMIT, self.commit.clone()),
            (CREATED_AT, created_at.clone()),
            (TYPE, self.image_type.as_str().to_owned()),
            (PARENT, optional(&self.parent)),
            (CONFIG, optional(&self.config)),
            (VERSION, self.version.clone()),
            (SCHEMA, SCHEMA_VERSION.to_owned()),
            (OCI_REVISION, self.commit.clone()),
            (OCI_CREATED, created_at),
            (OCI_SOURCE, optional(&self.source)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Reads labels back, trusting nothing. `None` without a known type or the absolute path of a
    /// repository, and for another schema. Other missing or invalid values are left empty, an
    /// invalid time counts as the oldest, and unknown labels are ignored.
    pub fn from_map(map: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key: &str| map.get(key).filter(|value| !value.is_empty()).cloned();
        if get(SCHEMA).is_some_and(|schema| schema != SCHEMA_VERSION) {
            return None;
        }
        let name = |key| get(key).filter(|text| !text.contains(|c: char| c.is_ascii_control()));
        let image_type = ImageType::parse(&get(TYPE)?)?;
        let branch = name(BRANCH).unwrap_or_default();
        Some(Labels {
            repo_path: get(REPO_PATH).filter(|path| path.starts_with('/'))?,
            repo_name: get(REPO_NAME).unwrap_or_default(),
            branch_from: name(BRANCH_FROM).unwrap_or_else(|| branch.clone()),
            branch,
            ref_name: get(REF)
                .filter(|name| is_ref(name) || is_commit(name))
                .unwrap_or_default(),
            commit: get(COMMIT).filter(|id| is_commit(id)).unwrap_or_default(),
            created_at: get(CREATED_AT)
                .and_then(|text| DateTime::parse_from_rfc3339(&text).ok())
                .map_or(DateTime::UNIX_EPOCH, |time| time.to_utc()),
            image_type,
            parent: get(PARENT),
            config: get(CONFIG),
            version: get(VERSION).unwrap_or_default(),
            source: get(OCI_SOURCE),
        })
    }
}

/// Whether git accepts `name` as the full name of a ref (git-check-ref-format(1)).
fn is_ref(name: &str) -> bool {
    let odd = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let refused = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    name.starts_with("refs/")
        && !name.contains(odd)
        && !["..", "@{"].iter().any(|pair| name.contains(pair))
        && !name.ends_with('.')
        && !name.split('/').any(refused)
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An image of `refs/heads/main` of the repository `/r/linux`, made at the start of 2026.
    pub(crate) fn sample() -> Labels {
        Labels {
            repo_path: "/r/linux".into(),
            repo_name: "linux".into(),
            branch: "main".into(),
            branch_from: "main".into(),
            ref_name: "refs/heads/main".into(),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            created_at: DateTime::from_timestamp_millis(1_767_225_600_123).unwrap(),
            image_type: ImageType::Base,
            parent: None,
            config: Some("{}".into()),
            version: "0.1.0".into(),
            source: None,
        }
    }

    #[test]
    fn the_labels_are_these() {
        let lines: Vec<String> = sample()
            .to_map()
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            lines,
            [
                "dkr.branch=main",
                "dkr.branch_from=main",
                "dkr.commit=0123456789abcdef0123456789abcdef01234567",
                "dkr.config={}",
                "dkr.created_at=2026-01-01T00:00:00.123Z",
                "dkr.parent=",
                "dkr.ref=refs/heads/main",
                "dkr.repo_name=linux",
                "dkr.repo_path=/r/linux",
                "dkr.schema=1",
                "dkr.type=base",
                "dkr.version=0.1.0",
                "org.opencontainers.image.created=2026-01-01T00:00:00.123Z",
                "org.opencontainers.image.revision=0123456789abcdef0123456789abcdef01234567",
                "org.opencontainers.image.source=",
            ]
        );
    }

    #[test]
    fn optional_labels_are_written_when_known() {
        let labels = Labels {
            parent: Some("dkr:p".into()),
            source: Some("https://example.com/r".into()),
            ..sample()
        };
        let map = labels.to_map();
        assert_eq!(
            (&*map[PARENT], &*map[OCI_SOURCE]),
            ("dkr:p", "https://example.com/r")
        );
        assert_eq!(Labels::from_map(&map), Some(labels));
    }

    #[test]
    fn little_is_needed_and_more_is_ignored() {
        let map = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
            Labels::from_map(&owned.collect())
        };
        let least = map(&[
            (TYPE, "update"),
            (REPO_PATH, "/r"),
            (BRANCH, "b"),
            ("dkr.later", "x"),
        ]);
        let least = least.unwrap();
        assert_eq!((&*least.branch_from, &*least.ref_name), ("b", ""));
        assert_eq!(least.created_at, DateTime::UNIX_EPOCH);
        let zone = map(&[
            (TYPE, "base"),
            (REPO_PATH, "/r"),
            (CREATED_AT, "2026-01-01T02:00:00+02:00"),
        ]);
        assert_eq!(
            zone.unwrap().created_at.to_rfc3339(),
            "2026-01-01T00:00:00+00:00"
        );
        assert_eq!(map(&[(REPO_PATH, "/r")]), None);
        assert_eq!(map(&[(TYPE, "base")]), None);
        assert_eq!(map(&[(TYPE, "base"), (REPO_PATH, "r")]), None);
        assert_eq!(map(&[(TYPE, "snapshot"), (REPO_PATH, "/r")]), None);
        assert_eq!(
            map(&[(TYPE, "base"), (REPO_PATH, "/r"), (SCHEMA, "2")]),
            None
        );
    }

    #[test]
    fn what_is_no_ref_and_no_commit_is_left_out() {
        let read = |reference: &str, commit: &str| {
            let map = [
                (TYPE, "base"),
                (REPO_PATH, "/r"),
                (REF, reference),
                (COMMIT, commit),
            ];
            let owned = map.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let labels = Labels::from_map(&owned.into()).unwrap();
            (labels.ref_name, labels.commit)
        };
        let (id, long) = ("0a".repeat(20), "0a".repeat(32));
        for name in [
            "refs/heads/a/b-c",
            "refs/heads/ü#1\u{9b}",
            "refs/remotes/x/HEAD",
            &id,
            &long,
        ] {
            assert_eq!(read(name, &id), (name.to_owned(), id.clone()));
        }
        for name in [
            "HEAD",
            "main",
            "--upload-pack=x",
            "refs/heads/../x",
            "refs//x",
            "refs/heads/.x",
            "refs/heads/x.lock/y",
            "refs/heads/x.",
            "refs/heads/x ",
            "refs/heads/x\u{1b}",
            "refs/heads/*",
            "refs/heads/x@{1}",
            "refs/",
        ] {
            assert_eq!(read(name, name), (String::new(), String::new()), "{name}");
        }
        let odd = [
            (TYPE, "base"),
            (REPO_PATH, "/r"),
            (BRANCH, "a\u{1b}[2J"),
            (BRANCH_FROM, "a\nb"),
        ];
        let odd = odd.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels = Labels::from_map(&odd.into()).unwrap();
        assert_eq!((&*labels.branch, &*labels.branch_from), ("", ""));
        assert_eq!(
            read(&id[1..], &id.to_uppercase()),
            (String::new(), String::new())
        );
    }

    proptest! {
        #[test]
        fn labels_survive_the_way_there_and_back(
            repo_path in "/.{1,20}",
            texts in proptest::array::uniform3("\\PC{1,20}"),
            ref_name in "refs/heads/[a-z]{1,9}",
            commit in "[0-9a-f]{40}",
            millis in 0i64..4_000_000_000_000,
            parent in proptest::option::of(".{1,9}"),
            kind in 0usize..3,
        ) {
            let [repo_name, branch, branch_from] = texts;
            let image_type = [ImageType::Base, ImageType::Update, ImageType::Objects][kind];
            let created_at = DateTime::from_timestamp_millis(millis).unwrap();
            let labels = Labels {
                repo_path, repo_name, branch, branch_from, ref_name, commit, image_type, created_at,
                parent, ..sample()
            };
            prop_assert_eq!(Labels::from_map(&labels.to_map()), Some(labels));
        }

        #[test]
        fn no_labels_panic(map in proptest::collection::btree_map("dkr\\.[a-z_]{2,10}", ".{0,20}", 0..9)) {
            let _ = Labels::from_map(&map);
        }
    }
}
