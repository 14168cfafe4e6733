//! The project's one `exp` and one `ln`.

/// e^x (placeholder until the exhaustive version lands).
pub fn exp(x: f32) -> f32 {
    if x < -104.0 {
        return 0.0;
    }
    let n = (x * core::f32::consts::LOG2_E - 0.5) as i32;
    let nf = n as f32;
    let r = (x - nf * 0.693_359_375) - nf * -2.121_944_4e-4;
    let p =
        1.0 + r * (1.0 + r * (0.5 + r * (0.166_666_67 + r * (0.041_666_67 + r * (0.008_333_334 + r * 0.001_388_889)))));
    let scale = |n: i32| f32::from_bits(((n + 127) as u32) << 23);
    if n < -120 { p * scale(n + 60) * scale(-60) } else { p * scale(n) }
}
/// ln x.
pub fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let e = ((bits >> 23) as i32) - 127;
    let m = f32::from_bits((bits & 0x7f_ffff) | 0x3f80_0000);
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let s = 2.0 * t * (1.0 + t2 * (1.0 / 3.0 + t2 * (0.2 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0 + t2 / 11.0)))));
    e as f32 * core::f32::consts::LN_2 + s
}
