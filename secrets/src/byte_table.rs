//! One entry per byte: the only place that indexes without asking, because a byte cannot miss.

#[derive(Clone)]
pub(crate) struct ByteTable<T>([T; 256]);

// === impl ByteTable ===

#[allow(clippy::indexing_slicing, reason = "256 entries, and an index of eight bits")]
impl<T: Copy> ByteTable<T> {
    pub(crate) const fn new(entry: T) -> Self {
        Self([entry; 256])
    }

    #[inline]
    pub(crate) const fn get(&self, byte: u8) -> T {
        self.0[byte as usize]
    }

    #[inline]
    pub(crate) const fn set(&mut self, byte: u8, entry: T) {
        self.0[byte as usize] = entry;
    }
}
