//! What of a TIFF file has to be known before it is decoded.

/// The most values of an entry that describes the picture: a palette of 65,536 colours has three times as many, a picture
/// of the longest side in strips of a row for each of its channels no more.
const MAX_VALUES: u64 = 1 << 18;
/// Tags from here on are of profiles and texts, which are not read.
const FIRST_UNREAD_TAG: u64 = 700;

/// Whether an entry of the first directory claims more values than a picture needs. The decoder holds 32 bytes for each,
/// up to 256 MB of them, before it can be told of a limit.
pub fn claims_too_many_values(bytes: &[u8]) -> bool {
    entries(bytes).into_iter().flatten().any(|(tag, count)| tag < FIRST_UNREAD_TAG && count > MAX_VALUES)
}

/// Tag and number of values of every entry that is there; `None` if there is no directory.
fn entries(bytes: &[u8]) -> Option<impl Iterator<Item = (u64, u64)>> {
    let is_big_endian = bytes.starts_with(b"MM");
    let number = move |at: u64, len: usize| {
        let digits = bytes.get(usize::try_from(at).ok()?..)?.get(..len)?;
        let append = |value: u64, digit: &u8| value << 8 | u64::from(*digit);
        Some(if is_big_endian { digits.iter().fold(0, append) } else { digits.iter().rev().fold(0, append) })
    };
    // BigTIFF has longer offsets and counts.
    let is_long = number(2, 2)? == 43;
    let (directory, head, entry, count_len) =
        if is_long { (number(8, 8)?, 8, 20, 8) } else { (number(4, 4)?, 2, 12, 4) };
    let count = number(directory, head)?;
    let first = directory.checked_add(head as u64)?;
    Some((0..count).map_while(move |i| {
        let at = first.checked_add(i.checked_mul(entry)?)?;
        Some((number(at, 2)?, number(at.checked_add(4)?, count_len)?))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(is_long: bool, is_big_endian: bool, entries: &[(u16, u64)]) -> Vec<u8> {
        let digits = |value: u64, len: usize| {
            let little = value.to_le_bytes();
            let mut digits = little[..len].to_vec();
            if is_big_endian {
                digits.reverse();
            }
            digits
        };
        let mut file = if is_big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        if is_long {
            file.extend(
                [digits(43, 2), digits(8, 2), digits(0, 2), digits(16, 8), digits(entries.len() as u64, 8)].concat(),
            );
        } else {
            file.extend([digits(42, 2), digits(8, 4), digits(entries.len() as u64, 2)].concat());
        }
        for &(tag, count) in entries {
            let len = if is_long { 8 } else { 4 };
            file.extend([digits(tag.into(), 2), digits(3, 2), digits(count, len), digits(0, len)].concat());
        }
        file
    }

    #[test]
    fn a_list_that_no_picture_needs_is_seen_wherever_it_stands() {
        for (is_long, is_big_endian) in [(false, false), (false, true), (true, false), (true, true)] {
            let claims = |entries: &[(u16, u64)]| claims_too_many_values(&file(is_long, is_big_endian, entries));
            assert!(!claims(&[]) && !claims(&[(256, 1), (273, MAX_VALUES), (34_675, 1 << 24)]));
            assert!(claims(&[(256, MAX_VALUES + 1)]) && claims(&[(256, 1), (257, 1), (273, u64::from(u32::MAX))]));
            // Cut anywhere, it is whatever is there.
            let whole = file(is_long, is_big_endian, &[(256, 1), (257, 1 << 30)]);
            (0..whole.len()).for_each(|len| assert!(!claims_too_many_values(&whole[..len]) || len + 8 >= whole.len()));
        }
        // A directory beyond the end, and one without end.
        assert!(!claims_too_many_values(b"II*\0\xff\xff\xff\xff") && !claims_too_many_values(b"II"));
        let endless = [b"II\x2b\0\x08\0\0\0".as_slice(), &16u64.to_le_bytes(), &[0xff; 8], &[0; 20]].concat();
        assert!(!claims_too_many_values(&endless));
    }
}
