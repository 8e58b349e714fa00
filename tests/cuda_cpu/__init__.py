"""CUDA kernels on the processor: a g++ emulator, and a PyCUDA made of it. Runs on Python 3.6 and later."""
