//! Power that fails at every flash operation of an update, in turn: after each cut the board runs the old model, runs
//! the new one, or asks for one. The same for a learned head that is kept, and for one that is forgotten.

use cnn_core::head::FlatHead;
use cnn_core::learn::Settings;
use cnn_core::model::ModelError;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::BoardError;
use tests::board::flash::{AREA_LEN, Cut, Flash, Power};
use tests::board::learning::{SETTINGS, lesson, taught};
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

/// What a board does with the head that it has learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Keep,
    Forget,
}

/// A board that has kept `earlier` heads, with another one learned and not kept.
fn board_with_heads<const BLOCK: usize>(earlier: u32) -> Board<BLOCK> {
    let mut board = Board::holding(&model::file(1), Faults::default(), 0);
    taught(&mut board.client(), &lesson(3, 0));
    for head in 0..=earlier {
        let settings = Settings { epochs: 1, learning_rate: 0.001 * (head + 1) as f32, ..SETTINGS };
        board.client().learn(&settings, 1).expect("its turn");
        if head < earlier {
            board.client().keep().expect("there is room");
        }
    }
    board
}

/// Cuts power at each flash operation of keeping or forgetting a head, after so many earlier ones. Afterwards the old head
/// is there, the new one, or none, and the board does what it was asked.
fn cut_heads_everywhere<const BLOCK: usize>(task: Task, earlier: u32) -> [bool; 3] {
    let run = |board: &mut Board<BLOCK>| match task {
        Task::Keep => board.client().keep(),
        Task::Forget => board.client().forget(true),
    };
    let head = |board: &mut Board<BLOCK>| board.client().read_head().ok();
    let mut whole = board_with_heads::<BLOCK>(earlier);
    let (new, before) = (head(&mut whole), whole.power.operations());
    run(&mut whole).expect("without a cut it succeeds");
    let operations = before..whole.power.operations();
    assert!(!operations.is_empty());
    whole.reboot();
    let new = if task == Task::Keep { new } else { None };
    assert_eq!(head(&mut whole), new);
    let mut unchanged = board_with_heads::<BLOCK>(earlier);
    unchanged.reboot();
    let old: Option<Box<FlatHead>> = head(&mut unchanged);

    let mut seen = [false; 3];
    for operation in operations {
        for cut in [Cut::Before, Cut::Midway, Cut::After] {
            let mut board = board_with_heads::<BLOCK>(earlier);
            board.power.cut_at(operation, cut);
            let result = run(&mut board);
            assert!(matches!(result, Err(BoardError::Silent)), "operation {operation}, {cut:?}: {result:?}");
            board.reboot();
            let found = head(&mut board);
            let known = [&old, &new, &None].into_iter().position(|known| *known == found);
            seen[known.unwrap_or_else(|| panic!("operation {operation}, {cut:?}: a third head"))] = true;
            // The model runs, and the next attempt succeeds.
            assert!(board.client().info().expect("it answers").model.is_ok());
            taught(&mut board.client(), &lesson(3, 0));
            board.client().learn(&SETTINGS, 1).expect("its turn");
            if task == Task::Forget {
                run(&mut board).expect("the next attempt succeeds");
                board.reboot();
                assert_eq!(head(&mut board), None);
            }
        }
    }
    seen
}

#[test]
fn power_cuts_leave_the_old_head_the_new_one_or_none() {
    // The first head; a second one beside it; and where pages can be erased, one for which all earlier ones must go.
    assert_eq!(cut_heads_everywhere::<AREA_LEN>(Task::Keep, 0), [true, true, false]);
    assert_eq!(cut_heads_everywhere::<AREA_LEN>(Task::Keep, 1), [true, true, false]);
    assert_eq!(cut_heads_everywhere::<4096>(Task::Keep, 9), [true, true, true]);
}

#[test]
fn power_cuts_leave_a_head_or_none_where_it_is_forgotten() {
    let [old, none, _] = cut_heads_everywhere::<AREA_LEN>(Task::Forget, 2);
    assert!(old && none);
}
