#!/usr/bin/env python3
"""CUDA C++ to PTX through the NVRTC library: nvrtc.py LIBNVRTC SOURCE.cu OUTPUT.ptx [OPTION…]

https://docs.nvidia.com/cuda/nvrtc/
"""

import ctypes
import os
import sys


def compile_ptx(nvrtc: ctypes.CDLL, source: str, options: list[str]) -> bytes:
    """The PTX of a source file. Exits with NVRTC's log if the source does not compile."""

    def check(code: int) -> None:
        if code != 0:
            nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
            sys.exit(f"error: NVRTC on {source}: {nvrtc.nvrtcGetErrorString(code).decode()}")

    def read(size_function, text_function) -> bytes:
        size = ctypes.c_size_t()
        check(size_function(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        check(text_function(program, buffer))
        return buffer.value

    with open(source, "rb") as file:
        text = file.read()
    program = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, os.path.basename(source).encode(), 0, None, None))
    arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    code = nvrtc.nvrtcCompileProgram(program, len(options), arguments)
    sys.stderr.write(read(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog).decode())
    check(code)
    return read(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX)


def main() -> None:
    library, source, output, *options = sys.argv[1:]
    ptx = compile_ptx(ctypes.CDLL(library), source, options)
    with open(output, "wb") as file:
        file.write(ptx)


if __name__ == "__main__":
    main()
