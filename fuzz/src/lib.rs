//! What the fuzz targets have in common: the memory of every input is counted.

pub use libfuzzer_sys;
use tests::hostile::CountingAllocator;
pub use tests::hostile::Target;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The fuzz target of a name: [`Target::check`] on every input.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| {
            $crate::Target::named($name).check(input);
        });
    };
}
