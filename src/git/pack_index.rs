//! Looks ids up in a pack's index without reading it whole (version 2, gitformat-pack): that of a
//! huge repository has gigabytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of an id.
const ID: u64 = 20;
/// Where the ids begin: after the signature, the version and 256 numbers.
const IDS: u64 = 8 + 256 * 4;
/// The signature and the version.
const HEADER: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];

/// An index that is open.
pub(super) struct PackIndex {
    file: File,
    /// How many ids begin with a byte up to this.
    fanout: Vec<u32>,
}

impl PackIndex {
    /// Opens an index.
    ///
    /// # Errors
    /// When it cannot be read, or is not an index of version 2.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut start = [0; IDS as usize];
        file.read_exact_at(&mut start, 0)?;
        let (header, table) = start.split_at(HEADER.len());
        let table = table.chunks_exact(4);
        let fanout: Vec<u32> = table
            .map(|n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]))
            .collect();
        if header != HEADER || !fanout.is_sorted() {
            return Err(io::Error::other("not a pack index of version 2"));
        }
        Ok(PackIndex { file, fanout })
    }

    /// Whether the pack holds the object `id`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn contains(&self, id: &[u8; ID as usize]) -> io::Result<bool> {
        let first = usize::from(id[0]);
        let below = first.checked_sub(1).map_or(0, |byte| self.fanout[byte]);
        let (mut low, mut high) = (u64::from(below), u64::from(self.fanout[first]));
        while low < high {
            let middle = low.midpoint(high);
            let mut found = [0; ID as usize];
            self.file.read_exact_at(&mut found, IDS + middle * ID)?;
            match found.cmp(id) {
                std::cmp::Ordering::Equal => return Ok(true),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::TestRepo;

    #[test]
    fn every_object_of_a_pack_is_found_and_no_other() {
        let repo = TestRepo::new();
        testkit::Repo::at(repo.path()).commits(50);
        repo.git(&["repack", "-adq"]);
        let index = repo.open().packs().unwrap().indexes().remove(0);
        let index = PackIndex::open(&index).unwrap();
        let id = |text: &str| -> [u8; 20] {
            let oid: git2::Oid = text.parse().unwrap();
            oid.as_bytes().try_into().unwrap()
        };
        let all = repo.git(&["rev-list", "--objects", "--no-object-names", "HEAD"]);
        for line in all.lines() {
            assert!(index.contains(&id(line)).unwrap(), "{line}");
            let mut other = id(line);
            other[19] ^= 1;
            assert!(!index.contains(&other).unwrap());
        }
        assert!(!index.contains(&[0; 20]).unwrap() && !index.contains(&[0xff; 20]).unwrap());
    }

    #[test]
    fn something_else_is_no_index() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(PackIndex::open(file.path()).is_err());
        std::fs::write(file.path(), vec![0; 2000]).unwrap();
        assert!(PackIndex::open(file.path()).is_err());
    }
}
