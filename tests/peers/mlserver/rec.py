"""MLServer with the model of `factors.py`: V2 over HTTP and gRPC."""

import os
import sys

from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec

sys.path.append(os.path.join(os.path.dirname(__file__), ".."))

import factors  # noqa: E402


class Rec(MLModel):
    async def load(self):
        self.model = factors.Model()
        return True

    async def predict(self, payload):
        books, scores = self.model.top(int(NumpyCodec.decode_input(payload.inputs[0]).flat[0]))
        outputs = [
            NumpyCodec.encode_output("items", books.reshape(1, -1)),
            NumpyCodec.encode_output("scores", scores.reshape(1, -1)),
        ]
        return types.InferenceResponse(model_name=self.name, outputs=outputs)
