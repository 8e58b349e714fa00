/* A program that repeats recorded launches, without Python: what a wrong kernel breaks is this process alone, and
 * sanitizers see only the kernels. Usage: program RECORDING ORDER SEED > RESULT
 *
 * Exit status: 0, 3 a write beside a buffer, 4 a divergent barrier. Needs KERNELS, the launch functions by number. */
#include <string>

static FILE *recording;

template <class T> static T take()
{
    T value;
    if (fread(&value, sizeof value, 1, recording) != 1) abort();
    return value;
}

struct buffer {
    size_t bytes;
    char *whole, *inside;
};

#ifdef CUDA_CPU_THREADS /* AddressSanitizer has red zones of its own */
static const size_t FENCE = 0;
#else
static const size_t FENCE = 4096;
#endif

static buffer make_buffer(size_t bytes)
{
    buffer b = {bytes, (char *)malloc(bytes + 2 * FENCE), 0};
    memset(b.whole, 0xff, bytes + 2 * FENCE); /* NaN */
    b.inside = b.whole + FENCE;
    return b;
}

static bool is_fence_whole(const buffer &b)
{
    for (size_t i = 0; i < FENCE; i++)
        if (b.whole[i] != (char)0xff || b.inside[b.bytes + i] != (char)0xff) return false;
    return true;
}

union argument {
    void *pointer;
    int32_t integer;
    float real;
};

static int repeat_launch(std::vector<buffer> &buffers)
{
    const int kernel = take<int32_t>();
    const unsigned grid[2] = {take<uint32_t>(), take<uint32_t>()}, block[1] = {take<uint32_t>()};
    std::vector<argument> values(take<int32_t>());
    std::vector<void *> pointers;
    for (argument &value : values) {
        const char kind = take<char>();
        if (kind == 'P') {
            const int number = take<int32_t>();
            value.pointer = buffers[number].inside + take<int64_t>();
        } else if (kind == 'i')
            value.integer = take<int32_t>();
        else
            value.real = take<float>();
        pointers.push_back(&value);
    }
    return KERNELS[kernel](grid, block, pointers.data());
}

int main(int, char **arguments)
{
    std::vector<buffer> buffers;
    recording = fopen(arguments[1], "rb");
    cuda_cpu_set_order(atoi(arguments[2]), atoi(arguments[3]));
    for (int left = take<int32_t>(); left > 0; left--) buffers.push_back(make_buffer(take<int64_t>()));
    for (int left = take<int32_t>(); left > 0; left--) {
        const char kind = take<char>();
        if (kind == 'L') {
            if (repeat_launch(buffers)) return 4;
        } else {
            const int number = take<int32_t>();
            const int64_t offset = take<int64_t>(), bytes = take<int64_t>();
            if (fread(buffers[number].inside + offset, 1, bytes, recording) != (size_t)bytes) abort();
        }
    }
    const buffer &result = buffers[take<int32_t>()];
    for (const buffer &b : buffers)
        if (!is_fence_whole(b)) return 3;
    fwrite(result.inside, 1, result.bytes, stdout);
    for (const buffer &b : buffers) free(b.whole);
    return 0;
}
