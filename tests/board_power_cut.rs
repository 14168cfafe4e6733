//! Power that fails at every flash operation of an update, in turn, in the flash of every board: after each cut the board
//! runs the old model, runs the new one, or asks for one. The same for a learned head that is kept, and for one that is
//! forgotten.

use std::fs;
use std::path::Path;

use cnn_core::head::FlatHead;
use cnn_core::learn::Settings;
use cnn_core::model::ModelError;
use cnn_train::fingerprint::Fingerprint;
use cnn_train::random::initial_parameters;
use host_trainer::board::BoardError;
use tests::board::flash::{Cut, Esp32C3, Geometry, MicrobitV2, Nrf52840Dk, NucleoF446re, Pico, Pico2};
use tests::board::learning::{SETTINGS, lesson, records, taught};
use tests::board::line::Faults;
use tests::board::model;
use tests::board::modelled::Board;

/// Files of two models of a kind, and the models' fingerprints.
struct Models {
    files: [Vec<u8>; 2],
    fingerprints: [Fingerprint; 2],
}

impl Models {
    /// 400 chunks each.
    fn float() -> Self {
        Self {
            files: [1, 2].map(model::file),
            fingerprints: [1, 2].map(|seed| Fingerprint::of(&initial_parameters(seed))),
        }
    }

    /// 100 chunks each.
    fn int8() -> Self {
        let models = [1, 2].map(model::loaded_int8);
        Self {
            files: models.each_ref().map(|model| model.file().to_vec()),
            fingerprints: models.each_ref().map(|model| model.fingerprint),
        }
    }
}

/// Cuts power at each operation of an update from the first model to the second.
fn cut_everywhere<G: Geometry>(models: &Models) {
    let Models { files: [old, new], fingerprints } = models;
    let board = || Board::<G>::holding(old, Faults::default(), 0);
    let update = |board: &mut Board<G>| board.client().update_with(new, fingerprints[1], |_| {});

    let mut whole = board();
    update(&mut whole).expect("without a cut it succeeds");
    let operations = whole.power.operations();
    assert!(operations >= new.len() / 1024, "each chunk is an operation");

    let mut seen = [false; 3];
    for operation in 0..operations {
        // After an operation flash is as before the next one.
        let after = (operation + 1 == operations).then_some(Cut::After);
        for cut in [Cut::Before, Cut::Midway].into_iter().chain(after) {
            let mut board = board();
            board.power.cut_at(operation, cut);
            let result = update(&mut board);
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
                update(&mut board).expect("the next update succeeds");
                assert_eq!(board.client().info().expect("it answers").model, Ok(fingerprints[1]));
            }
        }
    }
    assert_eq!(seen, [true; 3], "old, new and none were all seen");
}

/// One test for each geometry and kind of model, so that they run side by side. The Pico 2's flash is the Pico's, and
/// the ESP32-C3's the nRF52840's. The many
/// chunks of a float model take long, and tell less: there the flash that is erased as a whole, and the one with the least
/// room behind the model.
macro_rules! power_cuts_leave_the_old_model_the_new_one_or_none {
    ($($name:ident: $geometry:ty, $kind:ident;)+) => {
        mod power_cuts_leave_the_old_model_the_new_one_or_none {
            use super::*;
            $(#[test]
            fn $name() {
                cut_everywhere::<$geometry>(&Models::$kind());
            })+
        }
    };
}

power_cuts_leave_the_old_model_the_new_one_or_none! {
    nucleo_f446re_float: NucleoF446re, float;
    microbit_v2_float: MicrobitV2, float;
    nucleo_f446re_int8: NucleoF446re, int8;
    microbit_v2_int8: MicrobitV2, int8;
    nrf52840_dk_int8: Nrf52840Dk, int8;
    pico_int8: Pico, int8;
}

/// What a board does with the head that it has learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Keep,
    Forget,
}

/// A board that has kept `earlier` heads, with another one learned and not kept.
fn board_with_heads<G: Geometry>(earlier: u32) -> Board<G> {
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
fn cut_heads_everywhere<G: Geometry>(task: Task, earlier: u32) -> [bool; 3] {
    let run = |board: &mut Board<G>| match task {
        Task::Keep => board.client().keep(),
        Task::Forget => board.client().forget(true),
    };
    let head = |board: &mut Board<G>| board.client().read_head().ok();
    let mut whole = board_with_heads::<G>(earlier);
    let (new, before) = (head(&mut whole), whole.power.operations());
    run(&mut whole).expect("without a cut it succeeds");
    let operations = before..whole.power.operations();
    assert!(!operations.is_empty());
    whole.reboot();
    let new = if task == Task::Keep { new } else { None };
    assert_eq!(head(&mut whole), new);
    let mut unchanged = board_with_heads::<G>(earlier);
    unchanged.reboot();
    let old: Option<Box<FlatHead>> = head(&mut unchanged);

    let mut seen = [false; 3];
    for operation in operations.clone() {
        let after = (operation + 1 == operations.end).then_some(Cut::After);
        for cut in [Cut::Before, Cut::Midway].into_iter().chain(after) {
            let mut board = board_with_heads::<G>(earlier);
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
    // The first head; a second one beside it.
    assert_eq!(cut_heads_everywhere::<NucleoF446re>(Task::Keep, 0), [true, true, false]);
    assert_eq!(cut_heads_everywhere::<NucleoF446re>(Task::Keep, 1), [true, true, false]);
}

/// Where pages can be erased by themselves: a head for which all earlier ones must go.
fn cut_where_heads_make_room<G: Geometry>() {
    assert_eq!(cut_heads_everywhere::<G>(Task::Keep, records::<G>()), [true, true, true]);
}

#[test]
fn power_cuts_leave_a_head_or_none_where_earlier_ones_make_room() {
    cut_where_heads_make_room::<Pico>();
    cut_where_heads_make_room::<Nrf52840Dk>();
    cut_where_heads_make_room::<MicrobitV2>();
}

#[test]
fn power_cuts_leave_a_head_or_none_where_it_is_forgotten() {
    let [old, none, _] = cut_heads_everywhere::<NucleoF446re>(Task::Forget, 2);
    assert!(old && none);
    let [old, none, _] = cut_heads_everywhere::<MicrobitV2>(Task::Forget, 1);
    assert!(old && none);
}

/// The bytes of a board's model area in its memory.x, or its table of partitions.
fn model_area(board: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware/boards").join(board);
    let read = |name| fs::read_to_string(folder.join(name));
    let (text, start) = match read("memory.x") {
        Ok(script) => (script, "MODEL "),
        Err(_) => (read("partitions.csv").expect("a memory.x or partitions.csv"), "model,"),
    };
    let area = text.lines().map(str::trim).find(|line| line.starts_with(start)).expect("a model area");
    let len = area.rsplit(' ').next().expect("the length is the line's last word");
    let bytes = match (len.strip_suffix('K'), len.strip_prefix("0x")) {
        (Some(kilobytes), _) => kilobytes.parse().map(|kilobytes: usize| 1024 * kilobytes),
        (None, Some(hex)) => usize::from_str_radix(hex, 16),
        (None, None) => len.parse(),
    };
    bytes.unwrap_or_else(|error| panic!("{board}: {area}: {error}"))
}

#[test]
fn every_board_has_its_geometry_here() {
    fn known<G: Geometry>() -> &'static str {
        assert_eq!(G::AREA_LEN, model_area(G::BOARD), "{}", G::BOARD);
        G::BOARD
    }
    fn figures<G: Geometry>() -> [usize; 3] {
        [G::AREA_LEN, G::ERASE_LEN, G::WORD_LEN]
    }
    let known = [
        known::<Esp32C3>(),
        known::<MicrobitV2>(),
        known::<Nrf52840Dk>(),
        known::<NucleoF446re>(),
        known::<Pico>(),
        known::<Pico2>(),
    ];
    assert_eq!(figures::<Pico2>(), figures::<Pico>());
    assert_eq!(figures::<Esp32C3>(), figures::<Nrf52840Dk>());
    let folder = format!("{}/../firmware/boards", env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(folder).expect("the boards").map(|entry| entry.expect("an entry"));
    let boards = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name());
    let mut boards: Vec<_> = boards.map(|name| name.into_string().expect("UTF-8")).collect();
    boards.sort();
    assert_eq!(boards, known);
}
