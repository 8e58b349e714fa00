"""Which scorer a node hears with: [model] runtime "auto" takes TensorRT with PyCUDA where both work, else ONNX Runtime
with NumPy, and says why.
"""

import logging
import os
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from edge.config import ModelConfig
from edge.scorer import Scorer, open_scorer
from edge.switching_scorer import SwitchingScorer
from engines.bundle import Bundle
from engines.compile import CompileOptions, engines_directory, prepare_engine
from engines.engine_cache import EngineCache
from engines.errors import EngineError, RuntimeUnavailableError
from engines.runtimes.tensorrt import TensorRTRuntime
from engines.tensorrt_library import name_missing_modules

_LOGGER = logging.getLogger(__name__)


class ChosenScorer(NamedTuple):
    """An open scorer, proven by its self-test where it is the GPU's."""

    scorer: Scorer
    why_not_tensorrt: str  # empty where it is TensorRT, or was not to be


def choose_scorer(bundle: Bundle, model: ModelConfig, state_directory: Optional[Path]) -> ChosenScorer:
    """The best scorer that is there now. "auto" builds no engine, which takes minutes; "tensorrt" does.

    Args:
        state_directory: where engines are kept; None: there is none, and "auto" is the processor.

    Raises:
        EngineError: what the configuration names cannot serve.
    """
    why_not = ""
    if model.runtime == "tensorrt":
        return ChosenScorer(_open_proven(bundle, model, _required(state_directory), build=True), "")
    if model.runtime == "auto":
        why_not = _why_out_of_question(state_directory)
        if not why_not:
            try:
                return ChosenScorer(_open_proven(bundle, model, _required(state_directory), build=False), "")
            except EngineError as error:
                why_not = " ".join(str(error).split())
    return ChosenScorer(_open_cpu(bundle, model), why_not)


def open_listening_scorer(
    bundle: Bundle, model: ModelConfig, state_directory: Optional[Path], on_wait: Callable[[], None]
) -> Scorer:
    """A scorer that hears from now on. "auto" hears on the processor until the GPU's engine is there.

    Args:
        on_wait: called about twice a second while "tensorrt" is being prepared; may raise to give up.

    Raises:
        EngineError: what the configuration names cannot serve.
    """
    if model.runtime == "tensorrt":
        return _open_gpu(bundle, model, _required(state_directory), on_wait)
    cpu = _open_cpu(bundle, model)
    if model.runtime != "auto":
        return cpu
    why_not = _why_out_of_question(state_directory)
    if why_not:
        _LOGGER.info("the processor hears: %s", why_not)
        return cpu
    directory = _required(state_directory)
    return SwitchingScorer(
        bundle,
        model.hop_s,
        cpu,
        lambda check_wanted: _open_gpu(bundle, model, directory, check_wanted),
        lambda: _open_cpu(bundle, model),
    )


def _open_cpu(bundle: Bundle, model: ModelConfig) -> Scorer:
    return open_scorer(bundle, "onnxruntime", model.threads, model.hop_s)


def _open_gpu(
    bundle: Bundle, model: ModelConfig, state_directory: Path, on_wait: Callable[[], None], build: bool = True
) -> Scorer:
    options = CompileOptions(precision=model.precision, workspace_mib=model.workspace_mib, build=build)
    engine = prepare_engine(bundle, state_directory, options, on_wait=on_wait)
    plan = EngineCache(engines_directory(state_directory)).read(engine.key)
    if plan is None:
        raise RuntimeUnavailableError(
            "the engine %s was there a moment ago and is not now; who else writes to that folder?" % engine.path
        )
    runtime = TensorRTRuntime(bundle, plan, engine.precision)
    from edge.gpu_scorer import GpuScorer  # loaded only where it serves

    return GpuScorer(bundle, runtime, model.hop_s, kernel_cache_directory(state_directory))


def _open_proven(bundle: Bundle, model: ModelConfig, state_directory: Path, *, build: bool) -> Scorer:
    scorer = _open_gpu(bundle, model, state_directory, lambda: None, build)
    try:
        scorer.run_selftest()
    except BaseException:
        scorer.close()
        raise
    return scorer


def kernel_cache_directory(state_directory: Path) -> Path:
    """Where PyCUDA keeps the kernels that it has compiled, beside the engines."""
    return Path(state_directory) / "kernels"


def _why_out_of_question(state_directory: Optional[Path]) -> str:
    missing = name_missing_modules()
    if missing:
        return "TensorRT needs %s" % missing
    if state_directory is None:
        return "there is no state directory to keep an engine in"
    owner = state_directory.stat().st_uid if state_directory.is_dir() else os.geteuid()
    if owner != os.geteuid():
        return "engines in %s are user %d's, and only that user loads them; ask as that user" % (state_directory, owner)
    return ""


def _required(state_directory: Optional[Path]) -> Path:
    if state_directory is None:
        raise RuntimeUnavailableError(
            'runtime "tensorrt" keeps its engine in the state directory, and there is none; give it with --state-dir'
        )
    return state_directory
