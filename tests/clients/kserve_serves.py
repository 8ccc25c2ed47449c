"""KServe's Python server over a small model: argument one is its HTTP port, two its gRPC port.

One INT64 input, two outputs; V1 instances are {"user": n}.
"""

import sys

from kserve import InferOutput, InferResponse, Model, ModelServer


def top(user):
    return [user + 2, user + 1, user], [0.5, 0.25, 0.125]


class Recommender(Model):
    def __init__(self):
        super().__init__("rec")
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):
            both = [top(instance["user"]) for instance in payload["instances"]]
            return {"predictions": [{"items": items, "scores": scores} for items, scores in both]}
        items, scores = top(int(payload.inputs[0].data[0]))
        outputs = [InferOutput("items", [1, 3], "INT64", data=items), InferOutput("scores", [1, 3], "FP32", data=scores)]
        return InferResponse(response_id=payload.id or "none", model_name=self.name, infer_outputs=outputs)


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([Recommender()])
