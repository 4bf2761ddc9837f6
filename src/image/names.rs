//! Random names for working branches and their containers: an adjective and a noun. Pure; the same
//! words are in every image, for containers that are started without dkr.

use rand::{Rng, RngExt};

/// One adjective a line.
pub const ADJECTIVES: &str = include_str!("../../assets/adjectives.txt");

/// One noun a line.
pub const NOUNS: &str = include_str!("../../assets/nouns.txt");

/// How many names are tried before a number is added.
const TRIES: usize = 20;

/// A name like `quick-otter` that is not `taken`.
pub fn random_name(random: &mut impl Rng, taken: impl Fn(&str) -> bool) -> String {
    let adjectives: Vec<_> = ADJECTIVES.lines().collect();
    let nouns: Vec<_> = NOUNS.lines().collect();
    let mut pick = || {
        let adjective = adjectives[random.random_range(..adjectives.len())];
        let noun = nouns[random.random_range(..nouns.len())];
        format!("{adjective}-{noun}")
    };
    let mut name = pick();
    for _ in 0..TRIES {
        if !taken(&name) {
            return name;
        }
        name = pick();
    }
    (2..)
        .map(|number| format!("{name}-{number}"))
        .find(|name| !taken(name))
        .expect("some number is free")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_lists_are_long_and_every_word_fits_into_names() {
        for list in [ADJECTIVES, NOUNS] {
            let words: BTreeSet<_> = list.lines().collect();
            assert!(words.len() >= 60);
            assert_eq!(words.len(), list.lines().count(), "a word is there twice");
            for word in words {
                assert!(word.bytes().all(|b| b.is_ascii_lowercase()) && !word.is_empty());
            }
        }
    }

    #[test]
    fn a_taken_name_is_never_given() {
        let mut random = StdRng::seed_from_u64(1);
        let first = random_name(&mut random, |_| false);
        let mut random = StdRng::seed_from_u64(1);
        let second = random_name(&mut random, |name| name == first);
        assert_ne!(first, second);
    }

    #[test]
    fn when_all_names_are_taken_a_number_follows() {
        let mut random = StdRng::seed_from_u64(1);
        let name = random_name(&mut random, |name| !name.ends_with("-7"));
        assert!(name.ends_with("-7"));
    }
}
