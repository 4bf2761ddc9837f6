//! Cuts a stream of JSON objects that stand one after the other, split at any byte, into objects.

/// The longest object that is kept, in bytes. The engine's are far below.
const MAX_OBJECT: usize = 32 * 1024 * 1024;

/// Bytes in, whole objects out; whatever is no object is passed over.
#[derive(Debug, Default)]
pub(super) struct JsonValues {
    object: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonValues {
    /// Takes the next bytes of the stream and hands each object that is complete to `found`.
    pub(super) fn push(&mut self, bytes: &[u8], mut found: impl FnMut(&[u8])) {
        for &byte in bytes {
            if self.depth == 0 && byte != b'{' {
                continue;
            }
            self.object.push(byte);
            match byte {
                // A string holds no raw line end: the object was cut off, and the next begins.
                b'\n' if self.in_string => self.reset(),
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' => self.depth += 1,
                b'}' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        found(&self.object);
                        self.reset();
                    }
                }
                _ => {}
            }
            if self.object.len() > MAX_OBJECT {
                self.reset();
            }
        }
    }

    fn reset(&mut self) {
        *self = JsonValues::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> Vec<String> {
        let mut values = JsonValues::default();
        let mut found = Vec::new();
        for piece in pieces {
            values.push(piece, |object| {
                found.push(String::from_utf8_lossy(object).into_owned())
            });
        }
        found
    }

    #[test]
    fn objects_are_found_whatever_stands_between_and_in_them() {
        let stream = "{\"a\":{}}{\"b\":\"}\\\"{\"}\r\n garbage ] {\n \"c\": [1,\n2]}";
        let expected = ["{\"a\":{}}", "{\"b\":\"}\\\"{\"}", "{\n \"c\": [1,\n2]}"];
        assert_eq!(cut(&[stream.as_bytes()]), expected);
    }

    #[test]
    fn an_object_that_is_cut_off_in_a_string_takes_down_only_itself() {
        assert_eq!(cut(&[b"{\"id\":\"mob\r\n{\"a\":1}\n"]), ["{\"a\":1}"]);
    }

    proptest! {
        #[test]
        fn a_split_anywhere_changes_nothing(
            values in prop::collection::vec("[a-z{}\"\\\\]{0,12}", 0..6), at in 0usize..200
        ) {
            let lines = values.iter().map(|text| serde_json::json!({ "v": text }).to_string());
            let stream = lines.collect::<Vec<_>>().join("\r\n");
            let at = at.min(stream.len());
            let whole = cut(&[stream.as_bytes()]);
            prop_assert_eq!(whole.len(), values.len());
            prop_assert_eq!(cut(&[&stream.as_bytes()[..at], &stream.as_bytes()[at..]]), whole);
        }

        #[test]
        fn garbage_never_panics(bytes: Vec<u8>) {
            cut(&[&bytes, b"}", &bytes]);
        }
    }
}
