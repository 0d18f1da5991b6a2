"""The stand-ins for lz4.h and zlib.h write the real formats."""

import subprocess
import zlib
from pathlib import Path

import pytest
from celosia.gen import fst

_PROGRAM = """
#include <cstdint>
#include <iostream>
#include <iterator>
#include <vector>
#include "lz4.h"
#include "zlib.h"
int main(int, char **argv) {
    std::vector<char> in{std::istreambuf_iterator<char>(std::cin), {}};
    std::vector<char> out(argv[1][0] == 'l' ? LZ4_compressBound(in.size()) : compressBound(in.size()));
    uLongf size = out.size();
    if (argv[1][0] == 'l')
        size = LZ4_compress_default(in.data(), out.data(), in.size(), out.size());
    else if (compress2((Bytef *)out.data(), &size, (const Bytef *)in.data(), in.size(), 4) != Z_OK)
        return 1;
    if (size > out.size()) return 2;
    std::cout.write(out.data(), size);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fst")
    for name, text in (("lz4.h", fst.LZ4_H), ("zlib.h", fst.ZLIB_H), ("main.cpp", _PROGRAM)):
        (folder / name).write_text(text)
    subprocess.run(["g++", "-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-I.", "main.cpp"], cwd=folder, check=True)
    return folder / "a.out"


def lz4_literals(block: bytes) -> bytes:
    """The content of an LZ4 block of one sequence without a match, which is how every block must end."""
    assert block[0] & 0xF == 0
    length, at = block[0] >> 4, 1
    while length >= 15 and (at == 1 or block[at - 1] == 255):
        length, at = length + block[at], at + 1
    assert len(block) == at + length
    return block[at:]


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 269, 270, 271, 65534, 65535, 65536, 200_000])
def test_formats(program: Path, size: int) -> None:
    data = bytes(i * i % 251 for i in range(size))
    packed = [subprocess.run([program, name], input=data, stdout=subprocess.PIPE, check=True).stdout for name in ("lz4", "zlib")]
    assert lz4_literals(packed[0]) == data
    assert zlib.decompress(packed[1]) == data
