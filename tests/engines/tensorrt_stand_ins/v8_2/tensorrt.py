"""TensorRT 8.2.1: bindings by index, no memory pools, no tensor names."""

from tests.engines.tensorrt_stand_ins import surface
from tests.engines.tensorrt_stand_ins.surface import (  # noqa: F401
    ILogger,
    LayerType,
    Logger,
    float16,
    float32,
    int8,
    int32,
)

__version__ = "8.2.1.8"
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
)


class IBuilderConfig(surface.Config):
    __slots__ = ()

    @property
    def max_workspace_size(self):
        return self._workspace

    @max_workspace_size.setter
    def max_workspace_size(self, size):
        self._workspace = size


class Builder(surface.FastPlatform, surface.Builder):
    __slots__ = ()
    config_class, version = IBuilderConfig, __version__


class OnnxParser(surface.Parser):
    __slots__ = ()
    required_flags = 1


class ICudaEngine(surface.BoundEngine):
    __slots__ = ()
    context_class = surface.BoundContext


class Runtime(surface.Runtime):
    __slots__ = ()
    engine_class, version = ICudaEngine, __version__
