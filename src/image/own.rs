//! Which of the images with dkr's labels are dkr's own (pure).
//!
//! Labels prove nothing: `docker commit` and a build on an image copy them, and anybody can write
//! them. An image is dkr's own if it has an own tag, which dkr gives to each image that it builds, and
//! if the engine's own times do not contradict its labels. How it was built does not matter. All others,
//! foreign images, are never started, built on, updated, counted or removed.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};

use super::labels::ImageType;
use super::search::{BakedImage, Query};

/// How far the clock of the machine that bakes may be ahead of the engine's: a wrong time zone.
const SKEW: TimeDelta = TimeDelta::hours(24);
/// Hex digits of a shortened id, as docker shows it.
const SHORT_ID: usize = 12;

/// The images of an engine that have dkr's labels, separated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Those that dkr built.
    pub own: Vec<BakedImage>,
    /// Those that only look like it.
    pub foreign: Vec<Foreign>,
}

/// An image that has dkr's labels and is not dkr's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The image.
    pub image: BakedImage,
    /// What shows that.
    pub sign: Sign,
}

/// What distinguishes a foreign image from dkr's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It has no own tag: a `docker commit`, a build on a dkr image, or one that lost the tag.
    NoOwnTag,
    /// It has the labels of an image that was built before it, to the millisecond.
    Copy,
    /// Its label dates it after the engine last tagged it.
    Future,
}

impl Images {
    /// Separates images by what a listing shows of them.
    pub fn tell_apart(mut images: Vec<BakedImage>) -> Self {
        images.sort_by_key(|image| (image.made, image.id.clone()));
        let mut told = Images::default();
        for image in images {
            match told.sign(&image) {
                None => told.own.push(image),
                Some(sign) => told.foreign.push(Foreign { image, sign }),
            }
        }
        told
    }

    /// What shows that `image`, which was built after all of these, is foreign.
    fn sign(&self, image: &BakedImage) -> Option<Sign> {
        let labels = &image.labels;
        let is_known = labels.created_at != DateTime::UNIX_EPOCH;
        let is_copy = |other: &BakedImage| {
            is_known && other.labels.created_at == labels.created_at && other.labels == *labels
        };
        match image.own_tag() {
            None => Some(Sign::NoOwnTag),
            Some(_) if self.own.iter().any(is_copy) => Some(Sign::Copy),
            Some(_) => None,
        }
    }

    /// Corrects the age of the own image `id`, which is dated in the future, by `clocks`, or marks it as
    /// foreign.
    pub fn settle(&mut self, id: &str, clocks: Clocks) {
        let Some(position) = self.own.iter().position(|image| image.id == id) else {
            return;
        };
        let labels = &mut self.own[position].labels;
        match clocks.believed(labels.created_at) {
            Some(time) => labels.created_at = time,
            None => self.foreign.push(Foreign {
                image: self.own.swap_remove(position),
                sign: Sign::Future,
            }),
        }
    }

    /// The foreign images that `query` describes, the newest first.
    pub fn look_alikes(&self, query: Query<'_>) -> Vec<&Foreign> {
        let foreign = self.foreign.iter();
        let mut meant: Vec<&Foreign> = foreign
            .filter(|other| other.image.is_meant(query))
            .collect();
        meant.sort_by_key(|other| (Reverse(other.image.labels.created_at), &other.image.id));
        meant
    }

    /// Those of them that would be the newest of their branch if they were dkr's own. An untagged image
    /// that is the only one of a branch does not matter.
    pub fn rivals(&self, query: Query<'_>) -> Vec<&Foreign> {
        let mut rivals = self.look_alikes(query);
        rivals.retain(|other| {
            let labels = &other.image.labels;
            let of_branch = |own: &&BakedImage| own.is_of_branch(labels);
            let newest = self.own.iter().filter(of_branch);
            match newest.map(|own| own.labels.created_at).max() {
                Some(newest) => labels.created_at >= newest,
                None => !other.image.tags.is_empty(),
            }
        });
        rivals
    }
}

/// What clocks say about an image that is dated in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// When the engine last tagged it.
    pub tagged_at: Option<DateTime<Utc>>,
    /// What the engine's clock says now.
    pub engine: Option<DateTime<Utc>>,
}

impl Clocks {
    /// When an image with the label `label` was built; `None` if that is impossible.
    fn believed(self, label: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let tagged_at = self.tagged_at?;
        if label > tagged_at + SKEW {
            return None;
        }
        if self.engine.is_none_or(|now| tagged_at > now) {
            // The engine's clock was wrong then. Images built from now on are newer.
            return Some(DateTime::UNIX_EPOCH);
        }
        Some(label.min(tagged_at))
    }
}

impl Foreign {
    /// Its name: a tag, or the beginning of its id.
    pub fn name(&self) -> &str {
        let tag = self.image.shown_tag();
        tag.unwrap_or_else(|| self.short_id())
    }

    /// The beginning of its id.
    pub fn short_id(&self) -> &str {
        let id = self.image.id.strip_prefix("sha256:");
        let id = id.unwrap_or(&self.image.id);
        id.get(..SHORT_ID).unwrap_or(id)
    }

    /// What it looks like, and what shows that it is not dkr's.
    pub fn describe(&self) -> String {
        let labels = &self.image.labels;
        let image = format!("image `{}`", self.name());
        let looks = match labels.image_type {
            ImageType::Objects => format!("an object image of `{}`", labels.repo_path),
            _ => format!(
                "an image of `{}` in `{}`",
                labels.branch_from, labels.repo_path
            ),
        };
        match self.sign {
            Sign::NoOwnTag => {
                format!("{image} is labelled as {looks}, but has no tag from dkr")
            }
            Sign::Copy => format!("{image} is labelled as {looks} that was built before it"),
            Sign::Future => format!(
                "{image} is labelled as {looks} built on {}, but the engine tagged it earlier",
                labels.created_at.date_naive()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::labels::tests::sample;
    use super::*;

    /// An image of `main` with these tags, made at `made` by the engine and by its label.
    fn image(id: &str, tags: &[&str], made: i64) -> BakedImage {
        let mut labels = sample();
        labels.created_at = at(made);
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        BakedImage::new(id, tags, 1, made, &labels.to_map()).unwrap()
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn ids(images: &[BakedImage]) -> Vec<&str> {
        images.iter().map(|image| &*image.id).collect()
    }

    const OWN: &str = "dkr:linux-main-0a1b2c";

    #[test]
    fn only_a_tag_of_its_own_makes_an_image_dkrs() {
        let mut objects = image("objects", &["dkr:linux-objects-0a1b2c"], 1);
        objects.labels.image_type = ImageType::Objects;
        let images = vec![
            objects,
            image("own", &["mine:1", OWN], 2),
            image("untagged", &[], 3),
            image("named", &["evil:1", "dkr:linux-main-x"], 4),
            image("moving", &["dkr:linux-main"], 5),
            image(
                "other",
                &["dkr:linux-topic-0a1b2c", "x/dkr:linux-main-0a1b2c"],
                6,
            ),
        ];
        let told = Images::tell_apart(images);
        assert_eq!(ids(&told.own), ["objects", "own"]);
        let signs: Vec<Sign> = told.foreign.iter().map(|other| other.sign).collect();
        assert_eq!(signs, [Sign::NoOwnTag; 4]);
    }

    #[test]
    fn of_two_with_the_same_labels_the_first_is_dkrs() {
        let mut copy = image("a-copy", &["dkr:linux-main-ffffff"], 5);
        copy.made = 9;
        let told = Images::tell_apart(vec![copy, image("own", &[OWN], 5)]);
        assert_eq!(ids(&told.own), ["own"]);
        assert_eq!(told.foreign[0].sign, Sign::Copy);
        // Where no time is known, labels cannot be checked.
        let unknown = |id: &str, tag: &str| image(id, &[tag], 0);
        let told = Images::tell_apart(vec![
            unknown("a", OWN),
            unknown("b", "dkr:linux-main-ffffff"),
        ]);
        assert_eq!(told.own.len(), 2);
    }

    #[test]
    fn a_time_in_the_future_is_believed_as_far_as_the_engine_bears_it_out() {
        let day = SKEW.num_seconds();
        let believed = |label: i64, tagged_at: Option<i64>, engine: i64| {
            let clocks = Clocks {
                tagged_at: tagged_at.map(at),
                engine: Some(at(engine)),
            };
            clocks.believed(at(label)).map(|time| time.timestamp())
        };
        // This machine's clock is behind.
        assert_eq!(believed(100, Some(110), 120), Some(100));
        // The clock of the machine that baked was ahead.
        assert_eq!(believed(100, Some(90), 120), Some(90));
        assert_eq!(believed(90 + day, Some(90), 120), Some(90));
        assert_eq!(believed(91 + day, Some(90), 120), None);
        // The engine's was, too, and has been set right.
        assert_eq!(believed(900, Some(910), 120), Some(0));
        assert_eq!(believed(100, None, 120), None);
    }

    #[test]
    fn a_contradicted_image_is_foreign() {
        let mut images = Images::tell_apart(vec![image("a", &[OWN], 5_000_000)]);
        let clocks = |second| Clocks {
            tagged_at: Some(at(second)),
            engine: Some(at(second)),
        };
        images.settle("b", clocks(5));
        images.settle("a", clocks(4_999_999));
        assert_eq!(images.own[0].labels.created_at, at(4_999_999));
        images.settle("a", clocks(5));
        assert_eq!(
            (images.own.len(), images.foreign[0].sign),
            (0, Sign::Future)
        );
    }

    #[test]
    fn a_rival_is_no_older_than_the_newest_of_its_branch() {
        let topic = |mut image: BakedImage| {
            image.labels.ref_name = "refs/heads/topic".into();
            image
        };
        let images = Images::tell_apart(vec![
            image("own", &[OWN], 5),
            image("older", &["old:1"], 4),
            image("committed", &[], 5),
            image("newer", &["evil:1"], 9),
            topic(image("alone", &["alone:1"], 1)),
            topic(image("left", &[], 1)),
        ]);
        let rivals = |query| {
            let rivals = images.rivals(query).into_iter();
            rivals.map(|other| &*other.image.id).collect::<Vec<_>>()
        };
        assert_eq!(rivals(Query::default()), ["newer", "committed", "alone"]);
        let main = Query {
            reference: Some("refs/heads/main"),
            ..Query::default()
        };
        assert_eq!(rivals(main), ["newer", "committed"]);
        let other = Query {
            repo_path: Some("/other"),
            ..Query::default()
        };
        assert_eq!(rivals(other), [""; 0]);
        assert_eq!(images.look_alikes(Query::default()).len(), 5);
    }

    #[test]
    fn a_foreign_image_is_described() {
        let mut other = Foreign {
            image: image("sha256:0123456789abcdef", &[], 4_070_908_800),
            sign: Sign::NoOwnTag,
        };
        let looks = "`0123456789ab` is labelled as an image of `main` in `/r/linux`";
        let described = other.describe();
        assert_eq!(described, format!("image {looks}, but has no tag from dkr"));
        other.sign = Sign::Future;
        let described = other.describe();
        assert_eq!(
            described,
            format!("image {looks} built on 2099-01-01, but the engine tagged it earlier")
        );
    }
}
