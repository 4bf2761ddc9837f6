//! Layers and their sizes: what an image adds to those it was built on, and what a set of images
//! takes up (pure).

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::HistoryStep;

/// The layers of an image, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layers {
    digests: Vec<String>,
    sizes: Vec<u64>,
}

impl Layers {
    /// The layers with these digests, and their sizes from the image's history.
    pub fn new(digests: Vec<String>, history: &[HistoryStep]) -> Self {
        let sizes = sizes(history, digests.len());
        Layers { digests, sizes }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.digests.len()
    }

    /// Their digests.
    pub fn digests(&self) -> &[String] {
        &self.digests
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Bytes of the layers shared with `base`, if `base` is a proper prefix of these.
    fn bytes_on(&self, base: &[String]) -> Option<u64> {
        let is_base = base.len() < self.count() && self.digests.starts_with(base);
        is_base.then(|| self.sizes.iter().take(base.len()).sum())
    }

    /// Bytes of the layers on top of the largest of `bases` that these are built on.
    pub fn own_bytes<'a>(&self, bases: impl IntoIterator<Item = &'a [String]>) -> u64 {
        let shared = bases.into_iter().filter_map(|base| self.bytes_on(base));
        self.bytes() - shared.max().unwrap_or(0)
    }
}

/// Bytes of the layers in `images` that are not in `others`, each counted once. Two layers are the
/// same only if all layers below them are, too.
pub fn bytes_only_in<'a>(
    images: impl IntoIterator<Item = &'a Layers>,
    others: impl IntoIterator<Item = &'a [String]>,
) -> u64 {
    let stacks = |digests: &'a [String]| (1..=digests.len()).map(|height| &digests[..height]);
    let kept: BTreeSet<&[String]> = others.into_iter().flat_map(stacks).collect();
    let mut counted: BTreeMap<&[String], u64> = BTreeMap::new();
    for layers in images {
        counted.extend(stacks(&layers.digests).zip(layers.sizes.iter().copied()));
    }
    let only = counted.iter().filter(|(stack, _)| !kept.contains(**stack));
    only.map(|(_, size)| size).sum()
}

/// The sizes of `count` layers. A history also has steps without a layer and does not mark them, but
/// only steps of 0 bytes can be without one.
fn sizes(history: &[HistoryStep], count: usize) -> Vec<u64> {
    let making = history
        .iter()
        .filter(|step| step.size > 0 || makes_layer(step));
    let sizes: Vec<u64> = making.map(|step| step.size).collect();
    if sizes.len() == count {
        return sizes;
    }
    // Other builders have other rules: assume that steps of 0 bytes come last.
    let steps = history.iter().map(|step| step.size);
    let mut sizes: Vec<u64> = steps.filter(|size| *size > 0).collect();
    let excess: u64 = sizes.iter().skip(count).sum();
    sizes.resize(count, 0);
    if let Some(last) = sizes.last_mut() {
        *last += excess;
    }
    sizes
}

/// Whether BuildKit creates a layer for this step even if it has 0 bytes (BuildKit,
/// `frontend/dockerfile/dockerfile2llb/convert.go`).
fn makes_layer(step: &HistoryStep) -> bool {
    let starts = |word| step.instruction.starts_with(word);
    step.by_buildkit
        && (["RUN ", "COPY ", "ADD "].into_iter().any(starts)
            || starts("WORKDIR ") && step.instruction != "WORKDIR /")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(instruction: &str, size: u64) -> HistoryStep {
        HistoryStep {
            instruction: instruction.to_owned(),
            by_buildkit: !instruction.is_empty(),
            size,
        }
    }

    fn digests(names: &str) -> Vec<String> {
        names.chars().map(String::from).collect()
    }

    fn layers(names: &str, sizes: &[u64]) -> Layers {
        Layers {
            digests: digests(names),
            sizes: sizes.to_vec(),
        }
    }

    #[test]
    fn each_layer_gets_the_size_of_its_step() {
        let history = [
            step("", 100),
            step("USER root", 0),
            step("WORKDIR /", 0),
            step("RUN /bin/sh -c true # buildkit", 0),
            step("WORKDIR /workspace", 0),
            step("COPY a / # buildkit", 7),
            step("ENV A=RUN", 0),
        ];
        assert_eq!(Layers::new(digests("abcd"), &history).sizes, [100, 0, 0, 7]);
        // If an engine creates other layers of 0 bytes, the total is still right.
        assert_eq!(
            Layers::new(digests("abcde"), &history).sizes,
            [100, 7, 0, 0, 0]
        );
        assert_eq!(Layers::new(digests("a"), &history).sizes, [107]);
        assert_eq!(Layers::new(vec![], &history).bytes(), 0);
    }

    #[test]
    fn own_bytes_are_above_the_highest_base() {
        let image = layers("abcd", &[100, 10, 5, 1]);
        let own = |bases: &[&str]| {
            let bases: Vec<Vec<String>> = bases.iter().map(|names| digests(names)).collect();
            image.own_bytes(bases.iter().map(Vec::as_slice))
        };
        assert_eq!(own(&[]), 116);
        assert_eq!(own(&["a"]), 16);
        assert_eq!(own(&["a", "abc", "ab"]), 1);
        assert_eq!(own(&["b", "abx", "abcd", "abcde"]), 116);
    }

    #[test]
    fn a_shared_layer_is_counted_once_or_not_at_all() {
        let one = layers("abc", &[100, 10, 1]);
        let two = layers("abd", &[100, 10, 2]);
        assert_eq!(bytes_only_in([&one, &two], []), 113);
        let base = digests("a");
        assert_eq!(bytes_only_in([&one, &two], [base.as_slice()]), 13);
        assert_eq!(bytes_only_in([&one], [two.digests()]), 1);
        // The same digest on top of something else is another layer.
        let moved = digests("xb");
        assert_eq!(bytes_only_in([&one], [moved.as_slice()]), 111);
    }
}
