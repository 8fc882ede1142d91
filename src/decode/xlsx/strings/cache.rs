//! The spilled chunks that are used again and again.
//!
//! In: a chunk's number and place, and the position of a string. Out: the string. Most writers
//! number strings in the order of their first use: what is repeated comes first and stays in memory,
//! what is spilled is asked for once, in order, and a chunk is read as a whole. Where a sheet was
//! sorted, every row asks for other chunks: a string is read by itself until its chunk has been asked
//! for [`MISSES_MAX`] times. Bounded by [`SLOTS`] chunks and [`BYTES_MAX`] bytes.

use crate::decode::error::DecodeError;
use crate::decode::xlsx::strings::piece::Chunk;
use crate::decode::xlsx::strings::spill::Spilled;

/// Chunks that are kept.
const SLOTS: usize = 64;

/// Bytes of the chunks that are kept; a longer one is kept alone.
const BYTES_MAX: usize = 8 << 20;

/// Strings that are read one by one before their chunk is, if no other chunk of its slot is asked
/// for meanwhile. A chunk costs about as much as so many strings.
const MISSES_MAX: u32 = 16;

/// Chunks by their number.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Vec<Slot>,
    n_bytes: usize,
    /// The string that was read by itself last.
    text: String,
}

/// The place of all chunks whose numbers have the same remainder.
#[derive(Debug, Default)]
struct Slot {
    kept: Option<(usize, Chunk)>,
    /// The chunk that was missed last, and how often in a row.
    missed: usize,
    n_misses: u32,
}

// === impl Cache ===

impl Cache {
    /// The string at the position `index` of the chunk `number`.
    pub(crate) fn get(
        &mut self,
        number: usize,
        spilled: &Spilled,
        index: usize,
    ) -> Result<&str, DecodeError> {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let slot = number % SLOTS;
        if !self.slots[slot].has(number) {
            if !self.slots[slot].miss(number) {
                spilled.read_string(index, &mut self.text)?;
                return Ok(&self.text);
            }
            self.load(number, spilled)?;
        }
        let kept = self.slots[slot].kept.as_ref();
        let (_, chunk) = kept.expect("it is there, or was put there");
        Ok(chunk.get(index))
    }

    /// How many chunks are kept.
    #[cfg(test)]
    pub(crate) fn n_kept(&self) -> usize {
        self.slots.iter().filter(|slot| slot.kept.is_some()).count()
    }

    fn load(&mut self, number: usize, spilled: &Spilled) -> Result<(), DecodeError> {
        let slot = number % SLOTS;
        self.replace(slot, None);
        let chunk = spilled.read()?;
        let mut victim = slot;
        while self.n_bytes > 0 && self.n_bytes + chunk.n_bytes() > BYTES_MAX {
            victim = (victim + 1) % SLOTS;
            self.replace(victim, None);
        }
        self.replace(slot, Some((number, chunk)));
        Ok(())
    }

    fn replace(&mut self, slot: usize, kept: Option<(usize, Chunk)>) {
        let bytes =
            |kept: &Option<(usize, Chunk)>| kept.as_ref().map_or(0, |(_, chunk)| chunk.n_bytes());
        let slot = &mut self.slots[slot];
        self.n_bytes += bytes(&kept);
        self.n_bytes -= bytes(&slot.kept);
        slot.kept = kept;
    }
}

// === impl Slot ===

impl Slot {
    fn has(&self, number: usize) -> bool {
        matches!(self.kept, Some((kept, _)) if kept == number)
    }

    /// Counts a miss; whether the chunk should be kept from now on.
    fn miss(&mut self, number: usize) -> bool {
        if self.missed != number {
            self.missed = number;
            self.n_misses = 0;
        }
        self.n_misses += 1;
        if self.n_misses < MISSES_MAX {
            return false;
        }
        self.n_misses = 0;
        true
    }
}
