#include "kernels.h"

#define EXPORT __attribute__((visibility("default"), noinline))

static uint8_t buffer[65536];
static uint32_t numbers[65536];
static uint32_t links[262144];
static double matrices[3][64][64];

EXPORT uint32_t kernel_nothing(uint32_t value)
{
    return value + 1;
}

EXPORT uint8_t *kernel_buffer(void)
{
    return buffer;
}

EXPORT uint32_t kernel_message(uint32_t len)
{
    buffer[0] ^= 1;
    return (uint32_t)(buffer[0] + buffer[len - 1]);
}

static uint32_t next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

static void sha256_block(uint32_t state[8], const uint8_t *at)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)at[4 * i] << 24 | (uint32_t)at[4 * i + 1] << 16 | (uint32_t)at[4 * i + 2] << 8 | at[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (ROTATE(w[i - 15], 7) ^ ROTATE(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (ROTATE(w[i - 2], 17) ^ ROTATE(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (int i = 0; i < 8; i++)
        s[i] = state[i];
    for (int i = 0; i < 64; i++) {
        uint32_t t = s[7] + (ROTATE(s[4], 6) ^ ROTATE(s[4], 11) ^ ROTATE(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) +
                     k[i] + w[i];
        uint32_t u =
            (ROTATE(s[0], 2) ^ ROTATE(s[0], 13) ^ ROTATE(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t;
        s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t + u;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

EXPORT uint32_t kernel_sha256(uint32_t rounds)
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (uint32_t i = 0; i < sizeof(buffer); i++)
        buffer[i] = (uint8_t)(i * 7);
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t off = 0; off < sizeof(buffer); off += 64)
            sha256_block(state, buffer + off);
    return state[0];
}

static uint32_t write_json(void)
{
    static const char sample[] = "{\"source\":\"room-12/co2\",\"time\":\"2015-02-02T14:19:00Z\",\"properties\":"
                                 "{\"value\":412.5e0,\"ok\":true,\"list\":[1,-2,3.25,null,\"a\\n\\u00e9\"]}},\n";
    uint32_t len = 0;
    while (len + sizeof(sample) < sizeof(buffer))
        for (uint32_t i = 0; i + 1 < sizeof(sample); i++)
            buffer[len++] = (uint8_t)sample[i];
    return len;
}

static uint32_t skip_string(uint32_t at, uint32_t len)
{
    while (at < len && buffer[at] != '"')
        at += buffer[at] == '\\' ? 2 : 1;
    return at + 1;
}

EXPORT uint32_t kernel_json(uint32_t rounds)
{
    uint32_t len = write_json(), sum = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t depth = 0, at = 0;
        while (at < len) {
            uint8_t c = buffer[at++];
            switch (c) {
            case '"':
                at = skip_string(at, len);
                sum += 3;
                break;
            case '{':
            case '[':
                depth++;
                break;
            case '}':
            case ']':
                depth--;
                break;
            case ',':
            case ':':
            case ' ':
            case '\n':
                break;
            default:
                while (at < len && ((buffer[at] >= '0' && buffer[at] <= '9') || buffer[at] == '.' ||
                                    (buffer[at] >= 'a' && buffer[at] <= 'z')))
                    sum += buffer[at++];
            }
            sum += depth;
        }
    }
    return sum;
}

/* Hoare's partition; the larger half by loop. */
static void quicksort(int32_t low, int32_t high)
{
    while (low < high) {
        uint32_t pivot = numbers[low + (high - low) / 2];
        int32_t i = low - 1, j = high + 1;
        for (;;) {
            while (numbers[++i] < pivot)
                ;
            while (numbers[--j] > pivot)
                ;
            if (i >= j)
                break;
            uint32_t swap = numbers[i];
            numbers[i] = numbers[j];
            numbers[j] = swap;
        }
        if (j - low < high - j) {
            quicksort(low, j);
            low = j + 1;
        } else {
            quicksort(j + 1, high);
            high = j;
        }
    }
}

EXPORT uint32_t kernel_quicksort(uint32_t rounds)
{
    uint32_t state = 1, sum = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < 65536; i++)
            numbers[i] = next(&state);
        quicksort(0, 65535);
        sum += numbers[1000];
        for (uint32_t i = 1; i < 65536; i++)
            sum += numbers[i - 1] > numbers[i] ? 1u << 31 : 0;
    }
    return sum;
}

EXPORT uint32_t kernel_matmul(uint32_t rounds)
{
    for (int i = 0; i < 64; i++)
        for (int j = 0; j < 64; j++) {
            matrices[0][i][j] = i + j * 0.5;
            matrices[1][i][j] = i - j * 0.25;
        }
    double sum = 0;
    for (uint32_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 64; i++)
            for (int j = 0; j < 64; j++) {
                double cell = 0;
                for (int l = 0; l < 64; l++)
                    cell += matrices[0][i][l] * matrices[1][l][j];
                matrices[2][i][j] = cell;
            }
        sum += matrices[2][round & 63][63];
    }
    return (uint32_t)(int64_t)sum;
}

EXPORT uint32_t kernel_chase(uint32_t rounds)
{
    uint32_t state = 7, at = 0;
    for (uint32_t i = 0; i < 262144; i++)
        links[i] = i;
    for (uint32_t i = 262143; i > 0; i--) { /* one cycle through all */
        uint32_t j = next(&state) % i, swap = links[i];
        links[i] = links[j];
        links[j] = swap;
    }
    for (uint32_t round = 0; round < rounds; round++)
        for (uint32_t step = 0; step < 262144; step++)
            at = links[at];
    return at;
}
