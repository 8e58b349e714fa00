"""TensorRT 8.6.1: the old ways and the new ones side by side."""

from tests.engines.tensorrt_stand_ins import surface
from tests.engines.tensorrt_stand_ins.surface import (  # noqa: F401
    ILogger,
    LayerType,
    Logger,
    MemoryPoolType,
    TensorIOMode,
    float16,
    float32,
    int8,
    int32,
)

__version__ = "8.6.1"
NetworkDefinitionCreationFlag = surface.enumeration(
    "NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", "EXPLICIT_PRECISION"
)
BuilderFlag = surface.enumeration(
    "BuilderFlag",
    "FP16",
    "INT8",
    "DEBUG",
    "GPU_FALLBACK",
    "STRICT_TYPES",
    "REFIT",
    "DISABLE_TIMING_CACHE",
    "TF32",
    "SPARSE_WEIGHTS",
    "SAFETY_SCOPE",
    "OBEY_PRECISION_CONSTRAINTS",
    "PREFER_PRECISION_CONSTRAINTS",
    "DIRECT_IO",
    "REJECT_EMPTY_ALGORITHMS",
    "ENABLE_TACTIC_HEURISTIC",
    "VERSION_COMPATIBLE",
    "EXCLUDE_LEAN_RUNTIME",
    "FP8",
)


class IBuilderConfig(surface.Config):
    __slots__ = ()

    @property
    def max_workspace_size(self):
        return self._workspace

    @max_workspace_size.setter
    def max_workspace_size(self, size):
        self._workspace = size

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool == MemoryPoolType.WORKSPACE
        self._workspace = pool_size


class Builder(surface.FastPlatform, surface.Builder):
    __slots__ = ()
    config_class, version = IBuilderConfig, __version__


class OnnxParser(surface.Parser):
    __slots__ = ()
    required_flags = 1


class ICudaEngine(surface.NamedAndBoundEngine):
    __slots__ = ()
    context_class = surface.NamedAndBoundContext


class Runtime(surface.Runtime):
    __slots__ = ()
    engine_class, version = ICudaEngine, __version__
