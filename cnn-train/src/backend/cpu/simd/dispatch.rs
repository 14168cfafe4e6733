//! The choice of the instruction set: the one place that looks at the machine.

use std::fmt;
use std::str::FromStr;

use super::Simd;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd128::Simd128;
#[cfg(target_arch = "x86_64")]
use super::sse2::Sse2;

/// An instruction set for the vector loops, to be forced by an option. All give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimdLevel {
    /// x86-64 with AVX-512F: 16 lanes.
    Avx512,
    /// x86-64 with AVX2: 8 lanes.
    Avx2,
    /// Any x86-64: 4 lanes.
    Sse2,
    /// 64-bit Arm: 4 lanes.
    Neon,
    /// WebAssembly, in a module that is compiled for it: 4 lanes.
    Simd128,
    /// Any machine: no intrinsics, what the compiler makes of plain arrays.
    Portable,
}

impl SimdLevel {
    /// All levels, those of one processor family from the widest to the narrowest, the portable one last.
    pub const ALL: [SimdLevel; 6] = [Self::Avx512, Self::Avx2, Self::Sse2, Self::Neon, Self::Simd128, Self::Portable];

    /// The levels that this machine has, in the order of [`SimdLevel::ALL`]; never empty.
    pub fn available() -> impl Iterator<Item = SimdLevel> + Clone {
        Self::ALL.into_iter().filter(|&level| Dispatch::new(level).is_some())
    }

    /// The level's name, as the option takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Sse2 => "sse2",
            Self::Neon => "neon",
            Self::Simd128 => "simd128",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for SimdLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text is not the name of a level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a SIMD level: expected one of {}", SimdLevel::ALL.map(SimdLevel::name).join(", "))]
pub struct ParseSimdLevelError {
    text: String,
}

impl FromStr for SimdLevel {
    type Err = ParseSimdLevelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let level = Self::ALL.into_iter().find(|level| level.name() == text);
        level.ok_or_else(|| ParseSimdLevelError { text: text.into() })
    }
}

/// A computation written once for all levels.
pub trait Kernel {
    /// What it returns.
    type Output;

    /// Runs it. Implementations are `#[inline(always)]`, so that they are compiled anew for every level.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A level that this machine is known to have.
#[derive(Debug, Clone, Copy)]
pub struct Dispatch(Chosen);

#[derive(Debug, Clone, Copy)]
enum Chosen {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Sse2(Sse2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128),
    Portable(Portable),
}

impl Dispatch {
    /// The level, if this machine has it.
    pub fn new(level: SimdLevel) -> Option<Self> {
        let chosen = match level {
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx512 => Chosen::Avx512(Avx512::detect()?),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Avx2 => Chosen::Avx2(Avx2::detect()?),
            #[cfg(target_arch = "x86_64")]
            SimdLevel::Sse2 => Chosen::Sse2(Sse2::detect()?),
            #[cfg(target_arch = "aarch64")]
            SimdLevel::Neon => Chosen::Neon(Neon::detect()?),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            SimdLevel::Simd128 => Chosen::Simd128(Simd128::detect()?),
            SimdLevel::Portable => Chosen::Portable(Portable),
            _ => return None,
        };
        Some(Self(chosen))
    }

    /// Runs `kernel`, compiled for this level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value `simd` is the proof that the machine has all that the function is compiled for.
            Chosen::Avx512(simd) => unsafe { run_avx512(simd, kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value `simd` is the proof that the machine has all that the function is compiled for.
            Chosen::Avx2(simd) => unsafe { run_avx2(simd, kernel) },
            #[cfg(target_arch = "x86_64")]
            Chosen::Sse2(simd) => run_baseline(simd, kernel),
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the value `simd` is the proof that the machine has NEON.
            Chosen::Neon(simd) => unsafe { run_neon(simd, kernel) },
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Chosen::Simd128(simd) => run_baseline(simd, kernel),
            Chosen::Portable(simd) => run_baseline(simd, kernel),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi1,bmi2")]
fn run_avx512<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2")]
fn run_avx2<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon<K: Kernel>(simd: Neon, kernel: K) -> K::Output {
    kernel.run(simd)
}

/// For levels that every machine of the target has.
#[inline(never)]
fn run_baseline<S: Simd, K: Kernel>(simd: S, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_are_written() {
        for level in SimdLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert!("AVX-1024".parse::<SimdLevel>().is_err());
    }

    #[test]
    fn every_machine_has_the_portable_level() {
        assert!(SimdLevel::available().any(|level| level == SimdLevel::Portable));
    }
}
