//! Randomness from a seed: the same on every machine and in every build.

/// SplitMix64: one addition and three multiplications a number, and good enough to choose what goes wrong.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    /// Another generator, which `self` determines and which does not move with it.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.bits())
    }

    /// A generator for one named thing: whatever else is drawn elsewhere, and in which order, does not change it.
    pub fn of(seed: u64, name: &[u8], turn: u64) -> Rng {
        let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
        for byte in name {
            state = mix(state ^ u64::from(*byte)).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        Rng::new(mix(state ^ turn.wrapping_mul(0xd6e8_feb8_6659_fd93)))
    }

    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias is below bound / 2^64: nothing that a simulation would notice.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// In `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// True with a chance of `permille` in a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < u64::from(permille)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
