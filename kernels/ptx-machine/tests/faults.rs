//! Small kernels, right and wrong.

use ptx_machine::{Entry, Fault, FaultKind, Launch, LaunchError, Machine, ParseError, Place, Space, Toucher};

const ONE_WARP: Launch = Launch { blocks: 1, threads: 32, shared_bytes: 256, cooperative: false };
const TWO_WARPS: Launch = Launch { threads: 64, ..ONE_WARP };
const TWO_BLOCKS: Launch = Launch { blocks: 2, cooperative: true, ..ONE_WARP };

/// A kernel with this body, which begins on line 10: `%rd1` is the argument, an address; `%r1` the thread, `%r2` the
/// block.
fn kernel(body: &str) -> Result<Entry, ParseError> {
    let text = format!(
        ".extern .shared .align 16 .b8 memory[];\n.visible .entry k(\n.param .u64 k_param_0\n)\n{{\n\
         .reg .pred %p<9>; .reg .b32 %r<9>;\n.reg .b64 %rd<9>;\nld.param.u64 %rd1, [k_param_0];\nmov.u32 %r1, %tid.x;\n\
         mov.u32 %r2, %ctaid.x;\n{body}\nret;\n}}\n"
    );
    Entry::parse(&text.replace("; .reg", ";\n.reg"), "k")
}

/// Runs it with 256 bytes of memory, of which the first word is 7; what lies there afterwards.
fn run(body: &str, launch: Launch) -> Result<Vec<u32>, LaunchError> {
    let mut machine = Machine::default();
    let address = machine.allocate(256);
    assert!(machine.write(address, &7_u32.to_le_bytes()));
    let kernel = kernel(body).expect("the machine understands the kernel");
    machine.launch(&kernel, launch, &[&address.to_le_bytes()])?;
    let bytes = machine.read(address, 256).expect("the allocation is there");
    Ok(bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect())
}

#[track_caller]
fn fault(body: &str, launch: Launch) -> FaultKind {
    match run(body, launch) {
        Err(LaunchError::Fault(Fault { kind, .. })) => kind,
        other => panic!("{other:?}"),
    }
}

/// The place of a byte of the allocation.
fn global(offset: u64) -> Place {
    Place { space: Space::Global, address: (1 << 40) + offset }
}

fn shared(address: u64) -> Place {
    Place { space: Space::Shared, address }
}

/// `%rd3` becomes the address of this thread's word in global memory, `%rd4` in shared memory.
const OWN_WORD: &str = "mul.wide.u32 %rd2, %r1, 4;\nadd.s64 %rd3, %rd1, %rd2;\nmov.u64 %rd4, memory;\n\
                        add.s64 %rd4, %rd4, %rd2;\n";
/// `%r3` becomes the word of the next thread, modulo 32.
const NEIGHBOUR: &str = "add.s32 %r4, %r1, 1;\nand.b32 %r4, %r4, 31;\nmul.wide.u32 %rd5, %r4, 4;\n\
                         ld.shared.u32 %r3, [%rd5];\nst.global.u32 [%rd3], %r3;\n";

#[test]
fn threads_exchange_values_over_a_barrier() {
    let body = |barrier| format!("{OWN_WORD}st.shared.u32 [%rd4], %r1;\n{barrier}\n{NEIGHBOUR}");
    let expected: Vec<u32> = (1..32).chain([0]).collect();
    for barrier in ["bar.sync 0;", "bar.warp.sync -1;"] {
        assert_eq!(run(&body(barrier), ONE_WARP).unwrap()[..32], expected, "{barrier}");
    }
    assert_eq!(fault(&body(""), ONE_WARP), FaultKind::Race(shared(4), Toucher::Thread(0, 1)));
    let ballot = "setp.eq.s32 %p1, %r1, 0;\nvote.sync.ballot.b32 %r5, %p1, -1;";
    assert_eq!(
        fault(&body(ballot), ONE_WARP),
        FaultKind::Race(shared(4), Toucher::Thread(0, 1)),
        "a vote is no barrier"
    );
}

#[test]
fn a_barrier_of_a_warp_is_none_of_the_block() {
    let body = |barrier| format!("{OWN_WORD}st.shared.u32 [%rd4], %r1;\n{barrier}\nld.shared.u32 %r3, [0];");
    assert!(run(&body("bar.sync 0;"), TWO_WARPS).is_ok());
    assert!(matches!(fault(&body("bar.warp.sync -1;"), TWO_WARPS), FaultKind::Race(..)));
}

#[test]
fn threads_that_part_meet_again() {
    let body = format!(
        "{OWN_WORD}setp.lt.s32 %p1, %r1, 5;\n@%p1 bra $LOW;\nmov.u32 %r3, 2;\nbra.uni $JOIN;\n$LOW:\nmov.u32 %r3, 1;\n\
         $JOIN:\nvote.sync.ballot.b32 %r5, %p1, -1;\nadd.s32 %r3, %r3, %r5;\nst.global.u32 [%rd3], %r3;"
    );
    let words = run(&body, ONE_WARP).unwrap();
    assert_eq!((words[4], words[5]), (32, 33));
}

#[test]
fn shuffles_take_what_other_lanes_have() {
    let shuffle = |mode, lane, bounds| {
        let body =
            format!("{OWN_WORD}shfl.sync.{mode}.b32 %r3|%p1, %r1, {lane}, {bounds}, -1;\nst.global.u32 [%rd3], %r3;");
        run(&body, ONE_WARP).unwrap()[..4].to_vec()
    };
    assert_eq!(shuffle("idx", 9, 31), [9, 9, 9, 9]);
    assert_eq!(shuffle("up", 2, 0), [0, 1, 0, 1]);
    let from_outside = format!("{FIRST_FIVE}shfl.sync.idx.b32 %r3, %r1, 9, 31, 31;\n$END:");
    assert_eq!(fault(&from_outside, ONE_WARP), FaultKind::Divergence);
}

#[test]
fn memory_has_bounds_and_alignment() {
    assert_eq!(fault("st.global.u32 [%rd1+256], 1;", ONE_WARP), FaultKind::OutOfBounds(global(256)));
    assert_eq!(
        fault("st.global.u32 [%rd1+-4], 1;", ONE_WARP),
        FaultKind::OutOfBounds(Place { space: Space::Global, address: (1 << 40) - 4 })
    );
    assert_eq!(fault("ld.shared.u32 %r3, [256];", ONE_WARP), FaultKind::OutOfBounds(shared(256)));
    assert_eq!(fault("ld.global.u32 %r3, [%rd1+2];", ONE_WARP), FaultKind::Misaligned(global(2), 4));
    assert_eq!(fault("ld.shared.v4.u32 {%r3, %r4, %r5, %r6}, [8];", ONE_WARP), FaultKind::Misaligned(shared(8), 16));
    assert_eq!(
        fault("mov.u64 %rd2, 4;\nld.global.u32 %r3, [%rd2];", ONE_WARP),
        FaultKind::OutOfBounds(Place { space: Space::Global, address: 4 })
    );
}

#[test]
fn what_was_never_written_is_not_read() {
    assert!(run("ld.global.u32 %r3, [%rd1];", ONE_WARP).is_ok());
    assert_eq!(fault("ld.global.u32 %r3, [%rd1+4];", ONE_WARP), FaultKind::Uninitialized(global(4)));
    assert_eq!(fault("ld.shared.u8 %r3, [5];", ONE_WARP), FaultKind::Uninitialized(shared(5)));
}

#[test]
fn a_word_and_its_bytes_need_a_barrier_between() {
    let body = |barrier| {
        format!("{OWN_WORD}st.shared.u32 [%rd4], %r1;\n{barrier}\nadd.s64 %rd5, %rd4, 1;\nld.shared.u8 %r3, [%rd5];")
    };
    assert!(run(&body("bar.sync 0;"), ONE_WARP).is_ok());
    assert!(run(&body(""), ONE_WARP).is_ok(), "every thread has a word of its own");
    let other = "st.shared.u32 [%rd4], %r1;\nadd.s32 %r4, %r1, 1;\nand.b32 %r4, %r4, 31;\nmul.wide.u32 %rd5, %r4, 4;\n\
                 ld.shared.u8 %r3, [%rd5];";
    assert_eq!(fault(&format!("{OWN_WORD}{other}"), ONE_WARP), FaultKind::MixedWidths(shared(4)));
}

/// Skips the next instruction for the threads from 5 on.
const FIRST_FIVE: &str = "setp.gt.s32 %p1, %r1, 4;\n@%p1 bra $END;\n";

#[test]
fn threads_that_should_meet_do() {
    assert_eq!(fault(&format!("{FIRST_FIVE}bar.warp.sync -1;\n$END:"), ONE_WARP), FaultKind::Divergence);
    assert_eq!(fault(&format!("{FIRST_FIVE}bar.sync 0;\n$END:\nbar.sync 0;"), ONE_WARP), FaultKind::Divergence);
    assert_eq!(
        fault(&format!("{FIRST_FIVE}bar.warp.sync 31;\nbar.warp.sync 3;\n$END:"), ONE_WARP),
        FaultKind::Divergence
    );
    assert!(run(&format!("{FIRST_FIVE}bar.warp.sync 31;\n$END:"), ONE_WARP).is_ok());
    let half = "setp.gt.s32 %p1, %r1, 31;\n@%p1 bra $END;\nbar.sync 0;\n$END:";
    assert_eq!(fault(half, TWO_WARPS), FaultKind::BarrierAfterEnd);
}

/// Waits until both blocks have added 1 to the word at 0, which is 7 at first; `%p1` is thread 0's alone.
fn grid_barrier(before: &str, after: &str) -> String {
    format!(
        "setp.ne.s32 %p1, %r1, 0;\n@%p1 bra $OTHERS;\n{before}\natom.global.add.u32 %r3, [%rd1], 1;\n$WAIT:\n\
         ld.volatile.global.u32 %r4, [%rd1];\nsetp.eq.s32 %p2, %r4, 9;\n@%p2 bra $MET;\nnanosleep.u32 %r1;\n\
         bra.uni $WAIT;\n$MET:\n{after}\n$OTHERS:\nbar.sync 0;\n"
    )
}

/// Block 0's last thread writes the word at 64; then all of block 1 reads it.
fn message(barrier: &str) -> String {
    format!(
        "shl.b32 %r5, %r2, 8;\nadd.s32 %r5, %r5, %r1;\nsetp.ne.s32 %p3, %r5, 31;\n@%p3 bra $QUIET;\n\
         st.global.u32 [%rd1+64], 5;\n$QUIET:\nbar.sync 0;\n{barrier}setp.eq.s32 %p3, %r2, 0;\n@%p3 bra $DONE;\n\
         ld.global.u32 %r6, [%rd1+64];\n$DONE:"
    )
}

#[test]
fn blocks_are_ordered_by_fences_around_an_atomic_operation() {
    let fence = "fence.acq_rel.gpu;";
    assert_eq!(run(&message(&grid_barrier(fence, fence)), TWO_BLOCKS).unwrap()[0], 9);
    let race = FaultKind::Race(global(64), Toucher::Thread(0, 31));
    assert_eq!(fault(&message(&grid_barrier("", fence)), TWO_BLOCKS), race, "nothing released");
    assert_eq!(fault(&message(&grid_barrier(fence, "")), TWO_BLOCKS), race, "nothing acquired");
    assert_eq!(fault(&message(""), TWO_BLOCKS), race);
    let early = message(&grid_barrier(fence, fence)).replace("$QUIET:\nbar.sync 0;", "$QUIET:");
    assert_eq!(fault(&early, TWO_BLOCKS), race, "the block's barrier before the fence is missing");
    let late = message(&grid_barrier(fence, fence)).replace("$OTHERS:\nbar.sync 0;", "$OTHERS:");
    assert_eq!(fault(&late, TWO_BLOCKS), race, "the block's barrier after the fence is missing");
}

#[test]
fn blocks_that_wait_for_a_block_that_is_not_there_are_told() {
    let fence = "fence.acq_rel.gpu;";
    let alone = Launch { blocks: 1, ..TWO_BLOCKS };
    assert_eq!(fault(&grid_barrier(fence, fence), alone), FaultKind::Deadlock);
    let in_turn = Launch { cooperative: false, ..TWO_BLOCKS };
    assert_eq!(
        fault(&grid_barrier(fence, fence), in_turn),
        FaultKind::Deadlock,
        "blocks that come one after the other"
    );
}

#[test]
fn atomic_operations_count_but_order_nothing_by_themselves() {
    assert_eq!(run("atom.global.add.u32 %r3, [%rd1], 1;", TWO_BLOCKS).unwrap()[0], 7 + 64);
    assert_eq!(run("atom.global.min.u32 %r3, [%rd1], %r1;", TWO_BLOCKS).unwrap()[0], 0);
    let mixed = "atom.global.add.u32 %r3, [%rd1], 1;\nld.global.u32 %r4, [%rd1];";
    assert!(matches!(fault(mixed, TWO_BLOCKS), FaultKind::Race(..)));
}

#[test]
fn what_the_machine_does_not_know_is_refused_with_its_line() {
    let refused = |statement: &str| kernel(statement).unwrap_err().to_string();
    assert_eq!(
        refused("fma.rn.f32 %r1, %r1, %r1, %r1;"),
        "line 12: an operation that the machine does not know: fma.rn.f32 %r1, %r1, %r1, %r1;"
    );
    for statement in
        ["add.rn.ftz.f32 %r1, %r1, %r1;", "red.global.add.f32 [%rd1], %r1;", "ld.global.nc.u32 %r3, [%rd1];"]
    {
        assert!(kernel(statement).is_err(), "{statement}");
    }
    assert!(refused("add.s32 %r9, %r1, %r1;").contains("not declared"));
    assert!(refused("bra $NOWHERE;").contains("no such label"));
    assert!(refused("@%p1 add.s32 %r3, %r1, %r1;").contains("a condition on something else than a branch"));
    assert!(refused("mov.u32 %r3, 4294967296;").contains("more than 32 bits"));
    assert!(refused("ld.param.u64 %rd2, [k_param_0+4];").contains("behind the parameter"));
    assert!(refused("ld.volatile.shared.u32 %r3, [0];").contains("a volatile load"));
    let endless = ".visible .entry k(\n)\n{\n.reg .b32 %r<2>;\nmov.u32 %r1, 0;\n}";
    assert!(Entry::parse(endless, "k").unwrap_err().to_string().contains("does not end with a return"));
    assert!(Entry::parse("// nothing", "k").unwrap_err().to_string().contains("no such kernel"));
}

#[test]
fn a_launch_must_suit_its_kernel() {
    let (kernel, mut machine) = (kernel("").unwrap(), Machine::default());
    let error = machine.launch(&kernel, ONE_WARP, &[&[0; 4]]).unwrap_err();
    assert_eq!(error.to_string(), "k takes arguments of [8] bytes, not of [4]");
    assert!(machine.launch(&kernel, ONE_WARP, &[]).is_err());
}

#[test]
fn the_host_stays_within_its_allocations() {
    let mut machine = Machine::default();
    let address = machine.allocate(8);
    assert!(machine.write(address + 4, &[1; 4]) && machine.read(address, 8).is_some());
    assert!(!machine.write(address + 5, &[1; 4]) && machine.read(address + 8, 1).is_none());
    assert!(!machine.write(0, &[1]) && !machine.free(address + 1));
    assert!(machine.free(address) && !machine.free(address) && machine.read(address, 1).is_none());
}
