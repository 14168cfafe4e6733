#!/usr/bin/env python3
"""Instructions and estimated Cortex-M4 cycles of one inference, from an execution in QEMU.

Usage: estimate-cycles.py FIRMWARE MODEL [--budget-cycles N] [--budget-instructions N]

FIRMWARE is the ELF file that a board is flashed with, MODEL a model file. QEMU boots it; the self-test of the boot
checks is one inference of the golden image, and each instruction that the forward pass executes is logged
and counted at its cost in the tables below. The estimate leaves out what depends on the board: wait states of the flash.

Costs: ARM DDI 0439B (Cortex-M4 Technical Reference Manual), table 3-1 and, for the floating-point unit, table 7-1.
Where the manual gives a range, the upper end is taken, with these exceptions, stated there too: a load or store that
follows another load (3.3.2, "neighboring load and store single instructions can pipeline") is still counted in full.
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile

FLASH = 0x0800_0000
MODEL_AREA = 0x0801_0000
# The forward pass of a model, by the version of its file, and the loops in assembly that it calls: f32, int8.
FUNCTIONS = {1: ["7forward7forward", "convolve_window", "add_products"], 2: ["12int8_forward12int8_forward", "int8_conv1", "int8_conv2", "int8_fc1"]}

# Cycles of an instruction by its mnemonic, without conditions and width suffixes. P is the refill of the pipeline after
# a taken branch, 1 to 3 cycles.
P = 3
COSTS = {
    # Floating point, table 7-1.
    "vadd": 1, "vsub": 1, "vmul": 1, "vnmul": 1, "vabs": 1, "vneg": 1, "vcmp": 1, "vcmpe": 1, "vmov": 1, "vmrs": 1,
    "vmla": 3, "vmls": 3, "vfma": 3, "vfms": 3, "vdiv": 14, "vsqrt": 14, "vcvt": 1, "vldr": 2, "vstr": 2,
    # Integers, table 3-1.
    "mov": 1, "movw": 1, "movt": 1, "mvn": 1, "add": 1, "addw": 1, "adc": 1, "sub": 1, "subw": 1, "sbc": 1, "rsb": 1,
    "cmp": 1, "cmn": 1, "tst": 1, "teq": 1, "and": 1, "orr": 1, "orn": 1, "eor": 1, "bic": 1, "lsl": 1, "lsr": 1,
    "asr": 1, "ror": 1, "uxtb": 1, "uxth": 1, "sxtb": 1, "sxth": 1, "ubfx": 1, "sbfx": 1, "bfi": 1, "bfc": 1, "clz": 1,
    "mul": 1, "mla": 2, "mls": 2, "umull": 1, "smull": 1, "umlal": 1, "udiv": 12, "sdiv": 12, "nop": 1, "it": 1,
    "smlad": 1, "smlabb": 1, "smlabt": 1, "smlatb": 1, "smlatt": 1, "smmla": 1, "uxtb16": 1, "sxtb16": 1, "pkhbt": 1, "pkhtb": 1, "umaal": 1, "usat": 1, "ssat": 1,
    "ldr": 2, "ldrb": 2, "ldrh": 2, "ldrsb": 2, "ldrsh": 2, "str": 2, "strb": 2, "strh": 2, "ldrd": 3, "strd": 3,
}
# They take one cycle longer if the next instruction consumes their result (the text under table 7-1).
ARITHMETIC = {"vadd", "vsub", "vmul", "vnmul", "vmla", "vmls", "vfma", "vfms", "vdiv", "vsqrt", "vcvt"}
# 1 + N cycles for N registers.
MULTIPLE = {"vldm", "vldmia", "vldmdb", "vstm", "vstmia", "vstmdb", "vpush", "vpop",
            "ldm", "ldmia", "stm", "stmia", "push", "pop", "ldmdb", "stmdb"}
# 1 + P cycles if taken, 1 if not.
BRANCHES = {"b", "bl", "bx", "blx", "cbz", "cbnz", "tbb", "tbh"}
CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le"


def registers(operands):
    """Number of registers in an operand list such as `{r4-r7, lr}`."""
    count = 0
    for item in re.search(r"\{(.*)\}", operands).group(1).split(","):
        ends = re.findall(r"\d+", item)
        is_range = "-" in item and len(ends) == 2
        count += int(ends[1]) - int(ends[0]) + 1 if is_range else 1
    return count


def base_mnemonic(text):
    """`vadd.f32`, `addeq.w`, `subs` and the like without suffixes."""
    name = text.split(".")[0]
    if name.startswith("it"):
        return "it"
    known = COSTS.keys() | MULTIPLE | BRANCHES
    for candidate in (name, re.sub(f"({CONDITIONS})$", "", name), re.sub("s$", "", name),
                      re.sub("s$", "", re.sub(f"({CONDITIONS})$", "", name))):
        if candidate in known:
            return candidate
    sys.exit(f"no cost for the instruction '{text}': add it from ARM's manual")


class Instruction:
    """One instruction of the program: its length in bytes and its cost."""

    def __init__(self, address, length, text, operands):
        self.address, self.length = address, length
        self.name = base_mnemonic(text)
        self.operands = re.findall(r"s\d+|r\d+|lr|sp|pc", operands.split("@")[0])
        self.is_branch = self.name in BRANCHES
        self.is_return = self.name == "pop" and "pc" in operands
        if self.is_branch:
            self.cycles = 1
        elif self.name in MULTIPLE:
            self.cycles = 1 + registers(operands)
            # Loading the program counter is a branch.
            self.cycles += P if self.is_return else 0
        else:
            self.cycles = COSTS[self.name]


    def consumes_result_of(self, previous):
        """Whether this instruction waits a cycle for the floating-point unit (the text under table 7-1)."""
        if previous.name not in ARITHMETIC or not previous.operands:
            return False
        sources = self.operands if self.name in ("vcmp", "vcmpe", "vstr", "vmla", "vmls") else self.operands[1:]
        return previous.operands[0] in sources


def find_function(firmware, name):
    symbols = subprocess.run(["readelf", "-sW", firmware], check=True, capture_output=True, text=True, errors="replace")
    for line in symbols.stdout.splitlines():
        fields = line.split()
        if len(fields) == 8 and name in fields[7] and fields[3] == "FUNC":
            return int(fields[1], 16) & ~1, int(fields[2], 0)
    sys.exit(f"{firmware}: no function {name}")


def disassemble(firmware, start, size):
    command = ["llvm-objdump", "-d", "--mcpu=cortex-m4", f"--start-address={start}", f"--stop-address={start + size}", firmware]
    listing = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout
    instructions = {}
    for line in listing.splitlines():
        match = re.match(r"\s*([0-9a-f]+):\s+((?:[0-9a-f]{2} ?)+|(?:[0-9a-f]{4} ?)+)\s+([a-z][\w.]*)\s*(.*)", line)
        if match and not match.group(3).startswith("."):
            address = int(match.group(1), 16)
            length = len(match.group(2).replace(" ", "")) // 2
            instructions[address] = Instruction(address, length, match.group(3), match.group(4))
    return instructions


def flash_image(firmware, model, path):
    """What a programmer writes to flash: the program, and the model in its area."""
    program = path + ".program"
    subprocess.run(["llvm-objcopy", "-O", "binary", "--remove-section=.model", firmware, program], check=True)
    with open(program, "rb") as file:
        image = file.read().ljust(MODEL_AREA - FLASH, b"\xff")
    with open(model, "rb") as file:
        image += file.read()
    with open(path, "wb") as file:
        file.write(image)


def executed(image, functions):
    """The addresses that QEMU executes within the functions, in order."""
    ranges = ",".join(f"{start:#x}+{size:#x}" for start, size in functions)
    command = ["qemu-system-arm", "-M", "netduinoplus2", "-display", "none", "-monitor", "none", "-serial", "null",
               "-serial", "null", "-kernel", image, "-icount", "shift=0", "-singlestep", "-d", "exec,nochain",
               "-dfilter", ranges, "-D", "/dev/stdout"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as qemu:
        try:
            for line in qemu.stdout:
                match = re.search(r"\[[0-9a-f]+/([0-9a-f]+)/", line)
                if match:
                    yield int(match.group(1), 16)
        finally:
            qemu.kill()


def estimate(firmware, model):
    with open(model, "rb") as file:
        version = int.from_bytes(file.read(8)[4:], "little")
    functions = [find_function(firmware, name) for name in FUNCTIONS[version]]
    instructions = {}
    for start, size in functions:
        instructions |= disassemble(firmware, start, size)
    start, size = functions[0]
    counts = collections.Counter()
    cycles = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        image = os.path.join(folder, "flash.bin")
        flash_image(firmware, model, image)
        previous = None
        for address in executed(image, functions):
            instruction = instructions[address]
            if previous is not None and previous.is_branch and address != previous.address + previous.length:
                cycles[previous.name] += P
            if previous is not None and instruction.consumes_result_of(previous):
                cycles[previous.name] += 1
            counts[instruction.name] += 1
            cycles[instruction.name] += instruction.cycles
            previous = instruction
            if instruction.is_return and start <= address < start + size:
                return counts, cycles
    sys.exit("QEMU stopped before the inference was done")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("firmware")
    parser.add_argument("model")
    parser.add_argument("--budget-cycles", type=int)
    parser.add_argument("--budget-instructions", type=int)
    arguments = parser.parse_args()
    counts, cycles = estimate(arguments.firmware, arguments.model)
    print(f"{'instruction':12} {'executed':>10} {'cycles':>10}")
    for name, count in counts.most_common():
        print(f"{name:12} {count:10} {cycles[name]:10}")
    total, total_cycles = counts.total(), cycles.total()
    print(f"{'total':12} {total:10} {total_cycles:10}")
    for what, value, budget in (("cycles", total_cycles, arguments.budget_cycles),
                                ("instructions", total, arguments.budget_instructions)):
        if budget is not None and value > budget:
            sys.exit(f"an inference takes {value} {what}, {value - budget} more than the budget")


if __name__ == "__main__":
    main()
