"""Stand-ins for lz4.h and zlib.h, so that waveforms need no system package.

Verilator's FST writer wants three functions of the two libraries and keeps what is smaller, the original or the
compressed data. These write the libraries' formats without compressing anything.
"""

LZ4_H = r"""/* Celosia's stand-in: the LZ4 block format, all literals. */
#pragma once
#include <cstring>

static inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

static inline int LZ4_compress_default(const char *source, char *target, int size, int) {
    char *out = target;
    *out++ = static_cast<char>((size < 15 ? size : 15) << 4);
    if (size >= 15) {
        int rest = size - 15;
        for (; rest >= 255; rest -= 255) *out++ = static_cast<char>(255);
        *out++ = static_cast<char>(rest);
    }
    std::memcpy(out, source, size);
    return static_cast<int>(out - target) + size;
}
"""

ZLIB_H = r"""/* Celosia's stand-in: the zlib format, all stored blocks. */
#pragma once
#include <cstring>

typedef unsigned char Bytef;
typedef unsigned long uLong, uLongf;
enum { Z_OK = 0 };

static inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

static inline int compress2(Bytef *target, uLongf *target_size, const Bytef *source, uLong size, int) {
    Bytef *out = target;
    *out++ = 0x78;
    *out++ = 0x01;
    uLong a = 1, b = 0;
    for (uLong i = 0; i < size; ++i) {
        a = (a + source[i]) % 65521;
        b = (b + a) % 65521;
    }
    do {
        const uLong length = size < 65535 ? size : 65535;
        *out++ = length == size;
        for (uLong half : {length, ~length}) {
            *out++ = half & 0xFF;
            *out++ = half >> 8 & 0xFF;
        }
        std::memcpy(out, source, length);
        out += length;
        source += length;
        size -= length;
    } while (size);
    for (uLong byte : {b >> 8, b, a >> 8, a}) *out++ = byte & 0xFF;
    *target_size = out - target;
    return Z_OK;
}
"""
