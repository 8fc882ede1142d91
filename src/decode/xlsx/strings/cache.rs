//! The spilled chunks that were used last.
//!
//! In: a chunk's number and place. Out: the chunk. Most writers number strings in the order of
//! their first use: what is used again and again comes first and stays in memory, what is spilled
//! is asked for once, in order. Bounded by [`SLOTS`] chunks and [`BYTES_MAX`] bytes.

use crate::decode::error::DecodeError;
use crate::decode::xlsx::strings::piece::Chunk;
use crate::decode::xlsx::strings::spill::Spilled;

/// Chunks that are kept.
const SLOTS: usize = 64;

/// Bytes of the chunks that are kept; a longer one is kept alone.
const BYTES_MAX: usize = 8 << 20;

/// Chunks by their number.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Vec<Option<(usize, Chunk)>>,
    n_bytes: usize,
}

// === impl Cache ===

impl Cache {
    /// The chunk `number`, from the file if it is not here.
    pub(crate) fn load(&mut self, number: usize, spilled: &Spilled) -> Result<&Chunk, DecodeError> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        let slot = number % SLOTS;
        let is_here = matches!(&self.slots[slot], Some((kept, _)) if *kept == number);
        if !is_here {
            self.replace(slot, None);
            let chunk = spilled.read()?;
            let mut victim = slot;
            while self.n_bytes > 0 && self.n_bytes + chunk.n_bytes() > BYTES_MAX {
                victim = (victim + 1) % SLOTS;
                self.replace(victim, None);
            }
            self.replace(slot, Some((number, chunk)));
        }
        let kept = self.slots[slot].as_ref();
        Ok(kept.map(|(_, chunk)| chunk).expect("it was put there"))
    }

    fn replace(&mut self, slot: usize, kept: Option<(usize, Chunk)>) {
        let bytes =
            |kept: &Option<(usize, Chunk)>| kept.as_ref().map_or(0, |(_, chunk)| chunk.n_bytes());
        self.n_bytes += bytes(&kept);
        self.n_bytes -= bytes(&self.slots[slot]);
        self.slots[slot] = kept;
    }
}
