//! Tests of which image is found, and how it is shown.

use super::super::labels::tests::sample;
use chrono::DateTime;

use super::*;

/// An image of `ref_name`, the younger the higher `age` is.
fn image(id: &str, ref_name: &str, branch: &str, from: &str, second: i64) -> BakedImage {
    BakedImage {
        id: id.into(),
        tags: vec![],
        size: 1,
        made: second,
        of_containers: BTreeMap::new(),
        labels: Labels {
            ref_name: ref_name.into(),
            branch: branch.into(),
            branch_from: from.into(),
            created_at: DateTime::from_timestamp(second, 0).unwrap(),
            ..sample()
        },
    }
}

fn own<const COUNT: usize>(images: [BakedImage; COUNT]) -> Images {
    Images {
        own: images.into(),
        foreign: Vec::new(),
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
    let images = own([one("b", 5), one("a", 5), one("old", 1), one("new", 9)]);
    assert_eq!(
        ids(&find(&images, Query::default())),
        ["new", "a", "b", "old"]
    );
}

#[test]
fn a_remote_ref_is_found_by_its_branch_and_by_its_name() {
    let images = own([
        image("remote", "refs/remotes/space/main", "main", "space/main", 2),
        image(
            "typed",
            "refs/remotes/space/dev",
            "dev",
            "refs/remotes/space/dev",
            1,
        ),
    ]);
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
    let images = own([
        image("local", "refs/heads/main", "main", "main", 1),
        image("remote", "refs/remotes/space/main", "main", "space/main", 2),
    ]);
    let taken = |ref_name| {
        let query = Query {
            ref_name,
            ..reference("main")
        };
        best(&images, query).map(|image| &*image.id)
    };
    assert_eq!(taken(Some("refs/heads/main")), Some("local"));
    assert_eq!(taken(Some("refs/remotes/space/main")), Some("remote"));
    assert_eq!(taken(Some("refs/tags/main")), Some("remote"));
    assert_eq!(taken(None), Some("remote"));
    assert_eq!(best(&images, reference("other")), None);
}

#[test]
fn another_word_for_an_exact_ref_finds_it_and_an_old_head_is_not_todays() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let images = own([
        image("commit", id, id, id, 1),
        image("main", "refs/heads/main", "main", "HEAD", 2),
        image("remote", "refs/remotes/space/dev", "dev", "space/HEAD", 3),
    ]);
    let found = |typed, ref_name| {
        let query = Query {
            reference: Some(typed),
            ref_name,
            ..Query::default()
        };
        let one = best(&images, query).map(|image| &*image.id);
        assert_eq!(ids(&find(&images, query)), Vec::from_iter(one));
        one
    };
    assert_eq!(found("0123456", Some(id)), Some("commit"));
    assert_eq!(found("0123456", None), None);
    assert_eq!(found("HEAD", Some("refs/heads/main")), Some("main"));
    assert_eq!(found("HEAD", Some("refs/heads/topic")), None);
    let remote = |name| found("space/HEAD", Some(name));
    assert_eq!(remote("refs/remotes/space/dev"), Some("remote"));
    assert_eq!(remote("refs/remotes/space/main"), None);
}

#[test]
fn an_update_takes_only_the_exact_ref_of_the_repository() {
    let mut elsewhere = image("elsewhere", "refs/heads/main", "main", "main", 9);
    elsewhere.labels.repo_path = "/other/linux".into();
    let images = own([
        image("remote", "refs/remotes/space/main", "main", "space/main", 3),
        image("old", "refs/heads/main", "main", "main", 1),
        image("new", "refs/heads/main", "main", "main", 2),
        elsewhere,
    ]);
    let newest = |name| newest_of_exact_ref(&images, "/r/linux", name).map(|image| &*image.id);
    assert_eq!(newest("refs/heads/main"), Some("new"));
    assert_eq!(newest("refs/remotes/space/main"), Some("remote"));
    assert_eq!(newest("main"), None);
}

#[test]
fn object_images_do_not_count() {
    let mut objects = image("objects", "refs/heads/main", "main", "main", 9);
    objects.labels.image_type = ImageType::Objects;
    let images = own([objects]);
    assert!(find(&images, Query::default()).is_empty());
    let query = Query {
        ref_name: Some("refs/heads/main"),
        ..reference("main")
    };
    assert_eq!(best(&images, query), None);
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
    assert!(image.has_given_name());
    image.tags.retain(|tag| tag != "a:mine");
    assert!(!image.has_given_name());
    image.tags.push("dkr:mine".into());
    assert!(image.has_given_name());
    assert_eq!(image.own_tag(), Some("dkr:linux-main-00ff00"));
}

#[test]
fn labels_of_a_container_are_kept_apart() {
    let mut map = sample().to_map();
    for (name, value) in [("dkr.keep", "never"), ("vendor", "me")] {
        map.insert(name.into(), value.into());
    }
    let image = BakedImage::new("i", vec![], 1, 2, &map).unwrap();
    assert_eq!(image.labels, sample());
    let keep = ("dkr.keep".to_owned(), "never".to_owned());
    assert_eq!(image.of_containers, BTreeMap::from([keep]));
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
