/* The arithmetic of a DRAM bank, equal to sw/golden/pim.py on every bit. Accumulators are patterns of 32 bits. */
#ifndef CELOSIA_DRAM_MAC_H
#define CELOSIA_DRAM_MAC_H

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __FAST_MATH__
#error "FP32 sums must be those of IEEE 754: build without -ffast-math"
#endif
static_assert(FLT_EVAL_METHOD == 0, "FP32 sums must be rounded to FP32");

namespace dram {

constexpr uint32_t MOST_COLUMN_BYTES = 64;

inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A NaN becomes the one of golden models. */
inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return std::isnan(x) ? 0x7FC00000 : bits;
}

/* accumulator + weights . vector of a column of signed bytes; wraps around. */
inline uint32_t mac_int8(uint32_t accumulator, const uint8_t *weights, const uint8_t *vector, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; ++i) accumulator += uint32_t(int32_t(int8_t(weights[i])) * int32_t(int8_t(vector[i])));
    return accumulator;
}

inline float from_bf16(const uint8_t *bytes) {
    uint16_t pattern;
    memcpy(&pattern, bytes, sizeof pattern);
    return float_of(uint32_t(pattern) << 16);
}

/* The same of BF16 numbers, added in pairs. A product is exact in double: rounding it from there leaves nothing to fuse with a sum. */
inline uint32_t mac_bf16(uint32_t accumulator, const uint8_t *weights, const uint8_t *vector, uint32_t bytes) {
    float sums[MOST_COLUMN_BYTES / 2];
    const uint32_t lanes = bytes / 2;
    for (uint32_t i = 0; i < lanes; ++i) sums[i] = float(double(from_bf16(weights + 2 * i)) * double(from_bf16(vector + 2 * i)));
    for (uint32_t left = lanes / 2; left; left /= 2)
        for (uint32_t i = 0; i < left; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
    return bits_of(float_of(accumulator) + sums[0]);
}

inline uint32_t relu_int32(uint32_t accumulator) { return int32_t(accumulator) > 0 ? accumulator : 0; }

inline uint32_t relu_fp32(uint32_t accumulator) {
    const float x = float_of(accumulator);
    return x > 0 || std::isnan(x) ? bits_of(x) : 0;
}

} /* namespace dram */

#endif
