//! How much every pixel differs from the background around it.
//!
//! The background of dark ink is the picture with everything dark taken out that is narrower than a window: a
//! *closing*, the least of the greatest values in a window (J. Serra, *Image Analysis and Mathematical Morphology*,
//! 1982). It keeps what is wide, the edge of a shadow or of a
//! table as sharp as it is, and leaves no trace of a stroke. Light ink is dark ink in the picture's negative.
//!
//! Ink is the share of the background's light that is missing, so that it is as much in a shadow as beside it.

use super::workspace::{WORKING_SIDE, Workspace};

/// The window reaches this share of the picture's longer side, in per cent, from its middle to each side. Strokes may
/// be nearly twice as wide.
const REACH_PERCENT: usize = 16;
const MAX_REACH: usize = WORKING_SIDE * REACH_PERCENT / 100 + 2;
/// Backgrounds darker than this count as this bright, so that noise in the dark is not taken for ink.
const LEAST_LIGHT: i32 = 96;

/// Writes the ink of `workspace.plane` to `workspace.ink`, 0 to 255, and says up to which amount it is noise. What lies
/// along the picture's edge, a frame or the end of a shadow, is background if windows may reach `beyond` the edge.
pub(super) fn find(width: usize, height: usize, beyond: bool, workspace: &mut Workspace<'_>) -> u8 {
    let Workspace { plane, background, ink, queue, .. } = workspace;
    let pixels = width * height;
    let (plane, background) = (&plane[..pixels], &mut background[..pixels]);
    smooth(plane, background, width);
    let reach = (width.max(height) * REACH_PERCENT / 100).max(2);
    let margin = if beyond { reach } else { 0 };
    // In a picture that is narrower than the window, a stroke across is no shadow: the window is as large, but longer.
    let along = |side: usize, other: usize| (reach * (2 * reach + 1) / other.min(2 * reach + 1)).min(side.max(reach));
    let reaches = (along(width, height), along(height, width));
    close(background, width, reaches, margin, bytemuck::cast_slice_mut(queue));
    // Of −255 to 255: noise goes both ways.
    let mut counts = [0u32; 511];
    for ((ink, &value), &light) in ink.iter_mut().zip(plane).zip(background.iter()) {
        let (value, light) = (i32::from(value), i32::from(light));
        let missing = ((light - value) * 255 / light.max(LEAST_LIGHT)).clamp(-255, 255);
        *ink = missing.max(0) as u8;
        counts[(missing + 255) as usize] += 1;
    }
    // Most of the picture is background, where ink is noise around some level. The lower half of it holds no ink, so
    // it tells how far noise reaches above: from the 10th to the 40th of 100 is one standard deviation.
    let ranked = |percent: usize| {
        let mut left = (pixels * percent / 100) as u32;
        let rank = counts.iter().position(|&count| {
            let found = count > left;
            left = left.saturating_sub(count);
            found
        });
        rank.unwrap_or(0) as i32 - 255
    };
    let (low, middle) = (ranked(10), ranked(40));
    (middle + 4 * (middle - low)).clamp(0, 255) as u8
}

/// The mean of 3×3 pixels, rounded to nearest; fewer at the edge.
fn smooth(plane: &[u8], smoothed: &mut [u8], width: usize) {
    let height = plane.len() / width;
    for row in 0..height {
        let rows = row.saturating_sub(1)..(row + 2).min(height);
        let count = rows.len() as u16;
        let mut sums = [0u16; WORKING_SIDE];
        for y in rows {
            for (sum, &value) in sums.iter_mut().zip(&plane[y * width..][..width]) {
                *sum += u16::from(value);
            }
        }
        let line = &mut smoothed[row * width..][..width];
        for (column, value) in line.iter_mut().enumerate() {
            let near = &sums[column.saturating_sub(1)..(column + 2).min(width)];
            let pixels = count * near.len() as u16;
            *value = ((near.iter().sum::<u16>() + pixels / 2) / pixels) as u8;
        }
    }
}

/// The closing of a plane by a window that reaches so far across and down, whose middle may be `margin` pixels outside.
fn close(plane: &mut [u8], width: usize, reaches: (usize, usize), margin: usize, scratch: &mut [u8]) {
    let height = plane.len() / width;
    let wide = width + 2 * margin;
    let sheet = &mut scratch[..wide * (height + 2 * margin)];
    sheet.fill(0);
    let inside = |row: usize| (row + margin) * wide + margin;
    for (row, line) in plane.chunks_exact(width).enumerate() {
        sheet[inside(row)..][..width].copy_from_slice(line);
    }
    for _ in 0..2 {
        // The second round is the erosion: the dilation of the negative.
        dilate_rows(sheet, wide, reaches.0);
        dilate_columns(sheet, wide, reaches.1);
        for value in sheet.iter_mut() {
            *value = !*value;
        }
    }
    for (row, line) in plane.chunks_exact_mut(width).enumerate() {
        line.copy_from_slice(&sheet[inside(row)..][..width]);
    }
}

/// Columns, or rows, that are dilated side by side.
const LANES: usize = 32;
/// A line of pixels, and what windows reach over on both sides.
const LINE: usize = 3 * WORKING_SIDE + 2 * MAX_REACH;

/// `lines[i]` becomes the greatest of itself and the `2·reach` that follow, as far as there are any, by doubling.
fn greatest(lines: &mut [[u8; LANES]], reach: usize) {
    let window = 2 * reach + 1;
    let mut covered = 1;
    while covered < window {
        let step = covered.min(window - covered);
        for i in 0..lines.len().saturating_sub(step) {
            let other = lines[i + step];
            for (value, other) in lines[i].iter_mut().zip(other) {
                *value = (*value).max(other);
            }
        }
        covered += step;
    }
}

fn dilate_columns(plane: &mut [u8], width: usize, reach: usize) {
    let height = plane.len() / width;
    for first in (0..width).step_by(LANES) {
        let count = LANES.min(width - first);
        let mut lines = [[0; LANES]; LINE];
        let lines = &mut lines[..height + 2 * reach];
        for (line, row) in lines[reach..].iter_mut().zip(plane.chunks_exact(width)) {
            line[..count].copy_from_slice(&row[first..first + count]);
        }
        greatest(lines, reach);
        for (line, row) in lines.iter().zip(plane.chunks_exact_mut(width)) {
            row[first..first + count].copy_from_slice(&line[..count]);
        }
    }
}

fn dilate_rows(plane: &mut [u8], width: usize, reach: usize) {
    for rows in plane.chunks_mut(LANES * width) {
        let mut lines = [[0; LANES]; LINE];
        let lines = &mut lines[..width + 2 * reach];
        for (lane, row) in rows.chunks_exact(width).enumerate() {
            for (line, &value) in lines[reach..].iter_mut().zip(row) {
                line[lane] = value;
            }
        }
        greatest(lines, reach);
        for (lane, row) in rows.chunks_exact_mut(width).enumerate() {
            for (line, value) in lines.iter().zip(row) {
                *value = line[lane];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    #[test]
    fn what_is_narrower_than_a_window_is_closed() {
        // Windows of five; at the edge three are enough, with a margin two.
        for (margin, last) in [(0, 9), (1, 0)] {
            for width in [1, 14] {
                let mut plane = [9, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 9, 0, 0];
                close(&mut plane, width, (2, 2), margin, &mut [0; 14 * 14]);
                assert_eq!(plane, [9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 9, last, last]);
            }
        }
    }

    #[test]
    fn the_edge_of_a_shadow_is_no_ink_and_a_stroke_across_it_is_the_same_on_both_sides() {
        let mut memory: std::boxed::Box<[u32; Workspace::WORDS]> =
            vec![0; Workspace::WORDS].into_boxed_slice().try_into().unwrap();
        let mut workspace = Workspace::new(&mut memory);
        let (width, height) = (200, 150);
        for (i, value) in workspace.plane[..width * height].iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            let paper = if x < 80 { 100 } else { 200 };
            *value = if (70..73).contains(&y) { paper / 2 } else { paper };
        }
        let noise = find(width, height, false, &mut workspace);
        assert_eq!(noise, 0);
        for (i, &ink) in workspace.ink[..width * height].iter().enumerate() {
            let (x, y) = (i % width, i / width);
            // The background is smoothed over 3 pixels before.
            if !(78..82).contains(&x) {
                assert_eq!(ink, if (70..73).contains(&y) { 127 } else { 0 }, "{x} {y}");
            }
        }
    }
}
