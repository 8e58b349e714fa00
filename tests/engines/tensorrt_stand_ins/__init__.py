"""Stand-ins for TensorRT's Python module and for PyCUDA's driver, where neither hardware nor the libraries are.

Each `v*/tensorrt.py` has exactly the members of that version that node or builder could meet: what a version lacks is
absent, so using it fails as it would there. A plan is really run, by ONNX Runtime, on memory behind device pointers
that are checked; work on a stream happens when somebody synchronises, and what is let go in a wrong order is noticed
(`violations`). `STAND_IN_FAULTS` in the environment names what is to go wrong, in a child too.

Sources of the surfaces: the Python bindings in NVIDIA/TensorRT at the tags 8.2.1, v8.6.1, v10.3.0 and v11.x.
"""
