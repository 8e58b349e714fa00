"""The allocator keeps what is freed where the C library is glibc."""

import platform
import resource

import numpy as np
import pytest

from trainer.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_large_block_is_not_asked_for_anew():
    assert keep_freed_memory()

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(32 * 1024 * 1024, np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()  # the first time the kernel gives the pages
    assert faults() < 1000  # of 8192
