"""The model for onnxruntime: fp32 with fused attention, and dynamic int8 made from it.

    python export_onnx.py --bundle FILE --config JSON --out DIR

Writes DIR/fp32/model.onnx and DIR/int8/model.onnx (weights beside them) unless they are there. The graph
is bench/reference/acd_clip.py's, image [1, 3, S, S] and text [G, E, 2] in, map and score out, with its
attention as onnxruntime's own node: its optimizer finds no pattern to fuse in what PyTorch exports
of scaled_dot_product_attention, and runs the standard Attention node no faster. int8: quantize_dynamic of
every product with weights, one scale a column of signed weights (MatMulNBits with 8 bits is slower).
"""

import argparse
import json
import sys
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from acd_clip import AcdClip  # noqa: E402


def export(bundle, config, file):
    with safe_open(bundle, "pt") as f:
        state = {name: f.get_tensor(name) for name in f.keys()}
    model = AcdClip.load(config, state, "onnx")
    S = config["imageSize"]
    example = (torch.randn(1, 3, S, S), torch.randn(config["groups"], config["embedDim"], 2))
    names = {"input_names": ["image", "text"], "output_names": ["map", "score"]}
    with torch.no_grad():
        program = torch.onnx.export(model, example, dynamo=True, opset_version=23, verbose=False, **names)
    program.save(str(file), external_data=True)


def folded(source, file):
    """Constants folded and shapes of intermediate values dropped, which the quantiser would trip over."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", file.stem + ".data")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(str(file), load_external_data=False)
    del graph.graph.value_info[:]
    onnx.save(graph, str(file))


def quantise(source, file):
    # onnx cannot infer types behind onnxruntime's own nodes: they are all float.
    default = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(
        source,
        file,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
        extra_options=default,
    )


def finish(folder, write):
    """Runs write(folder / model.onnx) into another folder first: an interrupted run leaves nothing."""
    if folder.exists():
        return
    unfinished = folder.with_name(folder.name + ".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    write(unfinished / "model.onnx")
    unfinished.rename(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bundle", "config", "out"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    out = Path(args.out)
    finish(out / "fp32", lambda file: export(args.bundle, json.loads(args.config), file))

    def int8(file):
        plain = file.with_name("folded.onnx")
        folded(out / "fp32" / "model.onnx", plain)
        quantise(plain, file)
        for left in plain.parent.glob("folded.*"):
            left.unlink()

    finish(out / "int8", int8)


if __name__ == "__main__":
    main()
