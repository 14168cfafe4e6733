//! Digits as lines of a pen, apart from those of the built-in data set.

use super::Random;

/// A point: x to the right, y downwards, in hundredths of the digit's height.
type Point = (i16, i16);

/// The ways to write every digit; a stroke is a smooth curve, with a corner where a point comes twice.
const SHAPES: [&[&[&[Point]]]; 10] = [
    &[
        &[&[(50, 0), (24, 10), (12, 50), (24, 90), (50, 100), (76, 90), (88, 50), (76, 10), (50, 0)]],
        &[&[(54, 1), (30, 8), (14, 46), (18, 84), (44, 100), (72, 88), (84, 50), (76, 14), (52, 0)]],
    ],
    &[
        &[&[(50, 0), (50, 50), (50, 100)]],
        &[&[(56, 0), (52, 50), (47, 100)]],
        &[&[(34, 20), (52, 0), (52, 0), (51, 50), (50, 100)]],
    ],
    &[
        &[&[(16, 24), (28, 6), (50, 0), (72, 10), (74, 32), (54, 60), (14, 100), (14, 100), (50, 98), (84, 98)]],
        &[&[(18, 20), (44, 1), (72, 14), (70, 40), (42, 74), (16, 98), (16, 98), (52, 96), (86, 98)]],
    ],
    &[
        &[&[(18, 12), (44, 0), (70, 12), (66, 36), (40, 47), (40, 47), (72, 58), (78, 82), (48, 100), (16, 90)]],
        &[&[(16, 8), (46, 0), (74, 16), (64, 40), (38, 47), (38, 47), (70, 60), (76, 84), (46, 100), (14, 92)]],
    ],
    &[
        &[&[(30, 2), (22, 30), (18, 54), (18, 54), (50, 55), (82, 52)], &[(70, 0), (67, 50), (62, 100)]],
        &[&[(24, 4), (20, 30), (18, 52), (18, 52), (48, 54), (78, 50)], &[(72, 4), (70, 50), (68, 100)]],
    ],
    &[
        &[&[(78, 2), (52, 2), (30, 3), (30, 3), (24, 42), (24, 42), (52, 38), (76, 54), (74, 84), (46, 100), (16, 90)]],
        &[
            &[(30, 4), (27, 24), (24, 44), (24, 44), (54, 40), (76, 60), (70, 88), (42, 100), (16, 92)],
            &[(30, 4), (54, 3), (80, 1)],
        ],
    ],
    &[
        &[&[(62, 0), (38, 22), (22, 60), (30, 92), (54, 100), (74, 84), (66, 62), (44, 58), (26, 74)]],
        &[&[(56, 0), (32, 28), (20, 64), (28, 92), (52, 100), (72, 86), (68, 64), (46, 58), (24, 72)]],
    ],
    &[
        &[&[(16, 4), (46, 3), (80, 2), (80, 2), (60, 48), (44, 100)]],
        &[&[(18, 6), (50, 4), (78, 4), (78, 4), (62, 50), (50, 100)]],
    ],
    &[
        &[&[
            (70, 14),
            (50, 0),
            (28, 10),
            (30, 30),
            (52, 46),
            (74, 66),
            (72, 90),
            (50, 100),
            (28, 90),
            (28, 68),
            (50, 46),
            (70, 30),
            (70, 14),
        ]],
        &[
            &[(50, 0), (28, 10), (28, 34), (50, 46), (72, 34), (72, 10), (50, 0)],
            &[(50, 46), (24, 58), (22, 86), (50, 100), (78, 86), (76, 58), (50, 46)],
        ],
    ],
    &[
        &[&[(72, 16), (50, 2), (28, 14), (26, 38), (48, 50), (68, 40), (74, 14), (74, 14), (72, 56), (66, 100)]],
        &[&[(74, 12), (48, 0), (26, 16), (26, 40), (50, 48), (70, 34), (76, 10), (76, 10), (72, 54), (60, 100)]],
    ],
];

/// How often a curve is cut between two of its points.
const PIECES: usize = 10;

/// A drawn digit: straight pieces in units of its height, the middle of its box at the origin.
#[derive(Debug, Clone)]
pub struct Drawing {
    pub(super) pieces: Vec<[[f32; 2]; 2]>,
}

impl Drawing {
    /// A digit as an unsteady hand writes it, turned by `degrees`.
    pub fn of(digit: usize, degrees: f32, random: &mut Random) -> Self {
        let shapes = SHAPES[digit];
        let shape = shapes[random.below(shapes.len())];
        let (width, slant) = (random.uniform(0.8, 1.05), random.uniform(-0.05, 0.2));
        let mut pieces = Vec::new();
        for stroke in shape {
            let points: Vec<[f32; 2]> = stroke
                .iter()
                .enumerate()
                .map(|(i, &(x, y))| {
                    let again = i > 0 && stroke[i - 1] == (x, y);
                    let mut shaky = || if again { 0.0 } else { random.uniform(-0.018, 0.018) };
                    [f32::from(x) / 100.0 - 0.5 + shaky(), f32::from(y) / 100.0 - 0.5 + shaky()]
                })
                .collect();
            pieces.extend(curve(&points));
        }
        let turn = degrees.to_radians();
        for point in pieces.as_flattened_mut() {
            let (x, y) = (point[0] * width - slant * point[1], point[1]);
            *point = [x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()];
        }
        Self { pieces }
    }

    /// A rectangle or an ellipse of these sides.
    pub fn ring(width: f32, height: f32, is_round: bool) -> Self {
        let corners: Vec<[f32; 2]> = if is_round {
            (0..=48).map(|i| (i as f32 / 48.0 * std::f32::consts::TAU).sin_cos()).map(|(y, x)| [x, y]).collect()
        } else {
            vec![[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]]
        };
        let at = |[x, y]: [f32; 2]| [x * width / 2.0, y * height / 2.0];
        Self { pieces: corners.windows(2).map(|ends| [at(ends[0]), at(ends[1])]).collect() }
    }
}

/// A Catmull-Rom curve through the points as straight pieces; a point that comes twice is a corner.
fn curve(points: &[[f32; 2]]) -> Vec<[[f32; 2]; 2]> {
    let last = points.len() - 1;
    let mut pieces = Vec::new();
    for i in 0..last {
        let [a, b, c, d] = [points[i.saturating_sub(1)], points[i], points[i + 1], points[(i + 2).min(last)]];
        let at = |t: f32| {
            std::array::from_fn(|k| {
                let (a, b, c, d) = (a[k], b[k], c[k], d[k]);
                0.5 * (2.0 * b
                    + (c - a) * t
                    + (2.0 * a - 5.0 * b + 4.0 * c - d) * t * t
                    + (3.0 * (b - c) + d - a) * t * t * t)
            })
        };
        pieces.extend((0..PIECES).map(|k| [at(k as f32 / PIECES as f32), at((k + 1) as f32 / PIECES as f32)]));
    }
    pieces
}
