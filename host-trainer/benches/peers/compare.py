"""Takes turns with the peers and this trainer and compares seconds; see compare.sh.

Every setting of every peer has one turn in each round, then this trainer; the least of all rounds counts, of a peer that of
its best setting. All are pinned to the same cores, and one runs at a time.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PEERS = {
    "pytorch": "pytorch.py",
    "tensorflow": "tensorflow_peer.py",
    "onnxruntime": "onnx_runtime.py",
    "openvino": "openvino_peer.py",
}


class Peer:
    """A peer's process, which waits for its turns."""

    def __init__(self, program, data, model, threads):
        command = [sys.executable, HERE / program, data, model, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        about = json.loads(self.process.stdout.readline())
        self.name = about["name"]
        self.seconds = {(what, setting): math.inf for what in ("training", "evaluation") for setting in about[what]}

    def take_turn(self):
        for (what, setting), least in self.seconds.items():
            if math.isnan(least):
                continue
            self.process.stdin.write(f"{what} {setting}\n")
            self.process.stdin.flush()
            took = float(self.process.stdout.readline())
            self.seconds[what, setting] = took if math.isnan(took) else min(least, took)

    def best(self, what):
        """Seconds and setting; nothing where the peer does not do that."""
        found = [(took, setting) for (of, setting), took in self.seconds.items() if of == what and math.isfinite(took)]
        return min(found, default=None)


class Trainer:
    """This trainer: a run of an epoch a turn, whose record has the seconds."""

    def __init__(self, arguments, threads, simd):
        self.name = f"this trainer, {simd or 'widest level'}"
        self.command = [arguments.trainer, "train", "--quiet", "--backend", "cpu", "--dataset", "mnist"]
        self.command += ["--data", arguments.data, "--epochs", "1", "--threads", str(threads)]
        self.command += ["--simd", simd] if simd else []
        self.seconds = {"training": math.inf, "evaluation": math.inf}

    def take_turn(self):
        with tempfile.TemporaryDirectory() as out:
            subprocess.run([*self.command, "--out", out], check=True, stdout=subprocess.DEVNULL)
            record = json.loads((pathlib.Path(out) / "run.json").read_text())["seconds"]
        self.seconds = {what: min(least, record[what]) for what, least in self.seconds.items()}

    def best(self, what):
        return self.seconds[what], ""


def bounds(data):
    """What each SIMD level's arithmetic allows at best on one core, the widest first: {level: {"training": seconds, …}}."""
    command = ["cargo", "bench", "--quiet", "--locked", "--package", "host-trainer", "--bench", "bound", "--"]
    table = subprocess.run([*command, os.path.abspath(data)], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [line.split() for line in table.splitlines()[2:]]
    return {level: {"training": float(training), "evaluation": float(evaluation)} for level, _, training, evaluation in rows}


def compare(arguments, threads, model):
    cores = set(sorted(os.sched_getaffinity(0))[-threads:])
    os.sched_setaffinity(0, cores)
    ours = [Trainer(arguments, threads, simd) for simd in [None, *arguments.simd]]
    peers = [Peer(PEERS[name], arguments.data, model, threads) for name in arguments.peers]
    bound = bounds(arguments.data)
    for _ in range(arguments.rounds):
        for one in [*peers, *ours]:
            one.take_turn()
    for peer in peers:
        peer.process.stdin.close()
        peer.process.wait()
        if arguments.all:
            for (what, setting), took in peer.seconds.items():
                print(f"    {peer.name}, {what}, {setting}: {took:.3f}")
    for what in ("training", "evaluation"):
        base = ours[0].best(what)[0]
        print(f"{what}, {threads} thread(s), seconds, and how many times the first's:")
        for one in [*ours, *peers]:
            if best := one.best(what):
                print(f"  {best[0]:7.3f}  {best[0] / base:5.2f}  {one.name}{best[1] and ': '}{best[1]}")
        for level in [next(iter(bound)), *arguments.simd]:
            least = bound[level][what] / threads
            print(f"  {least:7.3f}  {least / base:5.2f}  the bound of {level}'s arithmetic")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainer", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", default="firmware/model/mnist.cnnm", help="what the peers for inference are given")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--simd", nargs="*", default=[], help="levels to compare besides the widest")
    parser.add_argument("--all", action="store_true", help="print every setting, not only the best")
    arguments = parser.parse_args()
    cores = os.sched_getaffinity(0)
    print(f"{platform.machine()}, {len(cores)} cores; an epoch of training is 60,000 images, evaluation 70,000")
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.onnx"
        subprocess.run([arguments.trainer, "export", arguments.model, model], check=True, stdout=subprocess.DEVNULL)
        for threads in arguments.threads:
            os.sched_setaffinity(0, cores)
            compare(arguments, threads, model)


if __name__ == "__main__":
    main()
