/* Streaming log-mel on the device: the CUDA form of engines/frontend.py, in two kernels.
 *
 *   logmel_frames   one block a frame: sample ring -> window -> real FFT -> power -> mel -> dB -> mel ring
 *   logmel_window   one block a tile of 32 x 32: mel ring -> reference, top_db, scale, offset -> the network's input
 *
 * blockIdx.y is the stream: a microphone, or a clip of a batch. Plain CUDA C: nvcc 10.2 to 13, NVRTC, PyCUDA, and
 * g++ through tests/cuda_cpu. No warp intrinsics, no dynamic shared memory; every loop strides over the block, so any
 * block size that is a power of two gives the same result, 1 included.
 *
 * A frame costs shared memory's bandwidth, not arithmetic and not DRAM. Hence radix 8 with the last pass kept in
 * registers until the power is known, no spectrum in memory, and mel bands in jobs of at most eight bins that weigh
 * each bin once for both triangles over it. FFT: Stockham, after Govindaraju et al. (SC 2008); two real samples make
 * one complex one.
 */

/* Given by engines/cuda/kernels.py: N_FFT (256 to 4096), HOP, N_MELS, N_JOBS, WINDOW_FRAMES, REFERENCE_MAX, BLOCK. */
#if N_FFT < 256 || N_FFT > 4096 || (N_FFT & (N_FFT - 1)) != 0
#error "N_FFT must be a power of two from 256 to 4096"
#endif
#define HALF (N_FFT / 2) /* points of the complex FFT */
#if HALF == 512
#define FIRST 8 /* radix of the first pass: what is left when radix 8 has divided */
#elif HALF == 256 || HALF == 2048
#define FIRST 4
#else
#define FIRST 2
#endif
#if HALF >= 1024
#define LAST 0 /* the buffer that the last pass reads */
#else
#define LAST 1
#endif
#define TILE 32

/* XOR swizzles, linear over bits: a ^ b swizzles to SPREAD(a) ^ SPREAD(b). With them every read and write of the
 * passes (half-warps of float2) is free of bank conflicts, but for one lane in sixteen of the mirrored half. */
#define SPREAD(i) ((i) ^ (((i) >> 4) & 7) ^ ((((i) >> 4) & 7) << 1))
#define SPREAD_POWER(k) ((k) ^ (((k) >> 5) & 7)) /* jobs start some eight bins apart */

/* 1024 threads on a multiprocessor, so at most 64 registers each on every architecture from sm_53 on. */
#define BLOCKS_AT_LEAST (1024 / BLOCK)

#define DEVICE static __device__ __forceinline__

DEVICE float2 add(float2 a, float2 b) { return make_float2(a.x + b.x, a.y + b.y); }
DEVICE float2 sub(float2 a, float2 b) { return make_float2(a.x - b.x, a.y - b.y); }
DEVICE float2 mul(float2 a, float2 b) { return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x); }
DEVICE float2 turn(float2 a) { return make_float2(a.y, -a.x); } /* times -i */

DEVICE void fft4(float2 *v)
{
    const float2 a = add(v[0], v[2]), b = sub(v[0], v[2]), c = add(v[1], v[3]), d = turn(sub(v[1], v[3]));
    v[0] = add(a, c);
    v[1] = add(b, d);
    v[2] = sub(a, c);
    v[3] = sub(b, d);
}

DEVICE void fft8(float2 *v)
{
    const float root = 0.70710678118654752f;
    float2 even[4], odd[4];
    int r;
#pragma unroll
    for (r = 0; r < 4; r++) {
        even[r] = add(v[r], v[r + 4]);
        odd[r] = sub(v[r], v[r + 4]);
    }
    odd[1] = make_float2(root * (odd[1].x + odd[1].y), root * (odd[1].y - odd[1].x));
    odd[2] = turn(odd[2]);
    odd[3] = make_float2(root * (odd[3].y - odd[3].x), -root * (odd[3].x + odd[3].y));
    fft4(even);
    fft4(odd);
#pragma unroll
    for (r = 0; r < 4; r++) {
        v[2 * r] = even[r];
        v[2 * r + 1] = odd[r];
    }
}

#if FIRST == 8
#define fft_first fft8
#elif FIRST == 4
#define fft_first fft4
#else
DEVICE void fft_first(float2 *v)
{
    const float2 a = v[0];
    v[0] = add(a, v[1]);
    v[1] = sub(a, v[1]);
}
#endif

/* Two neighbouring samples of a frame, windowed, as one complex number.  `at` is at most once around the ring. */
DEVICE float2 load_pair(const float *__restrict__ ring, int ring_samples, int at, float2 window)
{
    if (at >= ring_samples) at -= ring_samples;
#if HOP % 2 == 0 /* then frames start at even places of a ring of even length */
    const float2 pair = ((const float2 *)ring)[at >> 1];
    return make_float2(pair.x * window.x, pair.y * window.y);
#else
    int next = at + 1;
    if (next >= ring_samples) next -= ring_samples;
    return make_float2(ring[at] * window.x, ring[next] * window.y);
#endif
}

DEVICE void first_pass(const float *__restrict__ ring, int ring_samples, int start,
                       const float2 *__restrict__ window, float2 *to)
{
    int j, r;
    for (j = threadIdx.x; j < HALF / FIRST; j += blockDim.x) {
        const int place = SPREAD(j * FIRST);
        float2 v[FIRST];
#pragma unroll
        for (r = 0; r < FIRST; r++) {
            const int n = j + r * (HALF / FIRST);
            v[r] = load_pair(ring, ring_samples, start + 2 * n, window[n]);
        }
        fft_first(v);
#pragma unroll
        for (r = 0; r < FIRST; r++) to[place ^ SPREAD(r)] = v[r];
    }
}

/* Butterfly j of a pass behind passes of `done` points.  twiddle[r - 1][k] = exp(-2 pi i r k / (8 done)): all seven are
 * read, because products of some would cost five times the error. */
DEVICE void butterfly8(const float2 *from, const float2 *__restrict__ twiddle, int done, int j, float2 *v)
{
    const int place = SPREAD(j), k = j & (done - 1);
        int r;
#pragma unroll
    for (r = 0; r < 8; r++) v[r] = from[place ^ SPREAD(r * (HALF / 8))];
#pragma unroll
    for (r = 1; r < 8; r++) v[r] = mul(v[r], twiddle[(r - 1) * done + k]);
    fft8(v);
}

DEVICE void middle_pass(const float2 *from, float2 *to, const float2 *__restrict__ twiddle, int done)
{
    int j, r;
    for (j = threadIdx.x; j < HALF / 8; j += blockDim.x) {
        const int k = j & (done - 1), place = SPREAD((j - k) * 8 + k);
        float2 v[8];
        butterfly8(from, twiddle, done, j, v);
#pragma unroll
        for (r = 0; r < 8; r++) to[place ^ SPREAD(r * done)] = v[r];
    }
}

/* Points k and HALF - k of the complex spectrum -> power of the real one there; w = exp(-2 pi i k / N_FFT). */
DEVICE void store_power(float2 a, float2 b, float2 w, int k, float *power)
{
    const float2 even = make_float2(0.5f * (a.x + b.x), 0.5f * (a.y - b.y));
    const float2 odd = mul(make_float2(0.5f * (a.y + b.y), 0.5f * (b.x - a.x)), w);
    const float2 p = add(even, odd), q = sub(even, odd);
    power[SPREAD_POWER(k)] = p.x * p.x + p.y * p.y;
    power[SPREAD_POWER(HALF - k)] = q.x * q.x + q.y * q.y;
}

/* Butterflies j and HALF / 8 - j hold each other's mirror images, so a thread that has both needs no memory to join
 * them. Butterflies 0 and HALF / 16 mirror themselves and go together. Bins 0 and HALF have no weight in any band. */
DEVICE void last_pass(const float2 *from, const float2 *__restrict__ twiddle, const float2 *__restrict__ untangle,
                      float *power)
{
    int j, r;
    for (j = threadIdx.x; j < HALF / 16; j += blockDim.x) {
        float2 a[8], b[8];
        butterfly8(from, twiddle, HALF / 8, j, a);
        butterfly8(from, twiddle, HALF / 8, j == 0 ? HALF / 16 : HALF / 8 - j, b);
        if (j == 0) {
#pragma unroll
            for (r = 0; r < 4; r++) {
                const int k = (r + 1) * (HALF / 8), m = HALF / 16 + r * (HALF / 8);
                store_power(a[r + 1], a[7 - r], untangle[k], k, power);
                store_power(b[r], b[7 - r], untangle[m], m, power);
            }
        } else {
#pragma unroll
            for (r = 0; r < 8; r++) {
                const int k = j + r * (HALF / 8);
                store_power(a[r], b[7 - r], untangle[k], k, power);
            }
        }
    }
}

/* A job is a run of at most eight bins under the same two triangles: the one that rises and the one that falls. */
DEVICE void weigh_bins(const float *power, const int *__restrict__ jobs, const float2 *__restrict__ weights,
                       float2 *sums)
{
    int j, c;
    for (j = threadIdx.x; j < N_JOBS; j += blockDim.x) {
        const int first = jobs[j] & 0xffff, count = jobs[j] >> 16;
        float2 sum = make_float2(0.0f, 0.0f);
        for (c = 0; c < count; c++) {
            const float2 weight = weights[c * N_JOBS + j];
            const float p = power[SPREAD_POWER(first + c)];
            sum.x += weight.x * p;
            sum.y += weight.y * p;
        }
        sums[j] = sum;
    }
}

/* Band j rises over the jobs of run j and falls over those of run j + 1. */
DEVICE void finish_bands(const float2 *sums, const int *__restrict__ runs, float amin, float *row, float *level_db)
{
    int j, c;
    for (j = threadIdx.x; j < N_MELS; j += blockDim.x) {
        const int begin = runs[j], middle = runs[j + 1], end = runs[j + 2];
        float sum = 0.0f, db;
        for (c = begin; c < middle; c++) sum += sums[c].x;
        for (c = middle; c < end; c++) sum += sums[c].y;
        db = 10.0f * log10f(fmaxf(sum, amin));
        row[j] = db;
        level_db[j] = db;
    }
}

/* The greatest of `count` values, in thread 0; scratch has TILE places.  All threads call it. */
DEVICE float find_maximum(const float *values, int count, float *scratch)
{
    float maximum = -3.0e38f;
    int i, j;
    for (i = threadIdx.x; i < TILE; i += blockDim.x) {
        maximum = -3.0e38f;
        for (j = i; j < count; j += TILE) maximum = fmaxf(maximum, values[j]);
        scratch[i] = maximum;
    }
    __syncthreads();
    if (threadIdx.x == 0)
        for (i = 0; i < TILE; i++) maximum = fmaxf(maximum, scratch[i]);
    return maximum;
}

/* grid: (frames, streams).  Frame f of the launch begins at sample (head + f * HOP) of its ring and goes to row
 * (slot + f) of its mel ring, both modulo the ring's size.
 *   ring      [streams][ring_samples], ring_samples even;  head < ring_samples, and all frames lie within one round
 *   mel_ring  [streams][ring_frames][N_MELS] dB;  frame_db [streams][ring_frames], the loudest band of each row */
extern "C" __global__ void __launch_bounds__(BLOCK, BLOCKS_AT_LEAST)
logmel_frames(const float *ring, int ring_samples, int head,
              const float2 *window, const float2 *twiddle,
              const int *jobs, const int *runs, const float2 *weights, float amin,
              float *mel_ring, float *frame_db, int ring_frames, int slot)
{
    __shared__ float2 z[2][HALF];
    __shared__ float level_db[N_MELS];
    const int start = head + (int)blockIdx.x * HOP;
    const long long row = (long long)blockIdx.y * ring_frames + (slot + (int)blockIdx.x) % ring_frames;
    float *power = (float *)z[LAST ^ 1]; /* the last pass reads the other buffer, and nobody this one any more */

    first_pass(ring + (long long)blockIdx.y * ring_samples, ring_samples, start, window, z[0]);
    __syncthreads();
    middle_pass(z[0], z[1], twiddle, FIRST);
    __syncthreads();
#if HALF >= 1024
    middle_pass(z[1], z[0], twiddle + 7 * FIRST, 8 * FIRST);
    __syncthreads();
    last_pass(z[LAST], twiddle + 63 * FIRST, twiddle + 511 * FIRST, power);
#else
    last_pass(z[LAST], twiddle + 7 * FIRST, twiddle + 63 * FIRST, power);
#endif
    __syncthreads();
    weigh_bins(power, jobs, weights, z[LAST]);
    __syncthreads();
    finish_bands(z[LAST], runs, amin, mel_ring + row * N_MELS, level_db);
#if REFERENCE_MAX
    __syncthreads();
    {
        const float loudest_db = find_maximum(level_db, N_MELS, power);
        if (threadIdx.x == 0) frame_db[row] = loudest_db;
    }
#endif
}

/* grid: (tiles of TILE frames x TILE bands, streams).  The WINDOW_FRAMES rows from `slot` on, transposed:
 * input[streams][N_MELS][WINDOW_FRAMES] = max(dB - reference, -top_db) * scale + offset */
extern "C" __global__ void __launch_bounds__(256)
logmel_window(const float *mel_ring, const float *frame_db, int ring_frames, int slot,
              float reference_db, float top_db, float scale, float offset, float *input)
{
    __shared__ float tile[TILE][TILE + 1];
    const int tiles = (WINDOW_FRAMES + TILE - 1) / TILE;
    const int frame0 = ((int)blockIdx.x % tiles) * TILE, band0 = ((int)blockIdx.x / tiles) * TILE;
    const long long first_row = (long long)blockIdx.y * ring_frames;
    int i;
#if REFERENCE_MAX
    __shared__ float scratch[256], reference;
    for (i = threadIdx.x; i < 256; i += blockDim.x) {
        float maximum = -3.0e38f;
        int f;
        for (f = i; f < WINDOW_FRAMES; f += 256) {
            maximum = fmaxf(maximum, frame_db[first_row + (slot + f) % ring_frames]);
        }
        scratch[i] = maximum;
    }
    __syncthreads();
    {
        const float maximum = find_maximum(scratch, 256, tile[0]);
        if (threadIdx.x == 0) reference = maximum;
    }
    __syncthreads();
    reference_db = reference;
#endif
    for (i = threadIdx.x; i < TILE * TILE; i += blockDim.x) {
        const int frame = frame0 + i / TILE, band = band0 + i % TILE;
        if (band < N_MELS) { /* frames behind the window are rows of the ring too, and go nowhere */
            tile[i / TILE][i % TILE] = mel_ring[(first_row + (slot + frame) % ring_frames) * N_MELS + band];
        }
    }
    __syncthreads();
    for (i = threadIdx.x; i < TILE * TILE; i += blockDim.x) {
        const int frame = frame0 + i % TILE, band = band0 + i / TILE;
        if (frame < WINDOW_FRAMES && band < N_MELS) {
            input[((long long)blockIdx.y * N_MELS + band) * WINDOW_FRAMES + frame] =
                fmaxf(tile[i % TILE][i / TILE] - reference_db, -top_db) * scale + offset;
        }
    }
}
