"""TensorRT 11: precision is the network's own; no flag for it, no word of what the platform is fast at."""

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

__version__ = "11.4.0"
NetworkDefinitionCreationFlag = surface.enumeration("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
BuilderFlag = surface.enumeration(
    "BuilderFlag",
    "DEBUG",
    "GPU_FALLBACK",
    "REFIT",
    "DISABLE_TIMING_CACHE",
    "EDITABLE_TIMING_CACHE",
    "TF32",
    "SPARSE_WEIGHTS",
    "SAFETY_SCOPE",
    "DIRECT_IO",
    "VERSION_COMPATIBLE",
    "EXCLUDE_LEAN_RUNTIME",
    "ERROR_ON_TIMING_CACHE_MISS",
    "DISABLE_COMPILATION_CACHE",
    "STRIP_PLAN",
    "REFIT_IDENTICAL",
    "WEIGHT_STREAMING",
)


class IBuilderConfig(surface.Config):
    __slots__ = ()

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool == MemoryPoolType.WORKSPACE
        self._workspace = pool_size


class Builder(surface.Builder):
    __slots__ = ()
    config_class, version = IBuilderConfig, __version__

    def _is_quantising(self, config):
        return True  # Q/DQ alone say it


class OnnxParser(surface.Parser):
    __slots__ = ()
    error_class = surface.NamedParserError


class ICudaEngine(surface.NamedEngine):
    __slots__ = ()
    context_class = surface.NamedContext


class Runtime(surface.Runtime):
    __slots__ = ()
    engine_class, version = ICudaEngine, __version__
