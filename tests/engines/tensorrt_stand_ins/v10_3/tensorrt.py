"""TensorRT 10.3: tensors by name alone, memory pools, an explicit batch that is deprecated and ignored."""

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

__version__ = "10.3.0"
NetworkDefinitionCreationFlag = surface.enumeration("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", "STRONGLY_TYPED")
BuilderFlag = surface.enumeration(
    "BuilderFlag",
    "FP16",
    "BF16",
    "INT8",
    "DEBUG",
    "GPU_FALLBACK",
    "REFIT",
    "DISABLE_TIMING_CACHE",
    "TF32",
    "SPARSE_WEIGHTS",
    "SAFETY_SCOPE",
    "OBEY_PRECISION_CONSTRAINTS",
    "PREFER_PRECISION_CONSTRAINTS",
    "DIRECT_IO",
    "REJECT_EMPTY_ALGORITHMS",
    "VERSION_COMPATIBLE",
    "EXCLUDE_LEAN_RUNTIME",
    "FP8",
    "ERROR_ON_TIMING_CACHE_MISS",
    "DISABLE_COMPILATION_CACHE",
    "WEIGHTLESS",
    "STRIP_PLAN",
    "REFIT_IDENTICAL",
    "WEIGHT_STREAMING",
    "INT4",
)


class IBuilderConfig(surface.Config):
    __slots__ = ()

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool == MemoryPoolType.WORKSPACE
        self._workspace = pool_size


class Builder(surface.FastPlatform, surface.Builder):
    __slots__ = ()
    config_class, version = IBuilderConfig, __version__


class OnnxParser(surface.Parser):
    __slots__ = ()
    error_class = surface.NamedParserError


class ICudaEngine(surface.NamedEngine):
    __slots__ = ()
    context_class = surface.NamedContext


class Runtime(surface.Runtime):
    __slots__ = ()
    engine_class, version = ICudaEngine, __version__
