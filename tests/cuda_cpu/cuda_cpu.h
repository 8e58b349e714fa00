/* Runs CUDA C kernels on the processor, for tests: g++ -x c++ -include cuda_cpu.h kernels.cu
 *
 * One block at a time. Its threads are fibers that run from barrier to barrier in forward, reverse or shuffled order,
 * so that a missing barrier gives wrong numbers; with -DCUDA_CPU_THREADS they are OS threads, for ThreadSanitizer and
 * AddressSanitizer. Shared memory is filled with NaN before every block, so that what nobody wrote is seen. All
 * threads of a block must arrive at the same __syncthreads(), by line.
 *
 * Not here: warp intrinsics, atomics, dynamic shared memory, blocks of more than one dimension. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>
#ifdef CUDA_CPU_THREADS
#include <pthread.h>

#include <thread>
#define CUDA_CPU_LOCAL thread_local
#else
#include <setjmp.h>
#include <ucontext.h>
#define CUDA_CPU_LOCAL
#endif

struct float2 { float x, y; };
struct uint3 { unsigned x, y, z; };
static inline float2 make_float2(float x, float y) { float2 r = {x, y}; return r; }

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#ifdef CUDA_CPU_THREADS /* plain globals, so that AddressSanitizer puts red zones around them */
#define __shared__ static
#else
#define __shared__ static __attribute__((section("cuda_shared")))
#endif
#define __syncthreads() cuda_cpu::wait_at(__LINE__)

static CUDA_CPU_LOCAL uint3 threadIdx, blockIdx;
static uint3 blockDim, gridDim;

extern "C" {
extern char __start_cuda_shared[] __attribute__((weak)), __stop_cuda_shared[] __attribute__((weak));
}

namespace cuda_cpu {

enum { FORWARD, REVERSE, SHUFFLED };
enum { DONE = 0, DIVERGENT = 1 };

static int order = FORWARD, outcome = DONE;
static uint32_t seed = 1;

typedef void (*body_t)(void *);

#ifdef CUDA_CPU_THREADS
static pthread_barrier_t barrier;

static void wait_at(int) { pthread_barrier_wait(&barrier); }

static void run_block(body_t body, void *arguments, uint3 block)
{
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < blockDim.x; i++)
        threads.emplace_back([=] {
            threadIdx.x = i;
            threadIdx.y = threadIdx.z = 0;
            blockIdx = block;
            body(arguments);
        });
    for (auto &thread : threads) thread.join();
}
#else
struct fiber {
    ucontext_t start;
    jmp_buf here;
    int line; /* of the barrier where it waits; -1: at its end */
    bool started;
    char *stack;
};

static const size_t STACK_BYTES = 64 << 10;
static std::vector<fiber> fibers;
static jmp_buf scheduler;
static unsigned current;
static body_t the_body;
static void *the_arguments;

static uint32_t draw() /* Marsaglia's xorshift32 */
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void enter_fiber()
{
    the_body(the_arguments);
    fibers[current].line = -1;
    _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void wait_at(int line)
{
    if (blockDim.x == 1) return;
    fibers[current].line = line;
    if (!_setjmp(fibers[current].here)) _longjmp(scheduler, 1);
}

static __attribute__((noinline)) void resume(unsigned i)
{
    current = i;
    threadIdx.x = i;
    if (_setjmp(scheduler)) return;
    fiber &f = fibers[i];
    if (f.started) _longjmp(f.here, 1);
    f.started = true;
    getcontext(&f.start);
    f.start.uc_stack.ss_sp = f.stack;
    f.start.uc_stack.ss_size = STACK_BYTES;
    f.start.uc_link = 0;
    makecontext(&f.start, enter_fiber, 0);
    setcontext(&f.start);
}

static void set_turns(std::vector<unsigned> &turns)
{
    const unsigned n = turns.size();
    for (unsigned i = 0; i < n; i++) turns[i] = order == REVERSE ? n - 1 - i : i;
    if (order != SHUFFLED) return;
    for (unsigned i = n - 1; i > 0; i--) {
        const unsigned j = draw() % (i + 1), turn = turns[i];
        turns[i] = turns[j];
        turns[j] = turn;
    }
}

static void run_block(body_t body, void *arguments, uint3 block)
{
    const unsigned n = blockDim.x;
    std::vector<unsigned> turns(n);
    blockIdx = block;
    threadIdx.x = threadIdx.y = threadIdx.z = 0;
    if (n == 1) {
        body(arguments);
        return;
    }
    while (fibers.size() < n) {
        fiber f;
        f.stack = (char *)malloc(STACK_BYTES);
        fibers.push_back(f);
    }
    the_body = body;
    the_arguments = arguments;
    for (unsigned i = 0; i < n; i++) {
        fibers[i].started = false;
        fibers[i].line = 0;
    }
    do {
        set_turns(turns);
        for (unsigned i = 0; i < n; i++) resume(turns[i]);
        for (unsigned i = 1; i < n; i++)
            if (fibers[i].line != fibers[0].line) {
                outcome = DIVERGENT;
                return;
            }
    } while (fibers[0].line != -1);
}
#endif

/* Arguments as cuLaunchKernel takes them: an array of pointers to each. */
template <int...> struct places {};
template <int N, int... P> struct count_to : count_to<N - 1, N - 1, P...> {};
template <int... P> struct count_to<0, P...> { typedef places<P...> type; };
template <class... A> struct call {
    void (*kernel)(A...);
    void **arguments;
    template <int... P> void unpack(places<P...>) { kernel(*(A *)arguments[P]...); }
    static void run(void *self) { ((call *)self)->unpack(typename count_to<sizeof...(A)>::type()); }
};

template <class... A>
static int launch(void (*kernel)(A...), const unsigned *grid, const unsigned *block, void **arguments)
{
    call<A...> bound = {kernel, arguments};
    gridDim.x = grid[0];
    gridDim.y = grid[1];
    gridDim.z = 1;
    blockDim.x = block[0];
    blockDim.y = blockDim.z = 1;
    outcome = DONE;
#ifdef CUDA_CPU_THREADS
    pthread_barrier_init(&barrier, 0, blockDim.x);
#endif
    for (unsigned y = 0; y < grid[1]; y++)
        for (unsigned x = 0; x < grid[0] && outcome == DONE; x++) {
            uint3 place = {x, y, 0};
            if (order == REVERSE) place.x = grid[0] - 1 - x, place.y = grid[1] - 1 - y; /* blocks have no order either */
            if (__start_cuda_shared) memset(__start_cuda_shared, 0xff, __stop_cuda_shared - __start_cuda_shared);
            run_block(call<A...>::run, &bound, place);
        }
#ifdef CUDA_CPU_THREADS
    pthread_barrier_destroy(&barrier);
#endif
    return outcome;
}

} // namespace cuda_cpu

extern "C" void cuda_cpu_set_order(int order, unsigned seed)
{
    cuda_cpu::order = order;
    cuda_cpu::seed = seed ? seed : 1;
}

#define CUDA_CPU_EXPORT(kernel)                                                                              \
    extern "C" int kernel##__launch(const unsigned *grid, const unsigned *block, void **arguments)           \
    {                                                                                                        \
        return cuda_cpu::launch(kernel, grid, block, arguments);                                             \
    }
