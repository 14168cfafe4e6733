//! The model that a program brings along for an area that has none, and power that fails while it is put there.

use application::{ModelFlash, NotTaken, install};
use cnn_core::model::HEADER_LEN;
use tests::board::flash::{Cut, Esp32C3, Flash, Geometry as _, Power};
use tests::board::model;

/// The one board whose program brings its model along.
type Sectors = Flash<Esp32C3>;

const AREA_LEN: usize = Esp32C3::AREA_LEN;

#[test]
fn a_blank_area_gets_the_model() {
    let mut flash = Sectors::holding(&[], Power::default());
    let file = model::file(1);
    assert_eq!(install(&mut flash, &file), Ok(()));
    assert_eq!(flash.contents()[..file.len()], file);
}

#[test]
fn what_an_area_holds_stays() {
    // Also what is no model: whoever flashed it finds it again.
    for held in [model::file(2), b"sixteen bytes of no model".to_vec()] {
        let power = Power::default();
        let mut flash = Sectors::holding(&held, power.clone());
        assert_eq!(install(&mut flash, &model::file(1)), Ok(()));
        assert_eq!(flash.contents()[..held.len()], held);
        assert_eq!(power.operations(), 0);
    }
}

#[test]
fn a_model_without_room_or_without_a_header_is_not_taken() {
    for len in [0, HEADER_LEN - 1, AREA_LEN + 1] {
        let mut flash = Sectors::holding(&[], Power::default());
        assert_eq!(install(&mut flash, &vec![0; len]), Err(NotTaken), "{len} bytes");
        assert!(
            flash.contents()[..HEADER_LEN].iter().all(|&byte| byte == 0xff),
            "{len} bytes: nothing looks like a file"
        );
    }
}

#[test]
fn after_a_power_cut_the_next_start_puts_it_there() {
    let file = model::file(1);
    let power = Power::default();
    install(&mut Sectors::holding(&[], power.clone()), &file).expect("without a cut it succeeds");
    let operations = power.operations();
    assert!(operations > AREA_LEN / Esp32C3::ERASE_LEN / 2, "each sector is an operation");
    for operation in 0..operations {
        for cut in [Cut::Before, Cut::Midway, Cut::After] {
            let power = Power::default();
            let mut flash = Sectors::holding(&[], power.clone());
            power.cut_at(operation, cut);
            install(&mut flash, &file).expect_err("power has failed");
            power.restore();
            assert_eq!(install(&mut flash, &file), Ok(()), "operation {operation}, {cut:?}");
            assert_eq!(flash.contents()[..file.len()], file, "operation {operation}, {cut:?}");
        }
    }
}
