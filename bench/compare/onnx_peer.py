"""onnxruntime's Python sides of bench/compare: one process, told what to do line by line (worker.py)."""

import time

import numpy as np
import onnxruntime
import PIL
from worker import Worker, serve


class OnnxPeer(Worker):
    def hello(self, threads, **_):
        self.threads = threads
        return {"versions": {"onnxruntime": onnxruntime.__version__, "pillow": PIL.__version__}}

    def load(self, model, config, **_):
        start = time.perf_counter()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.config = config
        return {"ms": 1000 * (time.perf_counter() - start)}

    def text(self, features, **_):
        """Text features come from another side: the exported graph is the image's."""
        c = self.config
        self.features = np.fromfile(features, np.float32).reshape(c["groups"], c["embedDim"], 2)
        return {}

    def forward(self, x, features):
        amap, score = self.session.run(None, {"image": x, "text": features})
        return amap[0], score[0]


if __name__ == "__main__":
    serve(OnnxPeer())
