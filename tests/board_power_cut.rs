//! Power that fails at every flash operation of an update, in turn: after each cut the board runs the old model, runs
//! the new one, or asks for one.

use cnn_core::model::ModelError;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::BoardError;
use tests::board::flash::{AREA_LEN, Cut, Flash, Power};
use tests::board::line::Faults;
use tests::board::model;
use tests::board::modelled::Board;

/// Cuts power at each operation of an update from the model of seed 1 to that of seed 2; `BLOCK` is the flash's erase size.
fn cut_everywhere<const BLOCK: usize>() {
    let (old, new) = (model::file(1), model::loaded(2));
    let fingerprints = [1, 2].map(|seed| Fingerprint::of(&initial_parameters(seed)));
    let board = |flash: Option<Flash<BLOCK>>| {
        let power = Power::default();
        let flash = flash.unwrap_or_else(|| Flash::holding(&old, power.clone()));
        Board::with_flash(flash, power, Faults::default(), 0)
    };

    let mut whole = board(None);
    whole.client().update(&new, |_| {}).expect("without a cut it succeeds");
    let operations = whole.power.operations();
    assert!(operations >= new.file().len() / 1024, "each chunk is an operation");

    let mut seen = [false; 3];
    for operation in 0..operations {
        for cut in [Cut::Before, Cut::Midway, Cut::After] {
            let mut board = board(None);
            board.power.cut_at(operation, cut);
            let result = board.client().update(&new, |_| {});
            assert!(matches!(result, Err(BoardError::Silent)), "operation {operation}, {cut:?}: {result:?}");
            board.reboot();
            let place = match board.client().info().expect("it answers").model {
                Ok(running) => fingerprints.iter().position(|&known| known == running).expect("no third model"),
                Err(ModelError::Magic | ModelError::Checksum | ModelError::Length(_) | ModelError::Version { .. }) => 2,
                Err(other) => panic!("operation {operation}, {cut:?}: {other}"),
            };
            seen[place] = true;
            // What runs gives the bits of its model: the self-test has seen to that. Then the update is done again, which
            // takes long: not after each of the many chunks.
            if operation < 3 || operation + 3 > operations || operation % 25 == 0 {
                board.client().update(&new, |_| {}).expect("the next update succeeds");
                assert_eq!(board.client().info().expect("it answers").model, Ok(fingerprints[1]));
            }
        }
    }
    assert_eq!(seen, [true; 3], "old, new and none were all seen");
}

#[test]
fn power_cuts_leave_the_old_model_the_new_one_or_none_where_flash_is_erased_as_a_whole() {
    cut_everywhere::<AREA_LEN>();
}

#[test]
fn power_cuts_leave_the_old_model_the_new_one_or_none_where_pages_are_erased_one_by_one() {
    cut_everywhere::<4096>();
}
