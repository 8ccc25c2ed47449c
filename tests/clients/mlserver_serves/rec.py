"""The model of kserve_serves.py for MLServer."""

import numpy as np
from mlserver import MLModel, types
from mlserver.codecs import NumpyCodec


class Recommender(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        user = int(payload.inputs[0].data[0])
        items = np.array([[user + 2, user + 1, user]], np.int64)
        scores = np.array([[0.5, 0.25, 0.125]], np.float32)
        outputs = [NumpyCodec.encode_output("items", items), NumpyCodec.encode_output("scores", scores)]
        return types.InferenceResponse(model_name=self.name, outputs=outputs)
