//! The head of a gzip member (RFC 1952 §2.3), read as it comes.
//!
//! A head may be of any length: its texts end where a NUL stands. Nothing of it is kept and no byte is read
//! twice, so that a long one costs no more than its bytes. It refuses to judge: a head that never ends is
//! never an error, as whatever reads such a member would wait for its end too.

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// The ten bytes that every head has, as many as were read.
    Fixed(usize),
    /// The two bytes that say how long the extra field is; the first, when it is there.
    ExtraLength(Option<u8>),
    /// So many bytes of the extra field are missing.
    Extra(usize),
    Name,
    Comment,
    /// So many bytes of the head's own checksum are missing.
    Checksum(usize),
    Over,
}

/// A head as far as it was read.
#[derive(Debug)]
pub(super) struct GzipHead {
    flags: u8,
    field: Field,
}

/// These bytes begin no gzip member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoGzip;

const START: [u8; 3] = [0x1f, 0x8b, 8];
const FIXED: usize = 10;
const FLAGS_AT: usize = 3;
const CHECKSUM: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;

// === impl GzipHead ===

impl GzipHead {
    pub(super) fn new() -> Self {
        Self {
            flags: 0,
            field: Field::Fixed(0),
        }
    }

    /// Whether all of the head was read.
    pub(super) fn is_over(&self) -> bool {
        self.field == Field::Over
    }

    /// Reads what of `input` belongs to the head, and gives how many bytes that is.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<usize, NoGzip> {
        let mut rest = input;
        while !self.is_over() && !rest.is_empty() {
            let read = self.read_field(rest)?;
            rest = rest.get(read..).unwrap_or_default();
        }
        Ok(input.len() - rest.len())
    }

    fn read_field(&mut self, input: &[u8]) -> Result<usize, NoGzip> {
        let first = input.first().copied().unwrap_or_default();
        match self.field {
            Field::Fixed(at) => {
                if START.get(at).is_some_and(|&wanted| wanted != first) {
                    return Err(NoGzip);
                }
                if at == FLAGS_AT {
                    self.flags = first;
                }
                self.field = Field::Fixed(at + 1);
                if at + 1 == FIXED {
                    self.enter(Field::ExtraLength(None));
                }
                Ok(1)
            }
            Field::ExtraLength(None) => {
                self.field = Field::ExtraLength(Some(first));
                Ok(1)
            }
            Field::ExtraLength(Some(low)) => {
                self.count_down(
                    Field::Extra,
                    usize::from(u16::from_le_bytes([low, first])),
                    Field::Name,
                );
                Ok(1)
            }
            Field::Extra(missing) => {
                let read = missing.min(input.len());
                self.count_down(Field::Extra, missing - read, Field::Name);
                Ok(read)
            }
            Field::Name => Ok(self.read_text(input, Field::Comment)),
            Field::Comment => Ok(self.read_text(input, Field::Checksum(2))),
            Field::Checksum(missing) => {
                let read = missing.min(input.len());
                self.count_down(Field::Checksum, missing - read, Field::Over);
                Ok(read)
            }
            Field::Over => Ok(0),
        }
    }

    fn count_down(&mut self, field: fn(usize) -> Field, missing: usize, next: Field) {
        if missing == 0 {
            self.enter(next);
        } else {
            self.field = field(missing);
        }
    }

    fn read_text(&mut self, input: &[u8], next: Field) -> usize {
        match input.iter().position(|&byte| byte == 0) {
            Some(end) => {
                self.enter(next);
                end + 1
            }
            None => input.len(),
        }
    }

    /// Goes to `field`, or to the first behind it that this head has.
    fn enter(&mut self, field: Field) {
        let has = |flag: u8| self.flags & flag != 0;
        let (there, next) = match field {
            Field::ExtraLength(_) => (has(EXTRA), Field::Name),
            Field::Name => (has(NAME), Field::Comment),
            Field::Comment => (has(COMMENT), Field::Checksum(2)),
            Field::Checksum(_) => (has(CHECKSUM), Field::Over),
            Field::Fixed(_) | Field::Extra(_) | Field::Over => (true, Field::Over),
        };
        if there {
            self.field = field;
        } else {
            self.enter(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(flags: u8, extra: &[u8], name: &[u8], comment: &[u8]) -> Vec<u8> {
        let mut head = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 255];
        if flags & EXTRA != 0 {
            head.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
            head.extend(extra);
        }
        for (flag, text) in [(NAME, name), (COMMENT, comment)] {
            if flags & flag != 0 {
                head.extend(text);
                head.push(0);
            }
        }
        if flags & CHECKSUM != 0 {
            head.extend([7, 7]);
        }
        head
    }

    proptest! {
        #[test]
        fn a_head_ends_where_its_last_field_does_whatever_the_chunks(
            flags in any::<u8>(),
            extra in prop::collection::vec(any::<u8>(), 0..300),
            name in prop::collection::vec(1u8.., 0..300),
            comment in prop::collection::vec(1u8.., 0..30),
            size in 1usize..40,
        ) {
            let whole = head(flags, &extra, &name, &comment);
            let input = [&whole[..], b"what follows"].concat();
            let (mut reader, mut read) = (GzipHead::new(), 0);
            for chunk in input.chunks(size) {
                read += reader.read(chunk).unwrap();
                prop_assert_eq!(reader.is_over(), read == whole.len());
            }
            prop_assert_eq!(read, whole.len());
        }
    }

    #[test]
    fn a_text_longer_than_any_name_is_read_to_its_end() {
        let whole = head(NAME, b"", &vec![b'a'; 1 << 20], b"");
        let mut reader = GzipHead::new();
        assert_eq!(reader.read(&whole), Ok(whole.len()));
        assert!(reader.is_over());
    }

    #[test]
    fn other_bytes_are_no_head() {
        assert_eq!(GzipHead::new().read(&[0x1f, 0x8b, 9]), Err(NoGzip));
        assert_eq!(GzipHead::new().read(b"PK"), Err(NoGzip));
    }
}
