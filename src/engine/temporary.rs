//! Temporary containers that dkr creates to read an image and then removes.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::ListedContainer;

/// The label of such a container. Its value is the id of the container's image, so that containers of an
/// image committed from one do not count.
const LABEL: &str = "dkr.temporary";
/// The age at which a stopped one is left over from a killed dkr.
const LEFT_OVER: TimeDelta = TimeDelta::minutes(1);
/// The age at which any is left over.
const LEFT_OVER_RUNNING: TimeDelta = TimeDelta::minutes(15);

/// The labels of a temporary container of `image`.
pub fn labels(image: &str) -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), image.to_owned())])
}

impl ListedContainer {
    /// Whether dkr created it as a temporary container.
    pub fn is_temporary(&self) -> bool {
        self.labels.get(LABEL) == Some(&self.image)
    }

    /// Whether it is temporary and so old that its dkr must have been killed.
    pub fn is_left_over(&self, now: DateTime<Utc>) -> bool {
        let limit = if self.is_alive() {
            LEFT_OVER_RUNNING
        } else {
            LEFT_OVER
        };
        self.is_temporary() && now - self.created > limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::ContainerId;

    #[test]
    fn only_an_old_temporary_container_is_left_over() {
        let now = DateTime::from_timestamp(100_000, 0).unwrap();
        let is_left_over = |state: &str, age: i64, labels: HashMap<String, String>| {
            let container = ListedContainer {
                id: ContainerId("c".to_owned()),
                name: "c".to_owned(),
                image: "sha256:a".to_owned(),
                labels: labels.into_iter().collect(),
                state: state.to_owned(),
                command: String::new(),
                created: now - TimeDelta::seconds(age),
            };
            container.is_left_over(now)
        };
        let own = || labels("sha256:a");
        assert!(is_left_over("created", 61, own()));
        assert!(!is_left_over("created", 59, own()));
        assert!(!is_left_over("running", 61, own()));
        assert!(is_left_over("running", 901, own()));
        assert!(!is_left_over("exited", 9999, HashMap::new()));
        assert!(!is_left_over("exited", 9999, labels("sha256:b")));
    }
}
