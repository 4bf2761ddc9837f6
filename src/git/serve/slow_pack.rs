//! A push that takes the host a long time: a small pack whose deltas produce large objects.

use std::sync::LazyLock;

use sha1::{Digest, Sha1};

/// Bytes of each object.
const SIZE: usize = 8 << 20;
/// How many are made of the first one: hashing them takes a minute.
const DELTAS: usize = 3000;
/// The most bytes of a stored block (RFC 1951, 3.2.4).
const BLOCK: usize = 65_535;

/// What a client sends to update `name`, and the pack with it (gitpack-protocol, gitformat-pack). The
/// objects are invalid, which the host would detect at the end.
pub(crate) fn slow_push(name: &str) -> Vec<u8> {
    let (old, new) = ("0".repeat(40), "1".repeat(40));
    let line = format!("{old} {new} {name}\0 report-status");
    let mut push = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    push.extend(&*SLOW_PACK);
    push
}

/// The pack alone.
pub(crate) static SLOW_PACK: LazyLock<Vec<u8>> = LazyLock::new(slow_pack);

fn slow_pack() -> Vec<u8> {
    let mut pack = b"PACK\0\0\0\x02".to_vec();
    let count = u32::try_from(DELTAS + 1).unwrap();
    pack.extend(count.to_be_bytes());
    let base = pack.len();
    // The bits of the type are those of a blob, and of a delta to what stands at an offset.
    pack.extend(header(3, SIZE));
    pack.extend(stored(&vec![b'x'; SIZE]));
    for number in 0..DELTAS {
        let delta = delta(u32::try_from(number).unwrap());
        let distance = pack.len() - base;
        pack.extend(header(6, delta.len()));
        pack.extend(offset(distance));
        pack.extend(stored(&delta));
    }
    let checksum = Sha1::digest(&pack);
    pack.extend(checksum);
    pack
}

/// All of the base, and a number.
fn delta(number: u32) -> Vec<u8> {
    let mut delta = size(SIZE);
    delta.extend(size(SIZE + 4));
    let bytes = SIZE.to_le_bytes();
    delta.extend([0x80 | 0x70, bytes[0], bytes[1], bytes[2], 4]);
    delta.extend(number.to_be_bytes());
    delta
}

/// The type and the size of an object: four bits of that, then seven at a time.
fn header(kind: u8, size: usize) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

/// Seven bits at a time, the lowest first.
fn size(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while size > 0x7f {
        bytes.push(0x80 | (size & 0x7f) as u8);
        size >>= 7;
    }
    bytes.push(size as u8);
    bytes
}

/// Seven bits at a time, the highest first; each of those before the last counts one more.
fn offset(mut distance: usize) -> Vec<u8> {
    let mut bytes = vec![(distance & 0x7f) as u8];
    while distance > 0x7f {
        distance = (distance >> 7) - 1;
        bytes.insert(0, 0x80 | (distance & 0x7f) as u8);
    }
    bytes
}

/// A zlib stream that compresses nothing (RFC 1950).
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(BLOCK);
    let last = blocks.len() - 1;
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(index == last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}
