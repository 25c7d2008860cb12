"""An ONNX model in this process: loaded once, asked in tensors of the Open Inference Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from streamlets.errors import Broken, Fatal, Rejected
from streamlets.inference import ModelMetadata, Tensor, TensorSpec


class OnnxModel:
    """A loaded model. `run` may be called from any thread, by several at once."""

    DATATYPES: ClassVar[dict[str, tuple[str, str]]] = {
        "tensor(float)": ("FP32", "float32"),
        "tensor(double)": ("FP64", "float64"),
        "tensor(float16)": ("FP16", "float16"),
        "tensor(int8)": ("INT8", "int8"),
        "tensor(int16)": ("INT16", "int16"),
        "tensor(int32)": ("INT32", "int32"),
        "tensor(int64)": ("INT64", "int64"),
        "tensor(uint8)": ("UINT8", "uint8"),
        "tensor(uint16)": ("UINT16", "uint16"),
        "tensor(uint32)": ("UINT32", "uint32"),
        "tensor(uint64)": ("UINT64", "uint64"),
        "tensor(bool)": ("BOOL", "bool"),
        "tensor(string)": ("BYTES", "object"),
    }
    """ONNX's type → the protocol's, numpy's."""

    def __init__(self, path: Path, name: str, version: str | None = None) -> None:
        """Load the file: slow, not for the event loop. One thread a call, so that calls scale over cores.

        `version` None: what the file says of itself (`version` in its custom metadata), if anything.
        Raises: Fatal (`import-failed`, `missing-file`, `bad-model`).
        """
        try:
            import onnxruntime  # an extra: only who runs models here needs it
        except ImportError as exc:
            raise Fatal(
                "running ONNX models needs onnxruntime", code="import-failed", hint="install streamlets[onnx]"
            ) from exc
        if not path.is_file():
            raise Fatal(f"there is no file {path}", code="missing-file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as exc:  # onnxruntime raises its own kinds, which it does not export
            raise Fatal(
                f"{path} is no ONNX model that can be loaded ({type(exc).__name__})", code="bad-model"
            ) from exc
        said = self._session.get_modelmeta().custom_metadata_map.get("version")
        self.name = name
        self.version: str | None = version or said or None
        inputs = [self._spec(node, path) for node in self._session.get_inputs()]
        outputs = [self._spec(node, path) for node in self._session.get_outputs()]
        self.metadata = ModelMetadata(
            name=name, versions=[self.version] if self.version else [], inputs=inputs, outputs=outputs
        )
        self._dtypes = dict(self.DATATYPES.values())

    def _spec(self, node: Any, path: Path) -> TensorSpec:
        found = self.DATATYPES.get(node.type)
        if found is None:
            raise Fatal(
                f"{path}: tensor {node.name!r} is a {node.type}",
                code="bad-model",
                hint="only plain tensors can be asked for; a classifier of skl2onnx needs `zipmap=False`",
            )
        return TensorSpec(
            node.name, found[0], [d if isinstance(d, int) and d >= 0 else -1 for d in node.shape]
        )

    def run(self, inputs: list[Tensor], outputs: list[str]) -> list[Tensor]:
        """Return the tensors asked for, all of them when `outputs` is empty.

        Raises: Rejected (`bad-input`) where a tensor is missing, unknown, or of another type or shape than the model's;
        Broken when the model fails.
        """
        import numpy as np

        feeds = {}
        by_name = {tensor.name: tensor for tensor in inputs}
        for spec in self.metadata.inputs:
            tensor = by_name.pop(spec.name, None)
            if tensor is None:
                raise Rejected(f"input {spec.name!r} is missing", code="bad-input")
            self._check(tensor, spec)
            try:
                feeds[spec.name] = np.array(tensor.data, dtype=self._dtypes[spec.datatype]).reshape(
                    tensor.shape
                )
            except (ValueError, TypeError, OverflowError) as exc:
                raise Rejected(
                    f"input {spec.name!r} does not hold {spec.datatype} in shape {tensor.shape}",
                    code="bad-input",
                ) from exc
        if by_name:
            raise Rejected(f"there is no input {next(iter(by_name))[:80]!r}", code="bad-input")
        known = {spec.name: spec for spec in self.metadata.outputs}
        unknown = [name for name in outputs if name not in known]
        if unknown:
            raise Rejected(f"there is no output {unknown[0][:80]!r}", code="bad-input")
        names = outputs or list(known)
        try:
            results = self._session.run(names, feeds)
        except Exception as exc:  # onnxruntime's own kinds; their text may hold values
            raise Broken(f"the model failed ({type(exc).__name__})", code="model-failed") from exc
        return [
            Tensor(name, known[name].datatype, list(result.shape), result.ravel().tolist())
            for name, result in zip(names, results, strict=True)
        ]

    def _check(self, tensor: Tensor, spec: TensorSpec) -> None:
        fits = len(tensor.shape) == len(spec.shape) and all(
            want in (-1, got) for want, got in zip(spec.shape, tensor.shape, strict=True)
        )
        if tensor.datatype != spec.datatype or not fits:
            raise Rejected(
                f"input {spec.name!r} is {spec.datatype} {spec.shape}, not {tensor.datatype[:20]} {tensor.shape}",
                code="bad-input",
            )
