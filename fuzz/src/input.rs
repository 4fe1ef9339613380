//! Choices out of a fuzzer's bytes.

/// One of these, of which there are some.
pub(crate) fn one_of<T: Copy>(all: &[T], choice: u8) -> T {
    *all.get(usize::from(choice) % all.len()).expect("there is one")
}

/// Reads choices from the front of the bytes. At their end every choice is 0: an input that was cut short is still
/// one, so that the fuzzer can make inputs smaller.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// A number from 1 to `most`.
    pub(crate) fn one_to(&mut self, most: u8) -> usize {
        usize::from(self.u8() % most) + 1
    }

    /// The next `len` bytes, or as many as are left.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// All that is left.
    pub(crate) fn into_rest(self) -> &'a [u8] {
        self.rest
    }
}
