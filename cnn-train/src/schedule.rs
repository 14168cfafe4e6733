//! How the learning rate changes with the epoch.

use std::f64::consts::FRAC_PI_2;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the learning rate changes with the epoch. As text, for flags and files: `constant`, `step:EVERY:FACTOR`, `cosine`
/// or `cosine:MINIMUM`, the form without the minimum if it is 0.
///
/// Every rate is a defined f32 (`docs/numerics.md`): no function of the system's library has a part in it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RateSchedule {
    /// The same rate in every epoch.
    #[default]
    Constant,
    /// PyTorch's `StepLR`: after every so many epochs the rate is multiplied by a factor.
    Step {
        /// Epochs with the same rate, at least 1.
        every: u32,
        /// The factor, above 0 and at most 1.
        factor: f32,
    },
    /// PyTorch's `CosineAnnealingLR` over all epochs of the run: half a cosine wave from the rate towards the minimum,
    /// which the epoch after the last one would have.
    Cosine {
        /// Finite, not negative, and at most the learning rate.
        minimum: f32,
    },
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// None of the forms.
    #[error("expected constant, step:EVERY:FACTOR (for example step:30:0.1), cosine or cosine:MINIMUM")]
    Form,
    /// The number of epochs of a step.
    #[error("EVERY must be a whole number of epochs from 1 to {}", u32::MAX)]
    Every,
    /// The factor of a step.
    #[error("FACTOR must be a number above 0 and at most 1")]
    Factor,
    /// The minimum of a cosine.
    #[error("MINIMUM must be a finite number, 0 or more")]
    Minimum,
}

impl RateSchedule {
    /// Whether the rate never changes.
    pub fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    /// The rate of epoch `epoch`, counted from 1, of a run of `epochs` that starts with the rate `initial`: finite, not
    /// negative, and not larger than `initial`.
    pub fn rate(&self, initial: f32, epoch: u32, epochs: u32) -> f32 {
        let before = epoch - 1;
        match *self {
            Self::Constant => initial,
            Self::Step { every, factor } => {
                let mut rate = initial;
                for _ in 0..before / every {
                    let next = rate * factor;
                    // Zero, or a subnormal that rounds to itself: it stays.
                    if next == rate {
                        break;
                    }
                    rate = next;
                }
                rate
            }
            Self::Cosine { minimum } => {
                let minimum = f64::from(minimum);
                (minimum + (f64::from(initial) - minimum) * half_wave(before, epochs)) as f32
            }
        }
    }
}

/// (1 + cos(π·place/length)) / 2 for place ≤ length, from additions, products and quotients of f64 alone.
///
/// It is 1 − sin²(π/2·place/length), and in the second half, where place and length − place change their roles, sin²
/// itself: the sine's argument is never above π/4, where its Taylor polynomial of degree 15 is off by less than 5·10⁻¹⁷.
fn half_wave(place: u32, length: u32) -> f64 {
    let rest = length - place;
    let x = FRAC_PI_2 * (f64::from(place.min(rest)) / f64::from(length));
    let z = x * x;
    let mut series = 0.0;
    for n in [14.0, 12.0, 10.0, 8.0, 6.0, 4.0, 2.0] {
        series = (1.0 - series) * z / (n * (n + 1.0));
    }
    let sine = x * (1.0 - series);
    if place <= rest { 1.0 - sine * sine } else { sine * sine }
}

impl fmt::Display for RateSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Step { every, factor } => write!(f, "step:{every}:{factor}"),
            Self::Cosine { minimum: 0.0 } => f.write_str("cosine"),
            Self::Cosine { minimum } => write!(f, "cosine:{minimum}"),
        }
    }
}

impl FromStr for RateSchedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let mut pieces = text.split(':');
        let schedule = match (pieces.next().unwrap_or_default(), pieces.next(), pieces.next()) {
            ("constant", None, None) => Self::Constant,
            ("step", Some(every), Some(factor)) => {
                let every = every.parse().ok().filter(|&every| every >= 1).ok_or(ScheduleError::Every)?;
                let is_factor = |factor: &f32| *factor > 0.0 && *factor <= 1.0;
                let factor = factor.parse().ok().filter(is_factor).ok_or(ScheduleError::Factor)?;
                Self::Step { every, factor }
            }
            ("cosine", None, None) => Self::Cosine { minimum: 0.0 },
            ("cosine", Some(minimum), None) => {
                let is_rate = |rate: &f32| rate.is_finite() && *rate >= 0.0;
                // −0.0 passes the comparison.
                let minimum = minimum.parse().ok().filter(is_rate).ok_or(ScheduleError::Minimum)?.abs();
                Self::Cosine { minimum }
            }
            _ => return Err(ScheduleError::Form),
        };
        if pieces.next().is_some() { Err(ScheduleError::Form) } else { Ok(schedule) }
    }
}

impl From<RateSchedule> for String {
    fn from(schedule: RateSchedule) -> Self {
        schedule.to_string()
    }
}

impl TryFrom<String> for RateSchedule {
    type Error = ScheduleError;

    /// What [`RateSchedule`] writes, in its one form: files have no other.
    fn try_from(text: String) -> Result<Self, ScheduleError> {
        let schedule: Self = text.parse()?;
        if schedule.to_string() == text { Ok(schedule) } else { Err(ScheduleError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> RateSchedule {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_schedule_is_a_text_and_back() {
        for text in ["constant", "step:30:0.1", "step:1:1", "step:4294967295:0.000001", "cosine", "cosine:0.00001"] {
            assert_eq!(parsed(text).to_string(), text);
            assert_eq!(RateSchedule::try_from(text.to_owned()), Ok(parsed(text)));
        }
        for (text, form) in [("cosine:0", "cosine"), ("cosine:-0", "cosine"), ("step:030:1e-1", "step:30:0.1")] {
            assert_eq!(parsed(text).to_string(), form);
            assert_eq!(RateSchedule::try_from(text.to_owned()), Err(ScheduleError::Form), "files have one form alone");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_and_the_piece_named() {
        use ScheduleError::{Every, Factor, Form, Minimum};
        let cases = [
            (
                Form,
                &[
                    "",
                    "Constant",
                    "constant:",
                    "constant:1",
                    "step",
                    "step:",
                    "step:30",
                    "linear",
                    "step:1:0.5:",
                    " cosine",
                    "cosine:0:1",
                    "cosine:0.1:",
                    "step:30:0.1:x",
                    "exponential:0.9",
                    ":",
                ][..],
            ),
            (Every, &["step::0.1", "step:0:0.1", "step:-1:0.1", "step:1.5:0.1", "step:4294967296:0.1", "step:x:0.1"]),
            (
                Factor,
                &[
                    "step:30:",
                    "step:30:0",
                    "step:30:-0.1",
                    "step:30:nan",
                    "step:30:inf",
                    "step:30:1.1",
                    "step:30:1e-60",
                    "step:30:x",
                    "step:1:-0",
                ],
            ),
            (Minimum, &["cosine:", "cosine:nan", "cosine:inf", "cosine:-1", "cosine:1e40", "cosine:x"]),
        ];
        for (error, texts) in cases {
            for text in texts {
                assert_eq!(text.parse::<RateSchedule>(), Err(error), "{text:?}");
            }
        }
    }

    /// PyTorch's rates, in f64: what `tests/pytorch/learning_rates.py` printed with PyTorch 2.15.
    #[test]
    fn rates_are_pytorchs() {
        let cases: [(&str, &[f64]); 3] = [
            ("step:3:0.3", &[0.1, 0.1, 0.1, 0.03, 0.03, 0.03, 0.009, 0.009, 0.009, 0.0026999999999999997]),
            (
                "cosine",
                &[
                    0.1,
                    0.09755282581475769,
                    0.09045084971874738,
                    0.07938926261462367,
                    0.06545084971874739,
                    0.05000000000000001,
                    0.03454915028125264,
                    0.020610737385376353,
                    0.009549150281252635,
                    0.002447174185242324,
                ],
            ),
            (
                "cosine:0.01",
                &[
                    0.1,
                    0.09554359905560886,
                    0.08305704108364301,
                    0.06501344202803415,
                    0.04498655797196586,
                    0.026942958916356993,
                    0.014456400944391143,
                ],
            ),
        ];
        for (text, expected) in cases {
            let epochs = expected.len() as u32;
            for (epoch, &expected) in (1..).zip(expected) {
                let rate = f64::from(parsed(text).rate(0.1, epoch, epochs));
                // Half an ulp of the first rate, of the factor or the minimum, and of up to four results: 2⁻²⁴ each.
                assert!((rate / expected - 1.0).abs() < 6.0 * 2f64.powi(-24), "{text}, epoch {epoch}: {rate}");
            }
        }
    }

    /// The rates, bit for bit, as every system must compute them.
    #[test]
    fn rates_are_these_on_every_platform() {
        let bits = |text: &str| [1, 2, 3, 4, 5, 6, 7].map(|epoch| parsed(text).rate(0.1, epoch, 7).to_bits());
        assert_eq!(
            bits("step:2:0.3"),
            [0x3dcccccd, 0x3dcccccd, 0x3cf5c290, 0x3cf5c290, 0x3c1374bd, 0x3c1374bd, 0x3b30f27d]
        );
        assert_eq!(
            bits("cosine"),
            [0x3dcccccd, 0x3dc2a8c2, 0x3da63ed0, 0x3d7a5f4e, 0x3d1f3a4c, 0x3c9a37f5, 0x3ba240ab]
        );
        assert_eq!(
            bits("cosine:0.01"),
            [0x3dcccccd, 0x3dc3ac5d, 0x3daa19d0, 0x3d8525c5, 0x3d3843d3, 0x3cdcb77b, 0x3c6cda8a]
        );
    }

    #[test]
    fn rates_begin_with_the_first_and_never_grow() {
        for text in ["constant", "step:3:0.1", "step:1:0.9999", "cosine", "cosine:0.00001", "cosine:0.1"] {
            let schedule = parsed(text);
            for initial in [0.1f32, 1e3, 0.3333] {
                let rates: Vec<f32> = (1..=200).map(|epoch| schedule.rate(initial, epoch, 200)).collect();
                assert_eq!(rates[0].to_bits(), initial.to_bits(), "{text}");
                assert!(rates.is_sorted_by(|before, after| before >= after && *after >= 0.0), "{text}: {rates:?}");
            }
        }
        assert_eq!(parsed("cosine").rate(0.5, 1, 1), 0.5, "one epoch");
        assert_eq!(parsed("step:1:0.5").rate(1.0, u32::MAX, u32::MAX), 0.0, "long after it is 0");
        assert_eq!(parsed("step:1:1").rate(1.0, u32::MAX, u32::MAX), 1.0);
    }
}
