/* Moves numbers between two halves of shared memory, eight bytes a thread and step as the FFT does: the bandwidth that
 * nothing which works in shared memory can exceed.  out[block] = a sum, so that the copies are not optimised away. */
#define HALF_PLACES 1024

extern "C" __global__ void __launch_bounds__(256) shared_copy(float *out, int rounds)
{
    __shared__ float2 places[2 * HALF_PLACES];
    int i, round, from = 0;
    for (i = threadIdx.x; i < 2 * HALF_PLACES; i += blockDim.x) places[i] = make_float2((float)i, 1.0f);
    __syncthreads();
    for (round = 0; round < rounds; round++) {
#pragma unroll 4
        for (i = threadIdx.x; i < HALF_PLACES; i += blockDim.x) places[(from ^ HALF_PLACES) + i] = places[from + i];
        from ^= HALF_PLACES;
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = places[from + HALF_PLACES - 1].x;
}
