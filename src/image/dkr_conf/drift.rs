//! What was in force when an image was built, and what has changed since.
//!
//! `create-image` writes [`ConfLabel`] into the image as the label `dkr.config`; `update-image`
//! and `start-image` read it back and compare it with the current `.dkr.conf`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::parse::DkrConf;
use super::raw_section::SectionName;
use crate::error::{Error, Result};

/// The content of the label `dkr.config`: a `.dkr.conf` in canonical form.
///
/// Its JSON has sorted keys and no blanks, so that equal configurations have equal labels. It
/// outlives dkr's versions: fields are only ever added, and unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "baked-configuration"))]
pub struct ConfLabel {
    /// The base image.
    pub base_image: String,
    /// Packages, sorted.
    #[serde(default)]
    pub packages: Vec<String>,
    /// SHA-256 of the text of `[post_clone]`, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_clone: Option<String>,
    /// SHA-256 of the text of `[pre_clone]`, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_clone: Option<String>,
    /// SHA-256 of the text of `[pre_packages]`, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_packages: Option<String>,
    /// Volumes in the syntax of `-v`, sorted.
    #[serde(default)]
    pub volumes: Vec<String>,
}

impl ConfLabel {
    /// That of an image with nothing but a base image and dkr's own packages.
    pub fn of_base_image(base_image: &str) -> Self {
        ConfLabel {
            base_image: base_image.to_owned(),
            ..DkrConf::default().label()
        }
    }

    /// Reads the label's text back.
    ///
    /// # Errors
    /// If it is not what dkr writes.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text)
            .map_err(|error| Error::failed("cannot read the label `dkr.config`").source(error))
    }

    /// The label's text.
    pub fn to_json(&self) -> String {
        // Sorted keys come from the order of the fields, which a test pins.
        serde_json::to_string(self).expect("text and lists of text are always JSON")
    }

    fn section(&self, name: SectionName) -> Option<&String> {
        match name {
            SectionName::PrePackages => self.pre_packages.as_ref(),
            SectionName::PreClone => self.pre_clone.as_ref(),
            SectionName::PostClone => self.post_clone.as_ref(),
        }
    }
}

impl DkrConf {
    /// The canonical form of this configuration.
    pub fn label(&self) -> ConfLabel {
        let hash = |name| {
            self.section(name)
                .map(|section| hex::encode(Sha256::digest(&section.text)))
        };
        let mut packages = self.packages.clone();
        packages.sort_unstable();
        let mut volumes: Vec<String> = self.volumes.iter().map(ToString::to_string).collect();
        volumes.sort_unstable();
        ConfLabel {
            base_image: self.base_image.clone(),
            packages,
            post_clone: hash(SectionName::PostClone),
            pre_clone: hash(SectionName::PreClone),
            pre_packages: hash(SectionName::PrePackages),
            volumes,
        }
    }

    /// The text of the label `dkr.config`.
    pub fn to_label(&self) -> String {
        self.label().to_json()
    }
}

/// How the current `.dkr.conf` differs from what an image was built with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The base image then and now, if it changed.
    pub base_image: Option<(String, String)>,
    /// Raw sections that were added, removed or edited.
    pub sections: Vec<SectionName>,
    /// Packages that the image does not have yet.
    pub added_packages: Vec<String>,
    /// Packages that the image has and should not.
    pub removed_packages: Vec<String>,
    /// Whether the volumes differ.
    pub volumes: bool,
}

/// Compares what an image was built with (`baked`) with the current configuration (`now`).
pub fn drift(baked: &ConfLabel, now: &ConfLabel) -> Drift {
    let missing_in = |there: &[String], here: &[String]| -> Vec<String> {
        let missing = here.iter().filter(|package| !there.contains(package));
        missing.cloned().collect()
    };
    let mut sections = SectionName::ALL.to_vec();
    sections.retain(|name| baked.section(*name) != now.section(*name));
    Drift {
        base_image: (baked.base_image != now.base_image)
            .then(|| (baked.base_image.clone(), now.base_image.clone())),
        sections,
        added_packages: missing_in(&baked.packages, &now.packages),
        removed_packages: missing_in(&now.packages, &baked.packages),
        volumes: baked.volumes != now.volumes,
    }
}

impl Drift {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Drift::default()
    }

    /// Whether something changed that an update layer cannot carry.
    pub fn needs_new_bake(&self) -> bool {
        !self.beyond_a_layer().is_empty()
    }

    /// Each difference as a short statement, those that need a rebuild from scratch first.
    pub fn describe(&self) -> Vec<String> {
        [self.beyond_a_layer(), self.within_a_layer()].concat()
    }

    /// Each difference that an update layer cannot carry: the base image, what runs before the
    /// repository is there, a package that was removed.
    pub fn beyond_a_layer(&self) -> Vec<String> {
        let mut statements = Vec::new();
        if let Some((then, now)) = &self.base_image {
            statements.push(format!("`base_image` changed from `{then}` to `{now}`"));
        }
        statements.extend(self.changed(|name| name != SectionName::PostClone));
        statements.extend(list("removed", &self.removed_packages));
        statements
    }

    /// Each difference that an update layer carries.
    pub fn within_a_layer(&self) -> Vec<String> {
        let mut statements = self.changed(|name| name == SectionName::PostClone);
        statements.extend(list("added", &self.added_packages));
        if self.volumes {
            statements.push("`volumes` changed".to_owned());
        }
        statements
    }

    fn changed(&self, which: impl Fn(SectionName) -> bool) -> Vec<String> {
        let names = self.sections.iter().filter(|name| which(**name));
        names.map(|name| format!("[{name}] changed")).collect()
    }
}

/// `` packages `a`, `b` removed ``, if there are any.
fn list(what: &str, packages: &[String]) -> Option<String> {
    let names: Vec<String> = packages.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => None,
        [name] => Some(format!("package {name} {what}")),
        _ => Some(format!("packages {} {what}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Allow, parse};
    use super::*;

    fn label(text: &str) -> ConfLabel {
        parse(text.as_bytes(), &Allow::default()).unwrap().label()
    }

    #[test]
    fn the_label_is_canonical_json_and_reads_back() {
        let text = "packages = cmake bazel cmake\nvolumes = b1:/b a1:/a:ro\n[post_clone]\nRUN id\n";
        let json = label(text).to_json();
        assert_eq!(
            json,
            "{\"base_image\":\"fedora:43\",\"packages\":[\"bazel\",\"cmake\"],\"post_clone\":\
             \"215d3f7645e2763b898cac999d8341c1487628a730441b0ea99b921ea9615db2\",\
             \"volumes\":[\"a1:/a:ro\",\"b1:/b\"]}"
        );
        assert_eq!(ConfLabel::parse(&json).unwrap(), label(text));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value.to_string(), json, "keys are sorted");
        assert_eq!(
            label("packages = bazel cmake\nvolumes = a1:/a:ro b1:/b").packages,
            ["bazel", "cmake"]
        );
    }

    #[test]
    fn a_label_of_another_version_is_read_and_a_broken_one_is_not() {
        let label = ConfLabel::parse(r#"{"base_image":"x","later":[1]}"#).unwrap();
        assert_eq!(label.base_image, "x");
        let error = ConfLabel::parse("{").unwrap_err();
        assert_eq!(error.message, "cannot read the label `dkr.config`");
    }

    #[test]
    fn equal_configurations_have_not_drifted() {
        let one = label("packages = a1 b1\n[pre_clone]\nRUN id\n");
        let other = label("# new\npackages=b1  a1\r\n[pre_clone]\r\nRUN id\r\n");
        assert!(drift(&one, &other).is_empty());
        assert!(drift(&one, &other).describe().is_empty());
    }

    #[test]
    fn an_update_layer_carries_added_packages_post_clone_and_volumes() {
        let then = label("packages = a1\n[post_clone]\nRUN id\n");
        let now = label("packages = a1 b1 c1\nvolumes = vv:/v\n[post_clone]\nRUN id -u\n");
        let drift = drift(&then, &now);
        assert!(!drift.needs_new_bake());
        assert!(drift.beyond_a_layer().is_empty());
        assert_eq!(
            drift.describe(),
            [
                "[post_clone] changed",
                "packages `b1`, `c1` added",
                "`volumes` changed"
            ]
        );
    }

    #[test]
    fn the_rest_needs_a_new_bake() {
        let then = label("packages = a1 b1\n");
        for (now, statement) in [
            ("packages = b1\n", "package `a1` removed"),
            (
                "base_image = x:1\npackages = a1 b1\n",
                "`base_image` changed from `fedora:43` to `x:1`",
            ),
            (
                "packages = a1 b1\n[pre_packages]\nRUN id\n",
                "[pre_packages] changed",
            ),
            (
                "packages = a1 b1\n[pre_clone]\nRUN id\n",
                "[pre_clone] changed",
            ),
        ] {
            let drift = drift(&then, &label(now));
            assert!(drift.needs_new_bake(), "{now}");
            assert_eq!(drift.describe(), [statement]);
            assert_eq!(drift.beyond_a_layer(), [statement]);
        }
    }
}
