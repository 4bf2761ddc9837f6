//! Taking apart the one stream that carries a container's stdout and stderr when it has no
//! terminal. Pure: bytes in, pieces out, nothing is kept but the header of a frame.
//!
//! Each frame is `[stream, 0, 0, 0, length as 4 bytes, big-endian]` and then `length` bytes
//! (Engine API, "Attach to a container", section "Stream format").

use crate::error::{Error, Result};

const HEADER: usize = 8;

/// Where output belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes a stream of frames apart, whatever pieces it arrives in.
#[derive(Debug, Default)]
pub struct Demultiplexer {
    header: [u8; HEADER],
    filled: usize,
    left: usize,
}

impl Demultiplexer {
    /// Cuts the next piece of payload from the front of `input`; none when `input` is used up.
    ///
    /// # Errors
    /// When the bytes are not what the protocol says.
    pub fn next_piece<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<(Output, &'a [u8])>> {
        while self.left == 0 {
            let missing = (HEADER - self.filled).min(input.len());
            let (bytes, rest) = input.split_at(missing);
            self.header[self.filled..self.filled + missing].copy_from_slice(bytes);
            self.filled += missing;
            *input = rest;
            if self.filled < HEADER {
                return Ok(None);
            }
            let [.., a, b, c, d] = self.header;
            self.left = u32::from_be_bytes([a, b, c, d]) as usize;
            // A frame may be empty.
            self.filled = if self.left == 0 { 0 } else { HEADER };
        }
        if input.is_empty() {
            return Ok(None);
        }
        let (piece, rest) = input.split_at(self.left.min(input.len()));
        *input = rest;
        self.left -= piece.len();
        if self.left == 0 {
            self.filled = 0;
        }
        Ok(Some((self.output()?, piece)))
    }

    /// As Docker's own client does it: 0 is written to stdout, 3 is an error of the engine.
    fn output(&self) -> Result<Output> {
        match self.header[0] {
            0 | 1 => Ok(Output::Stdout),
            2 | 3 => Ok(Output::Stderr),
            other => Err(Error::failed("cannot read the container's output")
                .cause(format!("the engine sent a frame of unknown stream {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (stream, payload) in frames {
            let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
            bytes.extend([*stream, 0, 0, 0]);
            bytes.extend(length);
            bytes.extend(payload);
        }
        bytes
    }

    fn decode(chunks: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut frames = Demultiplexer::default();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for mut chunk in chunks.iter().copied() {
            while let Some((output, piece)) = frames.next_piece(&mut chunk)? {
                match output {
                    Output::Stdout => stdout.extend(piece),
                    Output::Stderr => stderr.extend(piece),
                }
            }
        }
        Ok((stdout, stderr))
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes(
            frames in prop::collection::vec((1..=2u8, prop::collection::vec(any::<u8>(), 0..40)), 0..12),
            cuts in prop::collection::vec(1..13usize, 0..80),
        ) {
            let bytes = encode(&frames);
            let (mut rest, mut chunks) = (bytes.as_slice(), Vec::new());
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            let of = |wanted: u8| -> Vec<u8> {
                let matching = frames.iter().filter(|(stream, _)| *stream == wanted);
                matching.flat_map(|(_, payload)| payload.clone()).collect()
            };
            prop_assert_eq!(decode(&chunks).unwrap(), (of(1), of(2)));
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _: Result<_> = decode(&[&bytes]);
        }
    }

    #[test]
    fn an_unknown_stream_is_an_error() {
        let error = decode(&[&encode(&[(7, b"x".to_vec())])]).unwrap_err();
        assert!(error.causes[0].contains("unknown stream 7"));
    }

    #[test]
    fn a_frame_cut_short_gives_what_arrived() {
        let bytes = encode(&[(2, b"hello".to_vec())]);
        assert_eq!(
            decode(&[&bytes[..11]]).unwrap(),
            (Vec::new(), b"hel".to_vec())
        );
    }
}
