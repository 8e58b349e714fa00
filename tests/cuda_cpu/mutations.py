"""Wrong kernels: the source with one barrier less, or one bound missed by one. Each must be found."""

import re

_BARRIER = re.compile(r"__syncthreads\(\);")
_STRIDE = re.compile(r"(\w) < ([\w /*+]+); \1 \+= blockDim\.x")  # one loop over a block
_INNER = re.compile(r"for \((?:int )?(\w)(?: = \w+)?; \1 < (count|middle|end|WINDOW_FRAMES|TILE); ")
BOUNDS = {  # what stands there -> what is wrong
    "if (at >= ring_samples) at -= ring_samples;": "",
    "if (next >= ring_samples) next -= ring_samples;": "",
    "(slot + (int)blockIdx.x) % ring_frames": "(slot + (int)blockIdx.x)",
    "frame_db[first_row + (slot + f) % ring_frames]": "frame_db[first_row + (slot + f)]",
    "(slot + frame) % ring_frames": "(slot + frame)",
    "blockIdx.y * ring_samples": "0 * ring_samples",
    "const long long row = (long long)blockIdx.y * ring_frames": "const long long row = (long long)0",
    "const long long first_row = (long long)blockIdx.y * ring_frames": "const long long first_row = (long long)0",
    "((long long)blockIdx.y * N_MELS + band)": "(band)",
    "        if (band < N_MELS) {": "        {",
    "frame < WINDOW_FRAMES && band < N_MELS": "frame < WINDOW_FRAMES",
    "frame < WINDOW_FRAMES &&": "",
    "j == 0 ? HALF / 16 : HALF / 8 - j": "HALF / 8 - j",
    "HALF - k)] = q.x * q.x + q.y * q.y": "HALF - k + 1)] = q.x * q.x + q.y * q.y",
}

# Not wrong: one butterfly pair more mirrors itself and stores what is there; one maximum more goes where nobody reads.
HARMLESS = ("HALF / 16 too far", "i, TILE too far")


def barriers_removed(source):
    """{name: source} with each barrier missing once."""
    return {
        "barrier %d" % number: source[: match.start()] + ";" + source[match.end() :]
        for number, match in enumerate(_BARRIER.finditer(source), 1)
    }


def barriers_diverging(source):
    """{name: source} where some threads of a block do not come to a barrier."""
    return {
        "half of the threads at barrier %d" % number: "%sif (threadIdx.x < blockDim.x / 2) __syncthreads();%s"
        % (source[: match.start()], source[match.end() :])
        for number, match in enumerate(_BARRIER.finditer(source), 1)
    }


def bounds_missed(source):
    """{name: source} with each loop one short and one too far, and each wrap and edge missing once."""
    found = {}
    for place in list(_STRIDE.finditer(source)) + list(_INNER.finditer(source)):
        limit = place.group(2)
        start, end = place.span(2)
        line = source.count("\n", 0, start) + 1
        for name, wrong in (("short", "(%s) - 1"), ("far", "(%s) + 1")):
            title = "line %d, %s, %s too %s" % (line, place.group(1), limit, name)
            if not (title.endswith(HARMLESS) and "blockDim.x" in place.group(0)):
                found[title] = source[:start] + wrong % limit + source[end:]
    for right, wrong in BOUNDS.items():
        places = [match.start() for match in re.finditer(re.escape(right), source)]
        assert places, right
        for start in places:
            line = source.count("\n", 0, start) + 1
            found["line %d without %s" % (line, right)] = source[:start] + wrong + source[start + len(right) :]
    return found
