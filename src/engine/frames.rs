//! Splits the output of a command in a container into its stdout and stderr, which the engine sends as
//! one stream. Only the header of a frame is buffered, so that the received part of a truncated frame is
//! not lost.
//!
//! Without a terminal, each frame is `[stream, 0, 0, 0, length as 4 bytes, big-endian]` and then
//! `length` bytes (Engine API, "Attach to a container", section "Stream format").

use std::io;

use tokio_util::bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

const HEADER: usize = 8;

/// The stream that output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Unframed: a terminal has only one output.
    Raw,
    /// In frames.
    Frames,
}

impl Format {
    /// The format with or without a terminal.
    pub(super) fn of(tty: bool) -> Self {
        if tty { Format::Raw } else { Format::Frames }
    }
}

/// Splits output, no matter how it was fragmented on its way.
#[derive(Debug)]
pub(super) struct Demultiplexer {
    format: Format,
    output: Output,
    /// Remaining bytes of the current frame.
    missing: usize,
}

impl Demultiplexer {
    pub(super) fn new(format: Format) -> Self {
        Demultiplexer {
            format,
            output: Output::Stdout,
            missing: 0,
        }
    }
}

impl Decoder for Demultiplexer {
    type Item = (Output, Bytes);
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        if self.format == Format::Raw {
            self.missing = bytes.len();
        }
        // A frame may be empty.
        while self.missing == 0 && bytes.len() >= HEADER {
            let header = bytes.split_to(HEADER);
            self.output = output(header[0])?;
            let length = [header[4], header[5], header[6], header[7]];
            self.missing = u32::from_be_bytes(length) as usize;
        }
        let piece = self.missing.min(bytes.len());
        if piece == 0 {
            return Ok(None);
        }
        self.missing -= piece;
        Ok(Some((self.output, bytes.split_to(piece).freeze())))
    }

    /// A truncated header carries no output.
    fn decode_eof(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Self::Item>> {
        self.decode(bytes)
    }
}

/// As in Docker's own client: 0 is written to stdout, 3 is an error of the engine.
fn output(stream: u8) -> io::Result<Output> {
    match stream {
        0 | 1 => Ok(Output::Stdout),
        2 | 3 => Ok(Output::Stderr),
        other => Err(io::Error::other(format!(
            "the engine sent a frame of unknown stream {other}"
        ))),
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

    fn decode(chunks: &[&[u8]]) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let mut frames = Demultiplexer::new(Format::Frames);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut bytes = BytesMut::new();
        for chunk in chunks {
            bytes.extend_from_slice(chunk);
            while let Some((output, piece)) = frames.decode(&mut bytes)? {
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
            let _: io::Result<_> = decode(&[&bytes]);
        }
    }

    #[test]
    fn an_unknown_stream_is_an_error() {
        let error = decode(&[&encode(&[(7, b"x".to_vec())])]).unwrap_err();
        assert!(error.to_string().contains("unknown stream 7"));
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
